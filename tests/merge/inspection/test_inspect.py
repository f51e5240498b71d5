"""Every figure against a dense reference in float64 that shares no code with the package."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.array import TorchDevice
from ramekin.merge.inputs import ModelInput, open_model
from ramekin.merge.inspection.figures import Figures
from ramekin.merge.inspection.inspect import Inspection, inspect_models, plan_inspection
from ramekin.merge.run import merge

Q = "encoder.block.0.layer.0.SelfAttention.q.weight"
Dense = dict[str, np.ndarray]


def _numbers(tensors: Mapping[str, torch.Tensor]) -> Dense:
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}


def _flat(tensors: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    return np.concatenate([tensors[name].reshape(-1).astype(np.float64) for name in names])


def _singular(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    keep = values > 8 * 2.0**-23 * values[0] if values[0] else values > 0
    return left[:, keep], values[keep], right[keep].T


def _rank_figures(values: np.ndarray) -> tuple[float, float] | None:
    if not len(values):
        return None
    shares = values / values.sum()
    return float((values**2).sum() / values[0] ** 2), math.exp(-float((shares * np.log(shares)).sum()))


def _angles(one: np.ndarray, other: np.ndarray) -> float:
    """The mean squared cosine of the principal angles, by the singular values of the product."""
    return float((np.linalg.svd(one.T @ other, compute_uv=False) ** 2).mean())


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _same(found: float | None, expected: float | None) -> None:
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-12)


class Reference:
    """All figures of some tensors of a base and its models, in memory and by the book."""

    def __init__(self, base: Dense, tuned: Sequence[Dense], *, density: float, rank: int) -> None:
        self.base, self.rank = base, rank
        self.deltas = [{name: each[name] - base[name] for name in base} for each in tuned]
        self.cuts = []
        for delta in self.deltas:
            sizes = np.sort(np.abs(_flat(delta, list(base))))[::-1]
            self.cuts.append(sizes[round(density * len(sizes)) - 1])

    def check(self, figures: Figures, names: Sequence[str], matrices: Sequence[str]) -> None:
        base = _flat(self.base, names)
        rows = np.stack([_flat(delta, names) for delta in self.deltas])
        kept = np.stack([np.where(np.abs(r) >= c, r, 0) for r, c in zip(rows, self.cuts, strict=True)])
        assert figures.elements == len(base) and figures.tensors == len(names)
        _same(figures.base_length, np.linalg.norm(base))
        everything = [np.linalg.norm(_flat(delta, list(self.base))) for delta in self.deltas]
        for place, (model, row) in enumerate(zip(figures.models, rows, strict=True)):
            length = np.linalg.norm(row)
            _same(model.length, length)
            _same(model.relative, length / np.linalg.norm(base) if np.linalg.norm(base) else None)
            _same(model.energy, (length / everything[place]) ** 2 if everything[place] else None)
            _same(model.changed, np.mean(row != 0))
            _same(model.magnitude, np.mean(np.abs(row)))
            _same(model.kept, np.mean(np.abs(row) >= self.cuts[place]))
            self._check_largest(model.largest, place, names)
        for (i, j), pair in zip(combinations(range(len(rows)), 2), figures.pairs, strict=True):
            one, other = rows[i], rows[j]
            lengths = np.linalg.norm(one) * np.linalg.norm(other)
            _same(pair.cosine, one @ other / lengths if lengths else None)
            opposed = one * other < 0
            _same(pair.both_changed, np.mean((one != 0) & (other != 0)))
            _same(pair.conflict, np.mean(opposed))
            mass = np.abs(one) + np.abs(other)
            _same(pair.conflict_by_magnitude, mass[opposed].sum() / mass.sum() if mass.sum() else None)
            _same(pair.conflict_after_trimming, np.mean(kept[i] * kept[j] < 0))
        any_opposed = (rows > 0).any(axis=0) & (rows < 0).any(axis=0)
        mass = np.abs(rows).sum(axis=0)
        total = figures.total
        _same(total.length, np.linalg.norm(rows.sum(axis=0)))
        _same(total.conflict, np.mean(any_opposed))
        _same(total.conflict_by_magnitude, mass[any_opposed].sum() / mass.sum() if mass.sum() else None)
        _same(total.conflict_after_trimming, np.mean((kept > 0).any(axis=0) & (kept < 0).any(axis=0)))
        self._check_spectra(figures, [name for name in names if name in matrices])

    def _check_largest(self, largest: Any, place: int, names: Sequence[str]) -> None:
        delta = self.deltas[place]
        most = max(np.abs(delta[name]).max() for name in names)
        if most == 0:
            assert largest is None
            return
        assert abs(largest.value) == most
        assert delta[largest.tensor].reshape(-1)[largest.place] == largest.value

    def _check_spectra(self, figures: Figures, matrices: Sequence[str]) -> None:
        assert figures.matrices == len(matrices)
        found = [[_singular(delta[name]) for delta in self.deltas] for name in matrices]
        totals = [_singular(sum(delta[n].astype(np.float64) for delta in self.deltas)) for n in matrices]
        for place, model in enumerate(figures.models):
            ranks = [each for every in found if (each := _rank_figures(every[place][1])) is not None]
            _same(model.stable_rank, _mean([stable for stable, _ in ranks]))
            _same(model.entropy_rank, _mean([entropy for _, entropy in ranks]))
        ranks = [each for _, values, _ in totals if (each := _rank_figures(values)) is not None]
        _same(figures.total.stable_rank, _mean([stable for stable, _ in ranks]))
        _same(figures.total.entropy_rank, _mean([entropy for _, entropy in ranks]))
        for (i, j), pair in zip(combinations(range(len(self.deltas)), 2), figures.pairs, strict=True):
            sides = []
            for every in found:
                if not (len(every[i][1]) and len(every[j][1])):
                    continue
                counts = [self._dominant(every[place][1]) for place in (i, j)]
                (left, _, right), (other_left, _, other_right) = every[i], every[j]
                sides.append((
                    _angles(left[:, : counts[0]], other_left[:, : counts[1]]),
                    _angles(right[:, : counts[0]], other_right[:, : counts[1]]),
                    max(counts) / len(left), max(counts) / len(right),
                ))  # fmt: skip
            _same(pair.overlap_left, _mean([side[0] for side in sides]))
            _same(pair.overlap_right, _mean([side[1] for side in sides]))
            _same(pair.overlap, _mean([(side[0] + side[1]) / 2 for side in sides]))
            _same(pair.overlap_by_chance, _mean([(side[2] + side[3]) / 2 for side in sides]))

    def _dominant(self, values: np.ndarray) -> int:
        total, held, count = (values**2).sum(), 0.0, 0
        while held < 0.9 * total * (1 - 1e-12):
            held += values[count] ** 2
            count += 1
        return min(count, self.rank)


def _check_all(found: Inspection, base: Dense, tuned: Sequence[Dense], **how: Any) -> None:
    reference = Reference(base, tuned, **how)
    names = list(found.tensors)
    assert set(names) == set(base)
    tables = ("shared", "lm_head", "embed_positions", "final_logits_bias")
    matrices = [n for n in names if base[n].ndim == 2 and not any(table in n for table in tables)]
    reference.check(found.whole, names, matrices)
    for groups, of in ((found.layers, "layer"), (found.kinds, "kind")):
        members = {group: [n for n in names if getattr(found.tensors[n], of) == group] for group in groups}
        assert sorted(name for each in members.values() for name in each) == sorted(names)
        for group, figures in groups.items():
            reference.check(figures, members[group], matrices)
    for name in names:
        reference.check(found.tensors[name].figures, [name], matrices)
    assert [cut.value for cut in found.cuts] == [float(cut) for cut in reference.cuts]


def _bart(seed: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.shared.weight": (40, 8), "final_logits_bias": (1, 40)}
    for stack, attentions in (("encoder", ["self_attn"]), ("decoder", ["self_attn", "encoder_attn"])):
        shapes[f"model.{stack}.embed_positions.weight"] = (10, 8)
        for attention in attentions:
            for part in ("q_proj", "out_proj"):
                shapes[f"model.{stack}.layers.0.{attention}.{part}.weight"] = (8, 8)
                shapes[f"model.{stack}.layers.0.{attention}.{part}.bias"] = (8,)
        shapes[f"model.{stack}.layers.0.fc1.weight"] = (12, 8)
        shapes[f"model.{stack}.layers.0.final_layer_norm.weight"] = (8,)
    return {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("rank", [3, 64])
@pytest.mark.parametrize("kind", ["untied", "tied", "bart"])
def test_every_figure_is_the_dense_references(world, kind: str, rank: int) -> None:
    tensors = {"tensors": _bart(0)} if kind == "bart" else {"tied": kind == "tied"}
    base = world.save("base", **tensors)
    start = world.load(base)
    models = [world.tuned(f"m{seed}", start, seed=seed, scale=0.1 * (1 + seed)) for seed in range(3)]
    found = inspect_models(base=base, models=models, density=0.3, rank=rank, threads=2, chunk_length=24)
    tuned = [_numbers(world.load(model.folder)) for model in models]
    _check_all(found, _numbers(start), tuned, density=0.3, rank=rank)
    assert found.labels == ("m0", "m1", "m2") and found.whole.matrices == (8 if kind == "bart" else 10)
    assert ("head" in found.layers) == (kind != "tied")


def _changed_at(start: Mapping[str, torch.Tensor], names: Sequence[str]) -> dict[str, torch.Tensor]:
    """The tensors with some elements of some changed."""
    rng = torch.Generator().manual_seed(1)
    changed = {name: tensor.clone() for name, tensor in start.items()}
    for name in names:
        shape = start[name].shape
        changed[name] += (torch.rand(shape, generator=rng) < 0.6) * torch.randn(shape, generator=rng)
    return changed


def test_a_model_that_is_the_base_equal_models_and_models_changed_in_part(world) -> None:
    base = world.save("base")
    start = world.load(base)
    part = _changed_at(start, [Q, "shared.weight"])
    against = {name: 2 * start[name] - part[name] for name in start}
    folders = {"same": start, "part": part, "again": part, "against": against}
    models = [ModelInput(name, world.save(name, tensors)) for name, tensors in folders.items()]
    found = inspect_models(base=base, models=models, density=0.05, threads=1)
    tuned = [_numbers(tensors) for tensors in folders.values()]
    _check_all(found, _numbers(start), tuned, density=0.05, rank=64)
    same = found.whole.models[0]
    assert (same.length, same.largest, same.entropy_rank, found.cuts[0].value) == (0, None, None, 0)
    assert found.cuts[0].kept == found.whole.elements > found.cuts[0].wanted
    assert [pair.cosine is None for pair in found.whole.pairs] == [True] * 3 + [False] * 3
    equal, opposite = found.whole.pairs[3], found.whole.pairs[4]
    assert equal.cosine == pytest.approx(1) and equal.overlap == pytest.approx(1) and equal.conflict == 0
    assert opposite.cosine == pytest.approx(-1, rel=1e-5) and opposite.conflict == opposite.both_changed > 0
    json.dumps(found.to_json(), allow_nan=False)


def test_trimming_is_that_of_ties_merging(world, family) -> None:
    base, models = family
    for density in (0.2, 0.35, 1.0):
        output = world.root / f"ties-{density}"
        report = merge("ties_merging", base=base, models=models, output=output, settings={"density": density})
        found = inspect_models(base=base, models=models, density=density, with_spectra=False)
        kept: Any = report.figures["kept_share_by_tensor"]
        assert {n: [m.kept for m in each.figures.models] for n, each in found.tensors.items()} == kept
        cuts: Any = report.figures["cuts_by_tensor"]
        assert cuts[Q] == [cut.value for cut in found.cuts]


def test_adapters_are_what_they_make_of_the_base(world) -> None:
    base = world.save("base")
    shapes = {name: tuple(tensor.shape) for name, tensor in world.load(base).items()}
    adapters = [ModelInput(f"a{i}", world.adapter(f"a{i}", [Q], shapes, seed=i), base) for i in range(2)]
    dense = []
    for adapter in adapters:
        with open_model(adapter, base=base) as reader:
            values = {name: reader.read(name, 0, reader.info(name).numel).copy() for name in shapes}
        tensors = {name: torch.from_numpy(each).reshape(shapes[name]) for name, each in values.items()}
        dense.append(ModelInput(adapter.name, world.save(f"dense-{adapter.name}", tensors)))
    found, expected = (inspect_models(base=base, models=models) for models in (adapters, dense))
    assert found.whole == expected.whole and found.layers == expected.layers
    assert found.tensors[Q].figures.models[0].entropy_rank == pytest.approx(2, abs=0.5)
    assert [name for name, each in found.tensors.items() if each.figures.models[0].changed] == [Q]


@pytest.mark.usefixtures("short_runs")
def test_chunks_threads_and_shards_change_no_bit(world, family) -> None:
    base, models = family
    sharded = [ModelInput(m.name, world.save(f"s-{m.name}", world.load(m.folder), shards=3)) for m in models]
    whole = inspect_models(base=base, models=models, threads=1, chunk_length=1 << 14)
    for given, length, threads in ((models, 8, 1), (models, 24, 4), (sharded, 400, 2)):
        again = inspect_models(base=base, models=given, threads=threads, chunk_length=length)
        for part in ("whole", "layers", "kinds", "tensors", "cuts"):
            assert getattr(again, part) == getattr(whole, part)


def test_torch_finds_the_same(family) -> None:
    base, models = family
    found, other = (inspect_models(base=base, models=models, device=d) for d in (None, TorchDevice("cpu")))
    assert other.cuts == found.cuts
    for one, two in zip(other.whole.pairs, found.whole.pairs, strict=True):
        _same(one.cosine, two.cosine)
        _same(one.overlap, two.overlap)
    for a, b in zip(other.whole.models, found.whole.models, strict=True):
        _same(a.length, b.length)
        _same(a.entropy_rank, b.entropy_rank)


def test_an_embedding_counts_once_whatever_the_file_stores(world) -> None:
    plain = world.save("plain", tied=True)
    start = world.load(plain)
    rng = torch.Generator().manual_seed(1)
    tuned = {name: tensor + torch.randn(tensor.shape, generator=rng) for name, tensor in start.items()}

    def copies(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
        return {**tensors, **dict.fromkeys(names, tensors["shared.weight"])}

    found = inspect_models(base=plain, models=[ModelInput("m", world.save("m", tuned))])
    base, model = world.save("copies", copies(start)), ModelInput("m", world.save("c", copies(tuned)))
    stored = inspect_models(base=base, models=[model])
    assert stored.whole == found.whole and stored.cuts == found.cuts and set(stored.tensors) == set(start)


@pytest.mark.parametrize(("how", "passes"), [({}, 2), ({"with_spectra": False}, 2), ({"density": 1.0}, 1)])
def test_the_plan_reads_what_the_run_reads(family, how: dict[str, Any], passes: int) -> None:
    base, models = family
    plan = plan_inspection(base=base, models=models, **how)
    seen: list[tuple[int, int]] = []
    found = inspect_models(base=base, models=models, progress=lambda *each: seen.append(each), **how)
    assert found.bytes_read == plan.bytes_read == seen[-1][0] == seen[-1][1]
    assert plan.tensors == len(found.tensors) and plan.parameters == found.whole.elements
    assert (plan.matrices, plan.passes) == (found.whole.matrices, passes)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"density": 20}, r"density.*fix: density=0.2"),
        ({"density": 0}, "density: expected more than 0"),
        ({"rank": 0}, "rank: expected 1 or more, got 0"),
        ({"models": []}, "at least one model"),
    ],
)
def test_what_cannot_be_asked_is_refused(family, how: dict[str, Any], message: str) -> None:
    base, models = family
    with pytest.raises(UsageError, match=message):
        inspect_models(**{"base": base, "models": models, **how})


def test_models_that_do_not_belong_together_are_refused(world, family) -> None:
    base, models = family
    with pytest.raises(UsageError, match="base is among the models"):
        inspect_models(base=base, models=[ModelInput("base", base)])
    other = ModelInput("other", world.save("other", tied=True))
    with pytest.raises(WeightsError, match="other"):
        inspect_models(base=base, models=[models[0], other])


def test_a_single_model_has_no_pairs(family) -> None:
    base, models = family
    found = inspect_models(base=base, models=models[:1])
    assert found.whole.pairs == () and found.whole.total.conflict == 0
    assert found.whole.total.length == pytest.approx(found.whole.models[0].length)
    assert found.whole.total.stable_rank == pytest.approx(found.whole.models[0].stable_rank)
