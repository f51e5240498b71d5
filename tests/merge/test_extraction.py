"""Merges into an adapter: against a dense reference in float64, against the dense output, and as PEFT reads them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.array import TorchDevice
from ramekin.merge.extraction import merge_to_adapter, plan_adapter
from ramekin.merge.inputs import ModelInput
from ramekin.merge.run import Walking, merge
from ramekin.weights.factors import read_factors
from ramekin.weights.lineage import read_lineage, weights_sha256
from ramekin.weights.verify import verify_checkpoint

from .conftest import World, random_tensors, t5_shapes

SHAPES = t5_shapes()
Q = "encoder.block.0.layer.0.SelfAttention.q.weight"
V = "decoder.block.0.layer.0.SelfAttention.v.weight"
WI = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"
Dense = dict[str, np.ndarray]


def merged(
    world: World, method: str, base: Path | None, models: list[ModelInput], rank: int, **more: Any
) -> Any:
    """The report and the changes of an adapter in float64, read back."""
    output = world.root / f"out-{len(list(world.root.iterdir()))}"
    settings = more.pop("settings", {})
    report = merge_to_adapter(
        method, base=base, models=models, output=output, settings=settings, rank=rank, **more
    )
    changes = read_factors(output).changes
    return report, {name: f.scale * f.b.astype(float) @ f.a.astype(float) for name, f in changes.items()}


def by_hand(model: ModelInput) -> Dense:
    """An adapter's changes in float64, by the book."""
    config = json.loads((model.folder / "adapter_config.json").read_text())
    tensors = load_file(model.folder / "adapter_model.safetensors")
    root = config["r"] ** 0.5 if config.get("use_rslora") else config["r"]
    found = {}
    for key in tensors:
        if key.endswith("lora_A.weight"):
            b = tensors[key.replace("lora_A", "lora_B")].astype(float)
            name = key.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
            found[name] = config["lora_alpha"] / root * b @ tensors[key].astype(float)
    return found


def summed(models: list[ModelInput], weights: list[float]) -> Dense:
    total: Dense = {}
    for model, weight in zip(models, weights, strict=True):
        for name, change in by_hand(model).items():
            total[name] = total.get(name, 0) + weight * change
    return total


def relative(found: Dense, expected: Dense) -> float:
    assert set(found) == set(expected)
    return max(
        np.linalg.norm(found[name] - expected[name]) / np.linalg.norm(expected[name]) for name in expected
    )


def configure(folder: Path, **keys: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


@pytest.fixture
def loras(world: World) -> list[ModelInput]:
    """Three adapters of ranks 2, 3 and 1 that change some of the same matrices; the second is an rsLoRA."""
    made = [
        ModelInput("a", world.adapter("a", [Q, V], SHAPES, seed=1, rank=2)),
        ModelInput("b", world.adapter("b", [Q, WI], SHAPES, seed=2, rank=3, alpha=4.0)),
        ModelInput("c", world.adapter("c", [Q, V, WI], SHAPES, seed=3, rank=1)),
    ]
    configure(made[1].folder, use_rslora=True)
    return made


@pytest.fixture
def base(world: World) -> Path:
    return world.save("base", random_tensors(0))


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("with_base", [False, True])
def test_one_adapter_reproduces_itself(world, base, loras, place: int, with_base: bool) -> None:
    report, found = merged(
        world,
        "task_arithmetic",
        base if with_base else None,
        [loras[place]],
        8,
        settings={"scaling_factor": 1.0},
    )
    assert relative(found, by_hand(loras[place])) < 1e-6
    assert report.adapter["residual"]["whole"] < 1e-6 and report.adapter["in_factors"]
    rank = json.loads((loras[place].folder / "adapter_config.json").read_text())["r"]
    assert {each["rank"] for each in report.adapter["by_tensor"].values()} == {rank}  # no more than there is


@pytest.mark.parametrize("with_base", [False, True])
def test_a_sum_of_adapters_is_exact_and_of_any_order(world, base, loras, with_base: bool) -> None:
    weights = [0.5, -1.0, 2.0]
    expected = summed(loras, [0.7 * weight for weight in weights])
    root = base if with_base else None
    for order in ([0, 1, 2], [2, 0, 1]):
        settings = {"scaling_factor": 0.7, "weights": [weights[place] for place in order]}
        report, found = merged(
            world, "task_arithmetic", root, [loras[place] for place in order], 6, settings=settings
        )
        assert relative(found, expected) < 1e-6
        assert report.adapter["residual"]["worst"] < 1e-6
        assert report.adapter["by_tensor"][Q]["rank"] == 6 and report.adapter["by_tensor"][V]["rank"] == 3


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_a_lower_rank_is_the_best_of_that_rank(world, loras, rank: int) -> None:
    report, found = merged(world, "task_arithmetic", None, loras, rank, settings={"scaling_factor": 1.0})
    for name, expected in summed(loras, [1.0] * 3).items():
        values = np.linalg.svd(expected, compute_uv=False)
        least = np.sqrt((values[rank:] ** 2).sum())  # Eckart-Young
        assert np.linalg.norm(found[name] - expected) == pytest.approx(least, rel=1e-5, abs=1e-5)
        told = report.adapter["by_tensor"][name]["residual"]
        assert told == pytest.approx(least / np.linalg.norm(values), rel=1e-5, abs=1e-6)
    residual, each = report.adapter["residual"], report.adapter["by_tensor"]
    assert (
        residual["worst"]
        == max(one["residual"] for one in each.values())
        == each[residual["worst_tensor"]]["residual"]
    )
    assert residual["median"] == np.median([one["residual"] for one in each.values()])


LINEAR = [
    ("task_arithmetic", {"scaling_factor": {"encoder": 0.2, ".*": 0.4}, "normalize": True}, 3),
    ("simple_average", {"weights": [1, 2, 3]}, 3),
    ("task_negation", {"scaling_factor": 0.5}, 3),
    ("metagpt", {}, 3),
    ("lines", {"alpha": 0.1}, 3),
    ("model_stock", {"negative": "formula"}, 3),
    ("task_analogy", {"scaling_factor": 0.9}, 2),
    ("expo", {"extrapolation": 0.3}, 1),
]
OTHERS = [
    ("ties_merging", {"density": 0.02}, 3),
    ("ties_merging", {"density": 0.5, "scope": "tensor", "merge_func": "mean"}, 3),
    ("dare", {"density": 0.5}, 3),
    ("magmax", {}, 3),
    ("breadcrumbs", {"density": 0.5}, 3),
    ("tsv_merge", {}, 2),
    ("iso_c", {}, 3),
    ("slerp", {}, 2),
    ("karcher", {}, 3),
]


@pytest.mark.parametrize(("method", "settings", "count"), [*LINEAR, *OTHERS])
def test_the_adapter_is_the_dense_output_minus_the_base(
    world, loras, method: str, settings: Any, count: int
) -> None:
    small = {name: tensor * 1e-3 for name, tensor in random_tensors(0).items()}
    base, models = world.save("base", small), loras[:count]
    merge(method, base=base, models=models, output=world.root / "dense", settings=settings)
    dense = world.load(world.root / "dense")
    report, found = merged(world, method, base, models, 8, settings=settings, rest="drop")
    is_linear = (method, settings, count) in LINEAR
    assert report.adapter["in_factors"] is is_linear
    for name, tensor in dense.items():
        added = tensor.double().numpy() - small[name].double().numpy()
        if name in found:
            np.testing.assert_allclose(found[name], added, atol=2e-5)
        elif len(tensor.shape) == 2 and method != "slerp" and method != "karcher":
            assert np.abs(added).max() < 1e-9


@pytest.mark.parametrize(
    ("method", "settings", "count"), [each for each in LINEAR if each[0] != "model_stock"]
)
def test_no_base_gives_the_same(world, base, loras, method: str, settings: Any, count: int) -> None:
    if method == "lines" or "depth" in str(settings):
        pytest.skip("depth is that of the tensors there are")
    _, without = merged(world, method, None, loras[:count], 8, settings=settings)
    _, beside = merged(world, method, base, loras[:count], 8, settings=settings)
    assert relative(without, beside) < 1e-6


def test_the_cut_of_ties_counts_what_is_merged(world, base, loras) -> None:
    """20 % of a whole model are more than adapters change: nothing is trimmed, and a warning says so."""
    settings = {"density": 0.2, "scaling_factor": 1.0}
    whole, _ = merged(world, "ties_merging", base, loras, 8, settings=settings)
    own, _ = merged(world, "ties_merging", None, loras, 8, settings=settings)
    assert "kept" in " ".join(whole.warnings) and own.warnings == ()
    assert whole.adapter["elements_merged"] == sum(int(np.prod(shape)) for shape in SHAPES.values())
    assert own.adapter["elements_merged"] == sum(int(np.prod(SHAPES[name])) for name in (Q, V, WI))


def test_ties_without_a_base_is_ties_of_the_adapted_matrices(world, loras, reference) -> None:
    deltas = [by_hand(model) for model in loras]
    zero = {name: torch.zeros(SHAPES[name], dtype=torch.float64) for name in (Q, V, WI)}
    tuned = [{n: torch.from_numpy(d[n]) if n in d else zero[n] for n in zero} for d in deltas]
    expected = reference(
        zero, tuned, scaling_factor=0.4, keep_count=lambda n: round(0.3 * n), scope="model", merge_func="sum"
    )
    _, found = merged(world, "ties_merging", None, loras, 8, settings={"density": 0.3, "scaling_factor": 0.4})
    assert relative(found, {name: tensor.numpy() for name, tensor in expected.items()}) < 1e-5


def test_a_step_after_the_method(world, loras) -> None:
    base = world.save("base", {name: tensor * 1e-3 for name, tensor in random_tensors(0).items()})
    post = {"name": "svc", "alpha": 0.2}
    merge("task_arithmetic", base=base, models=loras, output=world.root / "dense", settings={}, post=post)
    dense, plain = world.load(world.root / "dense"), world.load(base)
    report, found = merged(world, "task_arithmetic", base, loras, 8, post=post)
    assert not report.adapter["in_factors"]
    for name, change in found.items():
        np.testing.assert_allclose(change, (dense[name] - plain[name]).numpy(), atol=1e-5)


def dora_and_ia3(world: World) -> list[ModelInput]:
    """A DoRA of two matrices and an IA3 of two."""
    from safetensors.torch import save_file

    dora = world.adapter("dora", [Q, V], SHAPES, seed=5)
    tensors = {
        key: torch.from_numpy(value) for key, value in load_file(dora / "adapter_model.safetensors").items()
    }
    for name in (Q, V):
        key = f"base_model.model.{name.removesuffix('.weight')}.lora_magnitude_vector"
        tensors[key] = torch.rand(8, generator=torch.Generator().manual_seed(7)) + 1
    save_file(tensors, dora / "adapter_model.safetensors")
    configure(dora, use_dora=True)
    ia3 = world.root / "ia3"
    ia3.mkdir()
    vectors = {
        f"base_model.model.{V.removesuffix('.weight')}.ia3_l": torch.full((8, 1), 1.5),
        f"base_model.model.{WI.removesuffix('.weight')}.ia3_l": torch.full((1, 8), 0.5),
    }
    save_file(vectors, ia3 / "adapter_model.safetensors")
    config = {"peft_type": "IA3", "base_model_name_or_path": "base", "feedforward_modules": ["wi_0"]}
    (ia3 / "adapter_config.json").write_text(json.dumps(config))
    return [ModelInput("dora", dora), ModelInput("ia3", ia3)]


def test_dora_and_ia3_by_their_dense_change(world, base) -> None:
    """By the book: W' = m V / |V| row by row, V = W + s B A; and W' = l W."""
    plain = {name: tensor.double().numpy() for name, tensor in random_tensors(0).items()}
    dora, ia3 = dora_and_ia3(world)
    tensors = load_file(dora.folder / "adapter_model.safetensors")
    expected = {}
    for name, change in by_hand(dora).items():
        rows = plain[name] + change
        lengths = tensors[f"base_model.model.{name.removesuffix('.weight')}.lora_magnitude_vector"]
        expected[name] = lengths[:, None] * rows / np.linalg.norm(rows, axis=1, keepdims=True) - plain[name]
    report, found = merged(world, "task_arithmetic", base, [dora], 8, settings={"scaling_factor": 1.0})
    assert relative(found, expected) < 1e-6 and not report.adapter["in_factors"]
    expected[V] = expected[V] + 0.5 * plain[V]
    expected[WI] = -0.5 * plain[WI]
    _, found = merged(world, "task_arithmetic", base, [dora, ia3], 8, settings={"scaling_factor": 1.0})
    assert relative(found, expected) < 2e-6


def test_the_lora_of_a_checkpoint(world, family) -> None:
    base, models = family[0], family[1][:1]
    with pytest.raises(
        WeightsError, match="3 tensors changed that no LoRA can hold: shared.weight, "
    ) as caught:
        merged(world, "task_arithmetic", base, models, 4)
    assert "adapter_rest=drop" in str(caught.value) and not list(world.root.glob("out-*"))
    report, found = merged(
        world, "task_arithmetic", base, models, 4, settings={"scaling_factor": 1.0}, rest="drop"
    )
    plain, tuned = world.load(base), world.load(models[0].folder)
    left = 0.0
    for name, tensor in tuned.items():
        delta = (tensor.double() - plain[name].double()).numpy()
        if name not in found:
            left += np.square(delta).sum()
            continue
        values = np.linalg.svd(delta, compute_uv=False)
        assert np.linalg.norm(found[name] - delta) == pytest.approx(
            np.sqrt((values[4:] ** 2).sum()), rel=1e-4
        )
    dropped = report.adapter["dropped"]
    whole = sum(float((tuned[n].double() - plain[n].double()).square().sum()) for n in tuned)
    assert dropped["tensors"] == 3 == len(dropped["lengths"])
    assert dropped["share_of_squared_length"] == pytest.approx(left / whole, rel=1e-5)
    assert "3 tensors changed that no LoRA can hold and were dropped" in report.warnings[-1]
    assert "lm_head.weight" in found  # a head of its own is a linear layer


def test_a_tied_head_is_no_layer_of_its_own(world) -> None:
    tensors = random_tensors(0)
    tensors["lm_head.weight"] = tensors["shared.weight"]
    base = world.save("base", tensors)
    changed = {name: tensor + 0.1 * torch.randn(tensor.shape) for name, tensor in tensors.items()}
    changed["lm_head.weight"] = changed["shared.weight"]
    model = ModelInput("m", world.save("m", changed))
    report, found = merged(world, "task_arithmetic", base, [model], 8, rest="drop")
    assert "lm_head.weight" not in found and "shared.weight" in report.adapter["dropped"]["lengths"]


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("slerp", {}, "slerp looks at the base's values"),
        (
            "simple_average",
            {"weights": [1, 2], "normalize": False},
            "simple_average looks at the base's values",
        ),
    ],
)
def test_methods_that_need_the_base(world, loras, method: str, settings: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        merged(world, method, None, loras[:2], 4, settings=settings)


def test_models_that_need_the_base(world, loras, base) -> None:
    dora, ia3 = dora_and_ia3(world)
    for model in (dora, ia3):
        with pytest.raises(UsageError, match="depends on the base's values") as caught:
            merged(world, "task_arithmetic", None, [loras[0], model], 4)
        assert "add base=" in str(caught.value)
    with pytest.raises(UsageError, match="what a checkpoint learned is known beside its base only"):
        merged(world, "task_arithmetic", None, [loras[0], ModelInput("dense", base)], 4)
    with pytest.raises(UsageError, match="given no models"):
        merged(world, "task_arithmetic", None, [], 4)


def test_adapters_of_different_bases_or_shapes(world, loras) -> None:
    other = ModelInput("x", world.adapter("x", [Q], SHAPES, base="google/flan-t5-base"))
    twin = ModelInput("y", world.adapter("y", [Q], SHAPES, base="google/t5-v1_1-base"))
    with pytest.raises(WeightsError, match="trained on different bases.*expected 'google/flan-t5-base', got"):
        merged(world, "task_arithmetic", None, [other, twin], 4)
    wide = ModelInput("w", world.adapter("w", [Q], {Q: (8, 4)}))
    with pytest.raises(WeightsError, match=r"differs in shape.*\[8, 4\] in 'w'"):
        merged(world, "task_arithmetic", None, [loras[0], wide], 4)
    (world.root / "local").mkdir()
    local = ModelInput("l", world.adapter("l", [Q], SHAPES, base=str(world.root / "local")))
    report, _ = merged(world, "task_arithmetic", None, [other, local], 4)
    assert "nothing tells whether these are one" in report.warnings[0]


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one(world, loras, rank: int) -> None:
    with pytest.raises(UsageError, match="the rank of an adapter"):
        merged(world, "task_arithmetic", None, loras, rank)


def test_a_merge_that_changes_nothing(world, loras) -> None:
    with pytest.raises(WeightsError, match="changes no matrix"):
        merged(world, "task_arithmetic", None, loras, 4, settings={"scaling_factor": 0.0})
    assert not list(world.root.glob("out-*"))


@pytest.mark.parametrize("method", ["task_arithmetic", "magmax"])
def test_what_is_not_finite_is_not_written(world, loras, method: str) -> None:
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(WeightsError, match="not finite"):
        merged(world, method, None, loras, 4, settings={"scaling_factor": 3e38}, walking=Walking(threads=1))
    assert not list(world.root.glob("out-*"))


def test_the_folder_is_whole_and_says_where_it_came_from(world, base, loras) -> None:
    output = world.root / "made"
    merge_to_adapter(
        "task_arithmetic", base=base, models=loras, output=output, settings={}, rank=3, base_name="org/base"
    )
    verify_checkpoint(output)
    lineage = read_lineage(output)
    assert lineage is not None and (lineage.kind, lineage.operation) == ("adapter", "merge/task_arithmetic")
    assert lineage.base == "org/base" and [p.role for p in lineage.parents] == [
        "base",
        "model",
        "model",
        "model",
    ]
    assert lineage.parents[0].sha256 == weights_sha256(base)
    assert lineage.settings["adapter_rank"] == 3 and lineage.settings["adapter_rest"] == "refuse"
    config = json.loads((output / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "org/base" and config["lora_alpha"] == config["r"] == 3
    again = merge_to_adapter(  # it is a model of the next merge, on the same base
        "task_arithmetic",
        base=base,
        models=[ModelInput("made", output)],
        output=world.root / "again",
        settings={"scaling_factor": 1.0},
        rank=3,
    )
    assert again.warnings == () and again.adapter["residual"]["whole"] < 1e-6
    with pytest.raises(UsageError, match="exists"):
        merge_to_adapter("task_arithmetic", base=base, models=loras, output=output, settings={}, rank=3)


def test_a_recorded_base_is_handed_on(world, loras) -> None:
    from ramekin.weights.lineage import Lineage, Parent, write_manifest

    right = Parent("org/base", "ab" * 32, "base")
    for model in loras:
        configure(model.folder, base_model_name_or_path="org/base")
        write_manifest(
            model.folder, Lineage(kind="adapter", operation="finetune", base="org/base", parents=(right,))
        )
    output = world.root / "made"
    merge_to_adapter("task_arithmetic", base=None, models=loras, output=output, settings={}, rank=3)
    lineage = read_lineage(output)
    assert lineage is not None and lineage.base == "org/base" and lineage.parents[0] == right


@pytest.mark.parametrize(("dtype", "stored", "most"), [("same", "F32", 1e-6), ("bfloat16", "BF16", 1e-2)])
def test_the_dtype_of_the_factors(world, loras, dtype: Any, stored: str, most: float) -> None:
    from ramekin.weights.header import read_header

    report, _ = merged(world, "task_arithmetic", None, loras, 8, dtype=dtype)
    header = read_header(Path(report.output) / "adapter_model.safetensors")
    assert {info.dtype for info in header.tensors.values()} == {stored}
    assert most / 1e3 < report.adapter["residual"]["whole"] < most  # that of what is stored


@pytest.mark.parametrize("with_base", [False, True])
@pytest.mark.parametrize("method", ["task_arithmetic", "ties_merging"])
def test_the_plan_is_what_is_done(world, base, loras, method: str, with_base: bool) -> None:
    output, root = world.root / "made", base if with_base else None
    plan = plan_adapter(method, base=root, models=loras, output=output, settings={}, rank=2)
    report = merge_to_adapter(method, base=root, models=loras, output=output, settings={}, rank=2)
    assert plan.adapter == {
        "rank": 2, "matrices": 3, "in_factors": method == "task_arithmetic", "reads_the_base": False,
    }  # fmt: skip
    assert plan.output == str(output) and plan.tensors == report.tensors == 6
    assert plan.parameters >= report.parameters and plan.bytes_written >= report.bytes_written
    assert plan.bytes_read < 10_000  # the adapters alone
    if with_base:
        assert plan.base == str(base)


@pytest.mark.parametrize("method", ["task_arithmetic", "ties_merging"])
def test_threads_and_chunks_change_no_byte(world, base, loras, method: str) -> None:
    hashes = {
        merged(world, method, base, loras, 2, walking=Walking(threads=threads, chunk_length=length))[0].sha256
        for threads, length in ((1, None), (3, 4096), (2, None))
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("method", ["task_arithmetic", "ties_merging"])
def test_torch_gives_the_same(world, base, loras, method: str) -> None:
    _, ours = merged(world, method, base, loras, 8)
    _, theirs = merged(world, method, base, loras, 8, walking=Walking(device=TorchDevice("cpu")))
    assert relative(theirs, ours) < 1e-5


def test_the_report_is_json(world, loras) -> None:
    report, _ = merged(world, "ties_merging", None, loras, 2)
    json.dumps(dataclasses.asdict(report), allow_nan=False)
