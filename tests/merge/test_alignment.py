"""KnOTS against a dense reference in float64, written by the book."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from ramekin.errors import UsageError
from ramekin.merge.alignment import parse_alignment, shared_directions
from ramekin.merge.array import TorchDevice
from ramekin.merge.extraction import merge_to_adapter, plan_adapter
from ramekin.merge.inputs import ModelInput
from ramekin.merge.matrices import is_matrix
from ramekin.merge.run import Walking, merge
from ramekin.weights.factors import read_factors
from ramekin.weights.lineage import read_lineage

from .conftest import World, random_tensors, t5_shapes

SHAPES = t5_shapes()
Q = "encoder.block.0.layer.0.SelfAttention.q.weight"
V = "decoder.block.0.layer.0.SelfAttention.v.weight"
WI = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"
Dense = dict[str, np.ndarray]
Rule = Callable[[list[np.ndarray]], np.ndarray]
KNOTS = {"name": "knots"}


def knots(deltas: list[Dense], rule: Rule, *, with_s: bool = True) -> Dense:
    """Side by side, SVD, everything that is aligned in one long vector for the rule, and back."""
    aligned: dict[str, tuple[np.ndarray, list[np.ndarray]]] = {}
    for name in deltas[0]:
        u, s, vt = np.linalg.svd(np.concatenate([each[name] for each in deltas], axis=1), full_matrices=False)
        rank = int((s > 1e-6 * max(s[0], 1e-30)).sum())
        u, s, vt = u[:, :rank], s[:rank], vt[:rank]
        parts = np.split(vt, len(deltas), axis=1)
        aligned[name] = (u, [s[:, None] * each for each in parts]) if with_s else (u * s, parts)
    rows = [np.concatenate([parts[i].ravel() for _, parts in aligned.values()]) for i in range(len(deltas))]
    merged, position, found = rule(rows), 0, {}
    for name, (basis, parts) in aligned.items():
        part = merged[position : position + parts[0].size].reshape(parts[0].shape)
        found[name], position = basis @ part, position + parts[0].size
    return found


def ties(density: float) -> Rule:
    def rule(rows: list[np.ndarray]) -> np.ndarray:
        kept = []
        for row in rows:
            count = round(density * row.size)
            kept.append(np.where(abs(row) >= np.sort(abs(row))[-count], row, 0))
        sign = np.sign(sum(kept))
        return sum(np.where(np.sign(row) == sign, row, 0) for row in kept)

    return rule


def magmax(rows: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(rows)
    return np.take_along_axis(stacked, abs(stacked).argmax(axis=0)[None], axis=0)[0]


def by_hand(model: ModelInput) -> Dense:
    """An adapter's changes in float64; its alpha is three times its rank."""
    tensors = load_file(model.folder / "adapter_model.safetensors")
    found = {}
    for key in tensors:
        if key.endswith("lora_A.weight"):
            b = tensors[key.replace("lora_A", "lora_B")].astype(float)
            name = key.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
            found[name] = 3.0 * b @ tensors[key].astype(float)
    return found


@pytest.fixture
def loras(world: World) -> list[ModelInput]:
    """Three adapters of rank 2; only some matrices are changed by all."""
    targets = ([Q, V], [Q, WI], [Q, V, WI])
    return [
        ModelInput(name, world.adapter(name, names, SHAPES, seed=place + 1))
        for place, (name, names) in enumerate(zip("abc", targets, strict=True))
    ]


def deltas_of(loras: list[ModelInput]) -> list[Dense]:
    return [{n: by_hand(m).get(n, np.zeros(SHAPES[n])) for n in (V, Q, WI)} for m in loras]


def adapted(
    world: World, method: str, base: Path | None, models: list[ModelInput], rank: int = 16, **more: Any
) -> Any:
    output = world.root / f"out-{len(list(world.root.iterdir()))}"
    align = more.pop("align", KNOTS)
    report = merge_to_adapter(method, base=base, models=models, output=output, rank=rank, align=align, **more)
    changes = read_factors(output).changes
    return report, {name: f.scale * f.b.astype(float) @ f.a.astype(float) for name, f in changes.items()}


def close(found: Dense, expected: Dense, tolerance: float = 1e-5) -> None:
    assert set(found) == set(expected)
    for name, matrix in expected.items():
        assert np.linalg.norm(found[name] - matrix) <= tolerance * np.linalg.norm(matrix), name


RULES: list[tuple[str, Any, Rule]] = [
    ("ties_merging", {"density": 0.3}, ties(0.3)),
    ("ties_merging", {"density": 1.0}, ties(1.0)),
    ("magmax", {}, magmax),
    ("task_arithmetic", {}, sum),
]


@pytest.mark.parametrize("with_s", [True, False])
@pytest.mark.parametrize("with_base", [True, False])
@pytest.mark.parametrize(("method", "settings", "rule"), RULES)
def test_it_is_the_papers_as_an_adapter(
    world, loras, method: str, settings: Any, rule: Rule, with_base: bool, with_s: bool
) -> None:
    base = world.save("base", random_tensors(0)) if with_base else None
    align = {"name": "knots", "values": "sv" if with_s else "v"}
    report, found = adapted(
        world, method, base, loras, settings={"scaling_factor": 1.0, **settings}, align=align
    )
    close(found, knots(deltas_of(loras), rule, with_s=with_s))
    assert report.adapter["residual"]["worst"] < 1e-6  # ranks up to the sum of the models' are held
    assert report.adapter["in_factors"] and report.figures["aligned_ranks"] == {V: 4, Q: 6, WI: 4}
    assert report.figures["aligned_elements"] == 14 * 8


@pytest.mark.parametrize(("method", "settings", "rule"), RULES)
def test_it_is_the_papers_as_a_checkpoint(world, loras, method: str, settings: Any, rule: Rule) -> None:
    plain = {name: tensor * 1e-3 for name, tensor in random_tensors(0).items()}
    base, output = world.save("base", plain), world.root / "merged"
    merge(
        method,
        base=base,
        models=loras,
        output=output,
        settings={"scaling_factor": 0.5, **settings},
        align=KNOTS,
    )
    expected, written = knots(deltas_of(loras), rule), world.load(output)
    for name, tensor in plain.items():
        added = (written[name].double() - tensor.double()).numpy()
        np.testing.assert_allclose(added, 0.5 * expected.get(name, np.zeros(tensor.shape)), atol=2e-5)
    lineage = read_lineage(output)
    assert lineage is not None and lineage.settings["align"] == {
        "name": "knots",
        "values": "sv",
        "preset": "none",
    }


@pytest.mark.parametrize("with_s", [True, False])
@pytest.mark.parametrize(("method", "settings", "rule"), RULES)
def test_checkpoints_are_aligned_by_dense_matrices(
    world, family, method: str, settings: Any, rule: Rule, with_s: bool
) -> None:
    base, models = family
    align = {"name": "knots", "values": "sv" if with_s else "v"}
    report = merge(
        method, base=base, models=models, output=world.root / "out", settings={"scaling_factor": 1.0, **settings},
        align=align,
    )  # fmt: skip
    plain = {name: tensor.double().numpy() for name, tensor in world.load(base).items()}
    tuned = [world.load(model.folder) for model in models]
    deltas = [{name: t[name].double().numpy() - plain[name] for name in plain} for t in tuned]
    names = [name for name in sorted(plain) if is_matrix(name, plain[name].shape)]
    expected = knots([{n: d[n] for n in names} for d in deltas], rule, with_s=with_s)
    rest = [
        name for name in sorted(plain) if name not in names
    ]  # merged as they are, with a cut of their own
    flat = rule([np.concatenate([d[name].ravel() for name in rest]) for d in deltas])
    written, position = world.load(world.root / "out"), 0
    for name in rest:
        expected[name] = flat[position : position + plain[name].size].reshape(plain[name].shape)
        position += plain[name].size
    for name, matrix in expected.items():
        np.testing.assert_allclose(written[name].double().numpy() - plain[name], matrix, atol=2e-5)
    assert set(report.figures["aligned_ranks"]) == set(names)


@pytest.mark.parametrize("kind", ["loras", "checkpoints"])
def test_torch_gives_the_same(world, loras, family, kind: str) -> None:
    base, models = family[0], loras if kind == "loras" else family[1]
    outputs = [world.root / "numpy", world.root / "torch"]
    for output, device in zip(outputs, (None, TorchDevice("cpu")), strict=True):
        merge(
            "ties_merging", base=base, models=models, output=output, settings={}, align=KNOTS, device=device
        )
    ours, theirs = (world.load(output) for output in outputs)
    for name, tensor in ours.items():
        np.testing.assert_allclose(theirs[name].numpy(), tensor.numpy(), atol=1e-5)
    _, one = adapted(world, "ties_merging", base, models, settings={}, rest="drop")
    walking = Walking(device=TorchDevice("cpu"))
    _, other = adapted(world, "ties_merging", base, models, settings={}, rest="drop", walking=walking)
    close(other, one)


def test_an_unscaled_method_is_aligned_too(world, loras) -> None:
    """Where coefficients are one a matrix, alignment changes nothing."""
    _, aligned = adapted(world, "lines", None, loras, settings={})
    _, plain = adapted(world, "lines", None, loras, settings={}, align=None)
    close(aligned, plain, 2e-6)
    base = world.save("base", random_tensors(0))
    for align in (KNOTS, None):
        merge("lines", base=base, models=loras, output=world.root / f"{align}", settings={}, align=align)
    ours, theirs = world.load(world.root / f"{KNOTS}"), world.load(world.root / "None")
    for name, tensor in theirs.items():
        np.testing.assert_allclose(ours[name].numpy(), tensor.numpy(), atol=1e-5)


def test_the_order_of_models_does_not_matter(world, loras) -> None:
    settings = {"density": 0.4, "scaling_factor": 1.0}
    _, one = adapted(world, "ties_merging", None, loras, settings=settings)
    _, other = adapted(world, "ties_merging", None, loras[::-1], settings=settings)
    close(one, other)


def test_a_truncated_adapter_is_the_best_of_the_whole_one(world, loras) -> None:
    settings = {"density": 0.4, "scaling_factor": 1.0}
    _, whole = adapted(world, "ties_merging", None, loras, settings=settings)
    report, _ = adapted(world, "ties_merging", None, loras, rank=2, settings=settings)
    for name, matrix in whole.items():
        values = np.linalg.svd(matrix, compute_uv=False)
        best = np.sqrt((values[2:] ** 2).sum()) / np.linalg.norm(values)
        assert report.adapter["by_tensor"][name]["residual"] == pytest.approx(best, rel=1e-4)


def test_a_step_after_it(world, loras) -> None:
    base = world.save("base", {name: tensor * 1e-3 for name, tensor in random_tensors(0).items()})
    post, settings = {"name": "svc"}, {"density": 0.4}
    merge(
        "ties_merging",
        base=base,
        models=loras,
        output=world.root / "dense",
        settings=settings,
        post=post,
        align=KNOTS,
    )
    dense, plain = world.load(world.root / "dense"), world.load(base)
    _, found = adapted(world, "ties_merging", base, loras, settings=settings, post=post)
    for name, change in found.items():
        np.testing.assert_allclose(change, (dense[name] - plain[name]).numpy(), atol=2e-5)


def test_an_adapted_head_is_merged_as_it_is(world) -> None:
    names = [Q, "lm_head.weight"]
    models = [ModelInput(n, world.adapter(n, names, SHAPES, seed=seed)) for seed, n in enumerate("ab")]
    base = world.save("base", random_tensors(0))
    report, found = adapted(world, "magmax", base, models, settings={"scaling_factor": 1.0})
    head = magmax([by_hand(model)["lm_head.weight"] for model in models])
    np.testing.assert_allclose(found["lm_head.weight"], head, atol=1e-4)
    assert set(report.figures["aligned_ranks"]) == {Q}


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_byte(world, loras, family, threads: int) -> None:
    base, models = family
    hashes = {
        merge(
            "ties_merging", base=base, models=[*models, *loras], output=world.root / f"{count}-{length}",
            settings={}, align=KNOTS, threads=count, chunk_length=length,
        ).sha256
        for count, length in ((threads, None), (2, 4096))
    }  # fmt: skip
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("method", "message"),
    [("tsv_merge", "goes matrix by matrix itself"), ("wudi", "goes matrix by matrix itself"), ("slerp", "something else than deltas"), ("dummy", "something else than deltas")],
)  # fmt: skip
def test_methods_that_cannot_be_aligned(world, loras, method: str, message: str) -> None:
    base = world.save("base", random_tensors(0))
    with pytest.raises(UsageError, match=message):
        merge(method, base=base, models=loras[:2], output=world.root / "x", settings={}, align=KNOTS)
    with pytest.raises(UsageError, match=message):
        adapted(world, method, base, loras[:2], settings={})


def test_words_of_a_configuration() -> None:
    assert parse_alignment(None) is None and parse_alignment({"name": "none"}) is None
    paper = parse_alignment({"name": "knots", "preset": "paper"})
    assert paper is not None and paper.values == "v"
    for wrong, message in (
        ({"name": "knot"}, "knots"),
        ({"name": "knots", "values": "u"}, "values"),
        ({"name": "knots", "x": 1}, "'x'"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_alignment(wrong)


def test_the_plan_knows_the_ranks(world, loras) -> None:
    plan = plan_adapter(
        "ties_merging", base=None, models=loras, output=world.root / "x", settings={}, rank=64, align=KNOTS
    )
    assert plan.align == {"name": "knots", "values": "sv", "preset": "none"}
    assert (
        plan.parameters == 4 * 16 + 6 * 16 + 4 * 20
        and plan.adapter is not None
        and plan.adapter["in_factors"]
    )


@pytest.mark.parametrize("out", [9, 30])
def test_shared_directions_leave_out_rounding(out: int) -> None:
    rng = np.random.default_rng(0)
    low = [rng.standard_normal((out, 2)) @ rng.standard_normal((2, 5)) for _ in range(2)]
    basis, values = shared_directions([each.astype(np.float32) for each in low])  # type: ignore[misc]
    expected = np.linalg.svd(np.concatenate(low, axis=1), compute_uv=False)
    np.testing.assert_allclose(values, expected[:4], rtol=1e-5)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-9)
