from typing import Any

import numpy as np
import pytest

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.inputs import ModelInput
from ramekin.merge.plan import plan_merge
from ramekin.merge.post import Svc, parse_post
from ramekin.merge.run import merge
from ramekin.merge.svc import calibrate
from ramekin.weights.lineage import read_lineage

Q = "encoder.block.0.layer.0.SelfAttention.q.weight"


@pytest.mark.parametrize("method", ["task_arithmetic", "ties_merging", "tsv_merge"])
def test_matrices_are_calibrated_and_the_rest_is_not(world, family, method: str) -> None:
    folder, models = family
    start = {name: each.numpy() for name, each in world.load(folder).items()}
    own = [{name: each.numpy() for name, each in world.load(model.folder).items()} for model in models]
    plain = merge_arrays(method, start, own)
    merged = merge_arrays(method, start, own, post={"name": "svc", "alpha": 0.2})
    for name, tensor in merged.items():
        if name != Q:
            continue
        direction = (plain[name] - start[name]).astype(np.float64)
        expected = calibrate(direction, [each[name] - start[name] for each in own], alpha=0.2)  # type: ignore[arg-type]
        np.testing.assert_allclose(tensor, start[name] + np.asarray(expected), atol=1e-5)
        assert not np.allclose(tensor, plain[name], atol=1e-4)
    assert np.array_equal(merged["shared.weight"], plain["shared.weight"])


def test_tables_are_calibrated_where_they_are_asked_for(world, family) -> None:
    folder, models = family
    start = {name: each.numpy() for name, each in world.load(folder).items()}
    own = [{name: each.numpy() for name, each in world.load(model.folder).items()} for model in models]
    plain = merge_arrays("task_arithmetic", start, own)
    post = {"name": "svc", "preset": "fusionbench", "alpha": 0.2}
    merged = merge_arrays("task_arithmetic", start, own, post=post)
    for name, tensor in merged.items():
        if tensor.ndim != 2:
            assert np.array_equal(tensor, plain[name])
            continue
        direction = (plain[name] - start[name]).astype(np.float64)
        expected = calibrate(direction, [each[name] - start[name] for each in own], alpha=0.2)  # type: ignore[arg-type]
        np.testing.assert_allclose(tensor, start[name] + np.asarray(expected), atol=1e-5)
    assert not np.allclose(merged["shared.weight"], plain["shared.weight"], atol=1e-4)


def test_a_merge_to_disk_says_its_step_and_writes_the_same(world, family) -> None:
    base, models = family
    start = {name: each.numpy() for name, each in world.load(base).items()}
    own = [{name: each.numpy() for name, each in world.load(model.folder).items()} for model in models]
    given: dict[str, Any] = {"base": base, "models": models, "settings": {}, "post": {"name": "svc"}}
    plan = plan_merge("task_arithmetic", output=world.root / "out", **given)
    step = {"name": "svc", "alpha": None, "embeddings": False, "preset": "none"}
    assert plan.post == step
    report = merge("task_arithmetic", output=world.root / "out", **given)
    assert report.settings["post"] == step
    lineage = read_lineage(world.root / "out")
    assert lineage is not None and lineage.settings["post"] == step
    expected = merge_arrays("task_arithmetic", start, own, post={"name": "svc"})
    for name, tensor in world.load(world.root / "out").items():
        assert np.array_equal(tensor.numpy(), expected[name])


def test_one_model_is_left_as_it_is(world) -> None:
    base = world.save("base")
    models = [ModelInput("m", world.save("m", seed=1))]
    merge(
        "task_arithmetic", base=base, models=models, output=world.root / "out",
        settings={"scaling_factor": 1.0}, post={"name": "svc"},
    )  # fmt: skip
    own = world.load(models[0].folder)
    for name, tensor in world.load(world.root / "out").items():
        np.testing.assert_allclose(tensor, own[name], atol=1e-5)


def test_words() -> None:
    assert parse_post(None) is None and parse_post({"name": "none"}) is None
    assert parse_post({"name": "svc", "alpha": 0.1}) == Svc(alpha=0.1)
    assert parse_post({"name": "svc", "preset": "fusionbench"}) == Svc(embeddings=True, preset="fusionbench")
    for given, message in (
        ({"name": "scv"}, "unknown step after a merge 'scv': did you mean 'svc'"),
        ({"name": "svc", "alpha": 0}, "alpha: expected a number above 0, got 0"),
        ({"name": "svc", "alpha": -1}, "alpha: expected at least 0, got -1"),
        ({"name": "svc", "beta": 1}, "unknown setting of svc 'beta'"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_post(given)


def test_a_method_without_a_direction_is_refused(world, family) -> None:
    base, models = family
    with pytest.raises(UsageError, match="simple_average adds no direction to a base that a step after it"):
        plan_merge(
            "simple_average", base=base, models=models, output=world.root / "out", settings={},
            post={"name": "svc"},
        )  # fmt: skip
