"""Packed is unpacked: every example of a shared row has the loss and gradient that it has alone."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.tensors.collate import collate, collate_rows
from ramekin.train.blocks import compiled
from ramekin.train.faster import faster_on_cpu, prepare_row_gradients
from ramekin.train.objectives.flipped import FlippedLikelihood
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.objectives.losses import sum_by_example
from ramekin.train.objectives.packed import refuse_unpackable
from ramekin.weights.attach import IA3Recipe, LoraRecipe, PromptRecipe, attach_adapter
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model, set_dropout

OBJECTIVES = {
    "likelihood": Likelihood(),
    "smoothed": Likelihood(0.1),
    "flipped": FlippedLikelihood(3.0, 1e-6),
}


def family(model_type, attention, **sizes):
    """Two layers of each stack: what leaks into a first layer's states shows in the second."""
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, **sizes}
    model = build_model({**t5_config(vocab_size=64, **sizes), "model_type": model_type}, seed=1, tied=False)
    model.set_attn_implementation(attention)
    return model


def losses_and_gradients(model, objective, batches, count):
    """Losses by example, in the order of the batches, and the gradient of their sum."""
    model.zero_grad(set_to_none=True)
    prepare_row_gradients(model)
    sums = []
    for batch in batches:
        values = objective(model, batch).values
        values.sum().backward()
        sums.append(
            sum_by_example(values.detach(), batch, num_examples=int(batch.example_of_target.max()) + 1)
        )
    found = torch.cat(sums)
    assert len(found) == count
    return found, {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def assert_packed_is_unpacked(model, objective, rows, *, loss=1e-6, gradient=3e-5):
    items = [item for row in rows for item in row]
    packed, ours = losses_and_gradients(model, objective, [collate_rows(rows)], len(items))
    alone, expected = losses_and_gradients(model, objective, [collate([item]) for item in items], len(items))
    torch.testing.assert_close(packed, alone, rtol=loss, atol=0)
    for name, each in expected.items():
        assert (ours[name] - each).norm() <= gradient * each.norm(), name


def in_rows(items, cuts):
    ends = [*sorted(cuts), len(items)]
    return [items[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("model_type", ["t5", "mt5", "umt5"])
def test_every_family_and_attention(make_items, make_pairs, model_type, attention, objective):
    items = (make_pairs if objective == "flipped" else make_items)(11)
    rows = in_rows(items, [3, 4, 8])
    assert_packed_is_unpacked(family(model_type, attention), OBJECTIVES[objective], rows)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model_type", ["t5", "mt5", "umt5"])
def test_with_the_parts_that_a_cpu_computes_faster(make_items, make_pairs, model_type, objective):
    """While it trains; alone, with transformers' own."""
    items = (make_pairs if objective == "flipped" else make_items)(11)
    model = family(model_type, "sdpa").train()
    set_dropout(model, 0.0)
    expected = losses_and_gradients(model, OBJECTIVES[objective], [collate([item]) for item in items], 11)
    with faster_on_cpu(model, torch.device("cpu")):
        rows = [collate_rows(in_rows(items, [3, 4, 8]))]
        losses, gradients = losses_and_gradients(model, OBJECTIVES[objective], rows, 11)
    torch.testing.assert_close(losses, expected[0], rtol=1e-6, atol=0)
    for name, each in expected[1].items():
        assert (gradients[name] - each).norm() <= 3e-5 * each.norm(), name


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("changed", [0, 4, 10])
def test_an_example_changes_no_other(make_items, make_pairs, changed, objective):
    """Not by a bit, wherever in its row it stands."""
    make = make_pairs if objective == "flipped" else make_items
    items = make(11)
    other = [*items]
    before = items[changed]
    other[changed] = replace(
        before,
        input_ids=tuple(3 + id % 60 for id in before.input_ids),
        target_ids=tuple(3 + id % 60 for id in before.target_ids),
    )
    model = family("t5", "sdpa")
    losses = [
        losses_and_gradients(model, OBJECTIVES[objective], [collate_rows(in_rows(each, [4, 8]))], 11)[0]
        for each in (items, other)
    ]
    assert (losses[0] != losses[1]).nonzero().flatten().tolist() == [changed]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor")
def test_compiled_blocks(make_items):
    model = family("t5", "sdpa")
    with compiled(model, backend="eager"):
        assert_packed_is_unpacked(model, Likelihood(), in_rows(make_items(7), [3]))


@given(
    items=st.integers(2, 12),
    seed=st.integers(0, 999),
    cuts=st.sets(st.integers(1, 11), max_size=6),
    longest=st.tuples(st.integers(1, 60), st.integers(1, 12)),
    objective=st.sampled_from(sorted(OBJECTIVES)),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_lengths_and_rows(make_items, make_pairs, items, seed, cuts, longest, objective):
    """In float64, so that the least leak from one example to another shows."""
    make = make_pairs if objective == "flipped" else make_items
    found = make(items, seed=seed, longest_input=longest[0], longest_target=longest[1])
    rows = in_rows(found, {cut for cut in cuts if cut < items})
    model = family("t5", "sdpa").double()
    assert_packed_is_unpacked(model, OBJECTIVES[objective], rows, loss=1e-12, gradient=1e-11)


def test_longer_than_the_farthest_distance_that_has_a_bucket_of_its_own(make_items):
    items = make_items(6, longest_input=200, longest_target=40)
    model = family("t5", "sdpa", relative_attention_num_buckets=8, relative_attention_max_distance=16)
    assert_packed_is_unpacked(model, Likelihood(), in_rows(items, [4]))


@pytest.mark.parametrize("recipe", [LoraRecipe(rank=2), LoraRecipe(rank=2, dora=True), IA3Recipe()], ids=str)
@pytest.mark.parametrize("objective", ["likelihood", "flipped"])
def test_an_adapter(make_items, make_pairs, objective, recipe):
    model = attach_adapter(family("t5", "sdpa"), recipe, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    items = (make_pairs if objective == "flipped" else make_items)(7)
    assert_packed_is_unpacked(model, OBJECTIVES[objective], in_rows(items, [3]))


def test_bf16_autocast_has_no_nan(make_items):
    model = family("t5", "sdpa")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = Likelihood()(model, collate_rows(in_rows(make_items(9), [5]))).values
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_model_is_left_as_it_was(make_items):
    model, rows = family("t5", "sdpa"), in_rows(make_items(5), [2])
    Likelihood()(model, collate_rows(rows))
    assert not model.decoder._forward_pre_hooks and not model.lm_head._forward_pre_hooks
    batch = collate_rows(rows)
    with pytest.raises(ValueError):
        Likelihood()(model, replace(batch, input_ids=None))
    assert not model.decoder._forward_pre_hooks and not model.lm_head._forward_pre_hooks


def test_models_that_know_absolute_positions_are_refused():
    model = family("t5", "sdpa")
    refuse_unpackable(model)
    refuse_unpackable(attach_adapter(family("umt5", "eager"), LoraRecipe(rank=2), seed=0))
    model.config.model_type = "bart"
    with pytest.raises(
        UsageError, match="distances alone: packing, model type 'bart'.*expected mt5, t5, umt5"
    ):
        refuse_unpackable(model)


def test_an_attention_without_masks_of_our_own_is_refused():
    with pytest.raises(UsageError, match="expected eager or sdpa, got flex_attention"):
        refuse_unpackable(family("t5", "flex_attention"))


def test_soft_prompts_are_refused():
    model = attach_adapter(family("t5", "sdpa"), PromptRecipe(), seed=0)
    with pytest.raises(UsageError, match="a soft prompt stands before a whole row"):
        refuse_unpackable(model)
