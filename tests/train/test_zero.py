"""DeepSpeed's ZeRO over gloo: the step of one process. Skipped where DeepSpeed is not installed."""

from importlib.util import find_spec

import pytest
import torch

from ramekin.errors import UsageError
from ramekin.train.launched import Launched
from ramekin.train.state import load_newest
from ramekin.train.strategies import refuse_unfit

needs_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")


def zero(stage):
    return {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": str(stage)}


def test_without_deepspeed_or_adamw_nothing_is_begun(make_recipe, monkeypatch):
    launched, recipe = Launched("zero"), make_recipe(optimizer="adafactor")
    monkeypatch.setattr("ramekin.train.zero.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="DeepSpeed is not installed; fix: pip install deepspeed, or "):
        refuse_unfit(launched, recipe)
    monkeypatch.setattr("ramekin.train.zero.find_spec", lambda _: object())
    with pytest.raises(UsageError, match="optimizer: expected adamw, got adafactor; fix: .*fsdp2.yaml"):
        refuse_unfit(launched, recipe)
    refuse_unfit(launched, make_recipe())


@needs_deepspeed
@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize(
    ("budget", "options"),
    [(60, {}), (60, {"tied": True}), (100_000, {}), (60, {"adapter": "lora"})],
    ids=["untied", "tied", "one pass", "lora"],
)
def test_the_gradient_is_that_of_one_padded_batch(two, stage, budget, options):
    for each in two.run("gradient", zero(stage), num_items=16, budget=budget, **options):
        assert (each["strategy"], each["names"]) == ("Zero", True)
        assert each["worst"] <= 1e-5
        assert each["loss"] == pytest.approx(1, rel=1e-5)
        assert each["norm"] == pytest.approx(1, rel=1e-5)


@needs_deepspeed
@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize(
    "changes", [{"weight_decay": 0.1, "max_grad_norm": 0.01}, {"tied": True}, {"packing": True}], ids=str
)
def test_a_run_in_parts_is_the_run_of_one(alone, two, tmp_path, stage, changes, logged):
    (one,) = alone.run("train", folder=str(tmp_path / "one"), **changes)
    parts = two.run("train", zero(stage), folder=str(tmp_path / "two"), **changes)
    assert parts[0]["ids"] == parts[1]["ids"] == one["ids"]
    for key, rel in (("loss", 1e-5), ("grad_norm", 1e-4)):
        assert logged(tmp_path / "two", key) == pytest.approx(logged(tmp_path / "one", key), rel=rel)
    assert parts[0]["weights"] == parts[1]["weights"], "both have the whole model again"
    assert {each["head_is_embedding"] for each in parts} == {one["head_is_embedding"]}
    expected, found = load_newest(tmp_path / "one" / "state"), load_newest(tmp_path / "two" / "state")
    assert found.weights.keys() == expected.weights.keys()
    for name, tensor in expected.weights.items():
        assert (found.weights[name] - tensor).norm() <= 1e-4 * tensor.norm(), name
    assert found.optimizer.tensors.keys() == expected.optimizer.tensors.keys()


@needs_deepspeed
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_bf16_is_autocast_over_parts_in_fp32(alone, two, tmp_path, stage, logged):
    alone.run("train", folder=str(tmp_path / "one"), precision="bf16")
    two.run("train", zero(stage), folder=str(tmp_path / "two"), precision="bf16")
    found, expected = (logged(tmp_path / name, "loss") for name in ("two", "one"))
    assert found == pytest.approx(expected, rel=1e-2)
    assert {tensor.dtype for tensor in load_newest(tmp_path / "two" / "state").weights.values()} == {
        torch.float32
    }


@needs_deepspeed
@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(2, 1), (1, 2), (3, 2)], ids=str)
def test_a_stopped_run_is_continued_by_any_number(alone, processes, tmp_path, stage, sizes, logged):
    run = str(tmp_path / "run")
    (whole,) = alone.run("train", folder=str(tmp_path / "whole"))
    stopped = processes(sizes[0]).outcomes("train", zero(stage), folder=run, stop=[0, 2])
    assert {each["error"] for each in stopped} == {"StoppedError"}
    resumed = processes(sizes[1]).run("train", zero(stage), folder=run)
    assert resumed[0]["ids"] == whole["ids"][3:]
    assert logged(run, "loss") == pytest.approx(logged(tmp_path / "whole", "loss"), rel=1e-5)
    assert resumed[0]["norm"] == pytest.approx(whole["norm"], rel=1e-5)


@needs_deepspeed
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_first_evaluates_the_whole_model_and_all_take_the_best(alone, two, tmp_path, stage):
    options = {"evaluate": "norm", "eval_every": 2, "best_metric": "fall"}
    (one,) = alone.run("train", folder=str(tmp_path / "one"), **options)
    parts = two.run("train", zero(stage), folder=str(tmp_path / "two"), **options)
    assert parts[0]["best"] == parts[1]["best"] == 2
    for (_, found), (_, expected) in zip(parts[0]["evals"], one["evals"], strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert parts[0]["weights"] == parts[1]["weights"]
