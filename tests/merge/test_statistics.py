"""Statistics in a merge: whose they are, that nothing is merged by those of another model, and how they count."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.direction import merge_arrays, merge_direction, merge_tensors
from ramekin.merge.inputs import ModelInput
from ramekin.merge.plan import plan_merge
from ramekin.merge.run import merge
from ramekin.weights.lineage import read_lineage, weights_sha256

QUERY = "encoder.block.0.layer.0.SelfAttention.q.weight"


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: each.numpy() for name, each in tensors.items()}


def _fisher(tensors: dict[str, torch.Tensor], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(tuple(each.shape)).astype(np.float32) for name, each in tensors.items()}


def _gram(tensors: dict[str, torch.Tensor], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {}
    for name, each in tensors.items():
        if each.ndim == 2 and "block" in name:
            inputs = rng.standard_normal((40, each.shape[1]))
            found[name] = (inputs.T @ inputs / 40).astype(np.float32)
    return found


MAKE = {"fisher": _fisher, "gram": _gram}


@pytest.fixture
def collected(world, family) -> dict[str, list[Path]]:
    """Statistics of the models of the family, of both kinds."""
    return {
        kind: [
            world.statistics(f"{kind}-{model.name}", kind, model.folder, make(world.load(model.folder), seed))
            for seed, model in enumerate(family[1])
        ]
        for kind, make in MAKE.items()
    }


METHODS = (("fisher", "fisher"), ("regmean", "gram"))


@pytest.mark.parametrize(("method", "kind"), METHODS)
def test_each_model_gets_its_own_in_whatever_order(world, family, collected, method: str, kind: str) -> None:
    base, models = family
    given: Any = {"base": base, "models": models, "settings": {}}
    outputs = []
    for order in ([0, 1, 2], [2, 0, 1]):
        output = world.root / f"out-{order[0]}"
        statistics = [collected[kind][place] for place in order]
        plan = plan_merge(method, output=output, statistics=statistics, **given)
        report = merge(method, output=output, statistics=statistics, **given)
        assert report.bytes_read == plan.bytes_read
        outputs.append(world.load(output))
    tensors = [world.load(model.folder) for model in models]
    expected = merge_arrays(
        method,
        _arrays(world.load(base)),
        [_arrays(each) for each in tensors],
        statistics=[MAKE[kind](each, seed) for seed, each in enumerate(tensors)],
    )
    assert outputs[0].keys() == expected.keys()
    for name, each in expected.items():
        assert torch.equal(outputs[0][name], torch.from_numpy(each))
        assert torch.equal(outputs[0][name], outputs[1][name])
    parents = read_lineage(world.root / "out-0").parents  # type: ignore[union-attr]
    assert [parent.name for parent in parents if parent.role == "statistics"] == [
        folder.name for folder in collected[kind]
    ]
    assert all(parent.sha256 for parent in parents)


def test_merges_in_memory_take_them_too(world, family, collected) -> None:
    base, models = family
    given: Any = {"base": base, "models": models, "statistics": collected["gram"]}
    output = world.root / "half"
    merge("regmean", output=output, settings={"scaling_factor": 0.5}, **given)
    half = world.load(output)
    direction = merge_direction("regmean", settings={}, **given).scaled(0.5)
    tensors = merge_tensors("regmean", settings={"scaling_factor": 0.5}, **given)
    for name, each in half.items():
        assert np.array_equal(direction[name], each.numpy())
        assert np.array_equal(tensors[name], each.numpy())


def test_statistics_of_another_model_are_refused(world, family, collected) -> None:
    base, models = family
    given: Any = {"base": base, "output": world.root / "out", "settings": {}}
    other = world.save("other", seed=77)
    strange = world.statistics("strange", "fisher", other, _fisher(world.load(other), 0))
    two = [*collected["fisher"][:2], strange]
    with pytest.raises(
        WeightsError, match=r"no statistics are of a model: 'm2' .*got .*of 'other', weights .*model=m2"
    ):
        plan_merge("fisher", models=models, statistics=two, **given)
    with pytest.raises(WeightsError, match=r"no statistics are of a model: 'm2'"):
        plan_merge("fisher", models=models, statistics=collected["fisher"][:2], **given)
    with pytest.raises(UsageError, match=r"fisher needs statistics of every model.*merge statistics"):
        plan_merge("fisher", models=models, statistics=[], **given)
    with pytest.raises(UsageError, match="more statistics than models: expected 2, .*got 3"):
        plan_merge("fisher", models=models[:2], statistics=collected["fisher"], **given)
    with pytest.raises(WeightsError, match=r"hold no 'gram': .*kinds=\[gram\]"):
        plan_merge("regmean", models=models, statistics=collected["fisher"], **given)
    with pytest.raises(UsageError, match="task_arithmetic takes no statistics"):
        plan_merge("task_arithmetic", models=models, statistics=collected["fisher"], **given)
    with pytest.raises(UsageError, match="the output is one of the inputs"):
        plan_merge(
            "fisher", models=models, statistics=collected["fisher"], overwrite=True,
            **{**given, "output": collected["fisher"][0]},
        )  # fmt: skip
    assert not (world.root / "out").exists()


def test_a_model_changed_since_is_another(world, family, collected) -> None:
    base, models = family
    tensors = world.load(models[0].folder)
    tensors[QUERY] += 1e-3
    changed = ModelInput("m0", world.save("changed", tensors))
    with pytest.raises(WeightsError, match="no statistics are of a model: 'm0'"):
        plan_merge(
            "fisher", base=base, models=[changed, *models[1:]], output=world.root / "out", settings={},
            statistics=collected["fisher"],
        )  # fmt: skip


def test_statistics_that_do_not_fit_or_lack_a_tensor(world, family) -> None:
    base, models = family
    given: Any = {"base": base, "models": models[:1], "output": world.root / "out", "settings": {}}
    whole = _fisher(world.load(models[0].folder), 0)
    lacking = {name: each for name, each in whole.items() if name != QUERY}
    for name, arrays, message in (
        ("lacking", lacking, f"lack a tensor: .*#{QUERY}"),
        (
            "turned",
            {**whole, QUERY: whole[QUERY].reshape(4, 16)},
            r"do not fit .*expected \[8, 8\], got \[4, 16\]",
        ),
    ):
        with pytest.raises(WeightsError, match=message):
            plan_merge(
                "fisher", statistics=[world.statistics(name, "fisher", models[0].folder, arrays)], **given
            )


def test_adapters_have_statistics_on_their_base(world, family) -> None:
    from ramekin.merge.inputs import open_model

    base, _ = family
    start = world.load(base)
    folder = world.adapter("lora", [QUERY], {QUERY: (8, 8)})
    model = ModelInput("lora", folder, base)
    with open_model(model, base=base) as reader:
        names = reader.names()
        tuned = {n: reader.read(n, 0, start[n].numel()).reshape(tuple(start[n].shape)) for n in names}
    grams = _gram(start, 0)
    for name, sha256 in (("wrong", "0" * 64), ("right", weights_sha256(base))):
        statistics = world.statistics(name, "gram", folder, grams, base="base", base_sha256=sha256)
        given: Any = {"base": base, "models": [model], "settings": {}, "statistics": [statistics]}
        if name == "wrong":
            with pytest.raises(WeightsError, match="of an adapter on another base"):
                plan_merge("regmean", output=world.root / "out", **given)
            continue
        merge("regmean", output=world.root / "out", **given)
        expected = merge_arrays("regmean", _arrays(start), [tuned], statistics=[grams])
        np.testing.assert_array_equal(world.load(world.root / "out")[QUERY].numpy(), expected[QUERY])


def test_verify_hashes_them(world, family, collected) -> None:
    base, models = family
    given: Any = {"base": base, "models": models, "settings": {}, "statistics": collected["fisher"]}
    file = collected["fisher"][1] / "fisher.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"changed or damaged: .*fisher-m1"):
        merge("fisher", output=world.root / "out", verify=True, **given)
    assert not (world.root / "out").exists()


def test_nothing_is_merged_by_nan(world, family, collected) -> None:
    base, models = family
    file = collected["fisher"][1] / "fisher.safetensors"
    data = bytearray(file.read_bytes())
    data[-4:] = np.asarray([np.nan], dtype="<f4").tobytes()
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"NaN .*expected finite values in the statistics"):
        merge(
            "fisher", base=base, models=models, output=world.root / "out", settings={},
            statistics=collected["fisher"],
        )  # fmt: skip
    assert not (world.root / "out").exists()


def test_a_fisher_below_the_floor_is_said(world, family) -> None:
    base, models = family
    small = [
        world.statistics(
            f"small-{m.name}", "fisher", m.folder, {n: np.full(tuple(t.shape), 1e-12) for n, t in world.load(m.folder).items()}
        )
        for m in models
    ]  # fmt: skip
    given: Any = {"base": base, "models": models, "statistics": small}
    report = merge("fisher", output=world.root / "out", settings={"normalize": False}, **given)
    assert len(report.warnings) == 3 and "100% of the Fisher information of 'm0'" in report.warnings[0]
    assert report.figures["below_floor"] == [1.0, 1.0, 1.0]
    merge("simple_average", base=base, models=models, output=world.root / "mean", settings={})
    for name, each in world.load(world.root / "mean").items():
        torch.testing.assert_close(world.load(world.root / "out")[name], each)
    report = merge("fisher", output=world.root / "more", settings={"floor": 1e-15}, **given)
    assert not report.warnings and json.dumps(report.figures)


def test_a_killed_merge_leaves_nothing(world, family, collected) -> None:
    base, models = family
    code = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        import ramekin.merge.run as run
        from ramekin.merge.inputs import ModelInput

        def killed(*given, **more):
            os.kill(os.getpid(), signal.SIGKILL)

        run._copy_rest = killed
        run.merge(
            "regmean", base=Path({str(base)!r}), settings={{}}, output=Path({str(world.root / "out")!r}),
            models=[ModelInput(n, Path(n)) for n in {[str(m.folder) for m in models]!r}],
            statistics=[Path(n) for n in {[str(each) for each in collected["gram"]]!r}],
        )
        """
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL and not (world.root / "out").exists()
