"""A node sees its ancestors alone, at their distances, and the head's pieces do not change a value."""

import pytest
import torch

import ramekin.infer.score_trees as module
from ramekin.infer.layers import Layers
from ramekin.infer.option_tree import option_tree
from ramekin.infer.score_trees import tree_log_probs
from ramekin.tensors.collate import collate_inputs

OPTIONS = ((7, 8, 1), (7, 9, 4, 1), (6, 1), (3,))


def log_probs(model, inputs, options, *, start_id=0):
    layers = Layers(model)
    trees = [option_tree(each, start_id=start_id) for each in options]
    return tree_log_probs(layers, layers.read(*collate_inputs(inputs)), trees, pad_id=0)


def test_how_far_back_each_ancestor_lies():
    tree = option_tree(OPTIONS, start_id=0)
    assert tree.parents == (-1, 0, 1, 1, 3, 0)
    back = module._steps_back(torch.tensor([[*tree.parents, -1], [-1, 0, 1, -1, -1, -1, -1]]))
    assert back[0].tolist() == [
        [0, -1, -1, -1, -1, -1, -1],
        [1, 0, -1, -1, -1, -1, -1],
        [2, 1, 0, -1, -1, -1, -1],
        [2, 1, -1, 0, -1, -1, -1],
        [3, 2, -1, 1, 0, -1, -1],
        [1, -1, -1, -1, -1, 0, -1],
        [-1, -1, -1, -1, -1, -1, 0],
    ]
    assert back[1, 2].tolist() == [2, 1, 0, -1, -1, -1, -1]


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["t5", "umt5"])
def test_an_option_is_scored_as_if_alone(tiny, kind):
    model = tiny(kind, sharpness=2.0)
    (together,) = log_probs(model, [[5, 6, 1]], [OPTIONS])
    alone = [log_probs(model, [[5, 6, 1]], [(option,)])[0][0] for option in OPTIONS]
    assert together == pytest.approx(alone, abs=1e-5)


@torch.inference_mode()
def test_rows_with_one_tree_and_rows_with_their_own_are_scored_alike(tiny):
    model, inputs = tiny(sharpness=2.0), [[5, 6, 1], [9, 1]]
    tree = option_tree(OPTIONS, start_id=0)
    layers = Layers(model)
    shared = tree_log_probs(layers, layers.read(*collate_inputs(inputs)), [tree, tree], pad_id=0)
    apart = log_probs(model, inputs, [OPTIONS, OPTIONS])
    assert shared[0] != shared[1]
    for row, other in zip(shared, apart, strict=True):
        assert row == pytest.approx(other, abs=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("positions", [1, 2, 5])
def test_the_heads_pieces_do_not_change_a_value(tiny, monkeypatch, positions):
    model, inputs, options = tiny(sharpness=2.0), [[5, 6, 1], [9, 1]], [OPTIONS, OPTIONS[1:]]
    whole = log_probs(model, inputs, options)
    monkeypatch.setattr(module, "_HEAD_POSITIONS", positions)
    for row, other in zip(log_probs(model, inputs, options), whole, strict=True):
        assert row == pytest.approx(other, abs=1e-5)
