import numpy as np
import pytest
import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.direction import merge_arrays, merge_direction, merge_tensors
from ramekin.merge.inputs import ModelInput
from ramekin.merge.parameters import parse_parameter
from ramekin.merge.run import merge
from ramekin.weights.reading import CheckpointReader

CASES = [
    ("dummy", {}),
    ("simple_average", {"weights": [1, 2, 3]}),
    ("task_arithmetic", {"scaling_factor": 0.4}),
    ("ties_merging", {"preset": "fusionbench", "threshold": 30}),
]


def _written(world, method, settings, family, name, **more):
    base, models = family
    merge(method, base=base, models=models, output=world.root / name, settings=settings, **more)
    return world.load(world.root / name)


@pytest.mark.parametrize(("method", "settings"), CASES)
@pytest.mark.parametrize("dtype", ["same", "bfloat16"])
def test_tensors_in_memory_are_those_on_disk(world, family, method, settings, dtype) -> None:
    base, models = family
    tensors = merge_tensors(method, base=base, models=models, settings=settings, dtype=dtype)
    written = _written(world, method, settings, family, "out", dtype=dtype)
    assert tensors.keys() == written.keys()
    for name, tensor in written.items():
        assert torch.equal(torch.from_numpy(tensors[name]), tensor.float())


@pytest.mark.parametrize("method", ["task_arithmetic", "ties_merging"])
@pytest.mark.parametrize("dtype", ["same", "bfloat16"])
def test_a_sweep_equals_separate_merges_bit_for_bit(world, family, method: str, dtype) -> None:
    base, models = family
    factors = [0.0, 0.1, 0.3, 1.0, -1.0]
    direction = merge_direction(method, base=base, models=models, settings={}, dtype=dtype)
    for factor in factors:
        tensors = direction.scaled(factor)
        settings = {"scaling_factor": factor}
        written = _written(world, method, settings, family, f"at-{factor}", dtype=dtype)
        assert tensors.keys() == written.keys()
        assert all(torch.equal(torch.from_numpy(tensors[name]), written[name].float()) for name in written)


def test_a_sweep_reads_once(world, family, monkeypatch) -> None:
    base, models = family
    reads = 0
    read = CheckpointReader.read

    def counted(self, name, start, stop, *, out=None):
        nonlocal reads
        reads += 1
        return read(self, name, start, stop, out=out)

    monkeypatch.setattr(CheckpointReader, "read", counted)
    direction = merge_direction("task_arithmetic", base=base, models=models, settings={})
    after = reads
    assert after > 0
    for factor in (0.0, 0.5, 1.0):
        direction.scaled(factor)
    assert reads == after


def test_a_direction_carries_figures_and_warnings(world, family) -> None:
    base, models = family
    direction = merge_direction("ties_merging", base=base, models=models, settings={"scaling_factor": 9})
    assert set(direction.figures["kept_share"]) == {model.label for model in models}  # type: ignore[call-overload]
    copy = ModelInput("copy", world.save("copy", world.load(base)))
    assert merge_direction("ties_merging", base=base, models=[copy], settings={}).warnings


def test_a_head_that_is_the_embedding(world) -> None:
    base = world.save("base", tied=True)
    start = world.load(base)
    doubled = world.save("doubled", {**start, "lm_head.weight": start["shared.weight"]})
    tuned = {name: tensor + 1 for name, tensor in world.load(doubled).items()}
    models = [ModelInput("m", world.save("m", tuned))]
    for tensors in (
        merge_tensors("task_arithmetic", base=doubled, models=models, settings={}),
        merge_direction("task_arithmetic", base=doubled, models=models, settings={}).scaled(0.3),
    ):
        assert np.array_equal(tensors["lm_head.weight"], tensors["shared.weight"])


def test_methods_without_a_scaling_factor(world, family) -> None:
    with pytest.raises(
        UsageError, match="simple_average has no scaling_factor; fix: sweep a method that has one"
    ):
        merge_direction("simple_average", base=family[0], models=family[1], settings={})


def test_results_that_are_not_finite(world, family) -> None:
    base, models = family
    direction = merge_direction("task_arithmetic", base=base, models=models, settings={}, dtype="float16")
    with pytest.raises(
        WeightsError, match=r"a merged value is not finite: .*: expected finite float16 values"
    ):
        direction.scaled(1e6)
    with pytest.raises(WeightsError, match="a merged value is not finite"):
        merge_tensors(
            "task_arithmetic", base=base, models=models, settings={"scaling_factor": 1e6}, dtype="float16"
        )


@pytest.mark.parametrize(("method", "settings"), CASES)
def test_arrays_merge_as_checkpoints_do(world, family, method, settings) -> None:
    base, models = family
    start, own = world.load(base), [world.load(model.folder) for model in models]
    written = _written(world, method, settings, family, "out")
    unique = {**settings, "counting": "unique"} if method == "ties_merging" else settings
    expected = written if unique == settings else _written(world, method, unique, family, "unique")
    merged = merge_arrays(method, start, own if method != "dummy" else [], **unique)
    assert all(torch.equal(torch.from_numpy(merged[name]), expected[name]) for name in written)


def test_arrays_that_do_not_fit(world) -> None:
    base = {"w": np.zeros(2, dtype=np.float32)}
    with pytest.raises(WeightsError, match=r"a tensor differs in shape: w: expected \[2\] as in the base"):
        merge_arrays("task_arithmetic", base, [{"w": np.zeros(3, dtype=np.float32)}])
    with pytest.raises(UsageError, match="task_arithmetic needs the base"):
        merge_arrays("task_arithmetic", None, [base])


@pytest.mark.parametrize("factor", [{"depth": [0.1, 0.9]}, {"lm_head": 0.9, ".*": 0.1}])
def test_a_factor_by_tensor_leaves_a_stored_head_tied(world, factor) -> None:
    """Two copies of one tensor are merged as that tensor, wherever the copy's own name would put it."""
    base = world.save("base", tied=True)
    start = world.load(base)
    doubled = world.save("doubled", {**start, "lm_head.weight": start["shared.weight"]})
    tuned = {name: tensor * 2 for name, tensor in world.load(doubled).items()}
    family = doubled, [ModelInput("m", world.save("m", tuned))]
    written = _written(world, "task_arithmetic", {"scaling_factor": factor}, family, "out")
    direction = merge_direction("task_arithmetic", base=doubled, models=family[1], settings={})
    tensors = direction.scaled(parse_parameter("scaling_factor", factor))
    assert torch.equal(written["lm_head.weight"], written["shared.weight"])
    assert all(torch.equal(torch.from_numpy(tensors[name]), written[name]) for name in written)


@pytest.mark.parametrize("method", ["breadcrumbs", "ties_merging"])
def test_a_stored_head_does_not_count_twice_in_the_kept_share(world, method: str) -> None:
    base = world.save("base", tied=True)
    start = world.load(base)
    doubled = world.save("doubled", {**start, "lm_head.weight": start["shared.weight"]})
    tuned = {name: tensor * 2 for name, tensor in world.load(doubled).items()}
    models = [ModelInput("m", world.save("m", tuned))]
    direction = merge_direction(method, base=doubled, models=models, settings={"density": 1})
    assert set(direction.figures["kept_share"].values()) == {1.0}  # type: ignore[attr-defined]
