"""RegMean++'s matrices beside a dense reference: whole models that are hybrids, one example a pass, hooks."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ramekin.errors import DataError
from ramekin.train.statistics.gram import gram_matrices
from ramekin.train.statistics.propagated import propagate
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model, set_tensors, tensors_of


def blocks_of(model):
    return [
        f"{stack}.block.{index}."
        for stack in ("encoder", "decoder")
        for index in range(len(model.get_submodule(stack).block))
    ]


def by_hand(model, prefix, items):
    """X^T X / n of the linear maps of one block of a whole model."""
    sums, counts, handles = {}, {}, []

    def keep(name):
        def look(_, arguments):
            rows = arguments[0].reshape(-1, arguments[0].shape[-1]).detach().double().numpy()
            sums[name] = sums.get(name, 0) + rows.T @ rows
            counts[name] = counts.get(name, 0) + len(rows)

        return look

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name.startswith(prefix):
            handles.append(module.register_forward_pre_hook(keep(f"{name}.weight")))
    for item in items:
        model(
            input_ids=torch.tensor([item.input_ids]),
            decoder_input_ids=torch.tensor([(0, *item.target_ids[:-1])]),
        )
    for handle in handles:
        handle.remove()
    return {name: each / counts[name] for name, each in sums.items()}


def solved(weights, grams):
    total = sum(grams) + 1e-9 * np.eye(len(grams[0]))
    return sum(w @ g for w, g in zip(weights, grams, strict=True)) @ np.linalg.inv(total)


def reference(models, merged, examples):
    """Block by block: hybrids of the merged blocks below and a model's own block; the merged model's tensors."""
    collected = {}
    for prefix in [*blocks_of(merged), "lm_head"]:
        own = [{n: t.clone() for n, t in tensors_of(each).items() if n.startswith(prefix)} for each in models]
        found = []
        for place, tensors in enumerate(own):
            hybrid = copy.deepcopy(merged)
            set_tensors(hybrid, {**tensors_of(hybrid), **tensors})
            found.append(by_hand(hybrid, prefix, examples[place]))
        collected[prefix] = found
        new = {}
        for name in own[0]:
            weights = [tensors[name].double().numpy() for tensors in own]
            if name in found[0]:
                new[name] = torch.from_numpy(solved(weights, [each[name] for each in found]))
            else:
                new[name] = torch.from_numpy(np.mean(weights, axis=0))
        set_tensors(merged, {**tensors_of(merged), **new})
    return collected


@pytest.mark.parametrize("max_tokens", [1, 120, 10_000])
@pytest.mark.parametrize("tied", [False, True])
def test_is_the_dense_reference(make_model, make_items, tied: bool, max_tokens: int) -> None:
    models = [make_model(seed=seed, tied=tied, num_layers=2).double().eval() for seed in (1, 2, 3)]
    examples = [make_items(5 + seed, seed=seed) for seed in range(3)]
    start = copy.deepcopy(models[0])
    mean = {n: sum(tensors_of(each)[n] for each in models) / 3 for n in tensors_of(start)}
    set_tensors(start, {n: t if ".block." not in n else 0 * t for n, t in mean.items()})
    expected_model, merged = copy.deepcopy(start), copy.deepcopy(start)
    with torch.no_grad():
        expected = reference(models, expected_model, examples)

    found = {}

    def solve(names, grams):
        prefix = "lm_head" if names == ["lm_head.weight"] else ".".join(names[0].split(".")[:3]) + "."
        found[prefix] = grams
        new = {}
        for name in names:
            weights = [tensors_of(each)[name].numpy() for each in models]
            if name in grams[0].stored:
                matrices = [each.matrices[each.stored[name]].numpy() for each in grams]
                new[name] = torch.from_numpy(solved(weights, matrices))
            else:
                new[name] = torch.from_numpy(np.mean(weights, axis=0))
        return new

    told: list[None] = []
    propagate(
        merged,
        examples,
        lambda place, names: {name: tensors_of(models[place])[name] for name in names},
        solve,
        max_tokens=max_tokens,
        on_block=lambda: told.append(None),
    )
    assert list(found) == [*blocks_of(merged), *([] if tied else ["lm_head"])] and len(told) == 4
    for prefix, each in found.items():
        for place, grams in enumerate(each):
            assert grams.stored.keys() == expected[prefix][place].keys()
            for name, stored in grams.stored.items():
                np.testing.assert_allclose(
                    grams.matrices[stored].numpy(), expected[prefix][place][name], rtol=1e-6, atol=1e-9
                )
    for name, each in tensors_of(expected_model).items():
        torch.testing.assert_close(tensors_of(merged)[name], each, rtol=1e-5, atol=1e-8)
    assert len(merged.encoder.block) == len(merged.decoder.block) == 2


@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
@pytest.mark.parametrize("family", ["t5", "mt5", "umt5"])
def test_one_model_on_its_own_blocks_has_the_matrices_of_regmean(make_items, family, feed_forward) -> None:
    sizes = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = {**t5_config(**sizes), "model_type": family, "feed_forward_proj": feed_forward}
    model, items = build_model(config, seed=1, tied=False).double().eval(), make_items(6)
    expected = gram_matrices(model, items)
    tensors = {name: each.clone() for name, each in tensors_of(model).items()}
    found = {}

    def solve(names, grams):
        found.update({name: grams[0].matrices[key] for name, key in grams[0].stored.items()})
        return {name: tensors[name] for name in names}

    propagate(model, [items], lambda _, names: {name: tensors[name] for name in names}, solve)
    assert found.keys() == expected.stored.keys()
    for name, key in expected.stored.items():
        torch.testing.assert_close(found[name], expected.matrices[key], rtol=1e-9, atol=1e-12)


def test_refuses_a_model_without_rows(make_model, make_items) -> None:
    for examples in ([], [make_items(2), []]):
        with pytest.raises(DataError, match="no examples to be merged by"):
            propagate(make_model(), examples, lambda *_: {}, lambda *_: {})
