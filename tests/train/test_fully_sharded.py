"""FSDP2 over gloo: the same step as one process's, an untied head that stays, states that one process continues."""

import pytest
import torch

from ramekin.train.state import load_newest

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


# -- a step


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("budget", [60, 100_000])
@pytest.mark.parametrize("reshard", ["true", "false"])
def test_the_gradient_is_that_of_one_padded_batch(two, tied, budget, reshard):
    environment = {**FSDP, "FSDP_RESHARD_AFTER_FORWARD": reshard}
    found = two.run("gradient", environment, num_items=16, budget=budget, tied=tied)
    for each in found:
        assert (each["strategy"], each["names"]) == ("FullySharded", True)
        assert each["worst"] <= 1e-5
        assert each["loss"] == pytest.approx(1, rel=1e-5)
        assert each["norm"] == pytest.approx(1, rel=1e-5)
    assert sorted(place for each in found for place in each["own_places"]) == list(range(16))


@pytest.mark.parametrize("adapter", ["lora", "dora", "ia3", "prompt"])
def test_an_adapter_of_which_a_process_may_have_no_part_and_no_examples(processes, adapter):
    found = processes(3).run("gradient", FSDP, num_items=2, budget=40, adapter=adapter)
    assert [len(each["own_places"]) for each in found] == [1, 1, 0]
    for each in found:
        assert (each["strategy"], each["names"]) == ("FullySharded", True)
        assert each["worst"] <= 1e-5
        assert each["norm"] == pytest.approx(1, rel=1e-5)


# -- a run


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_decay": 0.1, "max_grad_norm": 0.01},
        {"tied": True, "optimizer": "adafactor"},
        {"optimizer": "adafactor", "scale_parameter": False},
        {"optimizer": "adamwscale", "max_grad_norm": None},
        {"adapter": "lora"},
        {"gradient_checkpointing": True},
        {"packing": True},
    ],
    ids=str,
)
def test_a_run_in_parts_is_the_run_of_one(alone, two, tmp_path, changes, logged):
    (one,) = alone.run("train", folder=str(tmp_path / "one"), **changes)
    parts = two.run("train", FSDP, folder=str(tmp_path / "two"), **changes)
    assert parts[0]["ids"] == parts[1]["ids"] == one["ids"]
    for key, rel in (("loss", 1e-5), ("grad_norm", 1e-4)):
        assert logged(tmp_path / "two", key) == pytest.approx(logged(tmp_path / "one", key), rel=rel)
    assert parts[0]["weights"] == parts[1]["weights"], "both have the whole model again"
    assert {each["head_is_embedding"] for each in parts} == {one["head_is_embedding"]}
    expected, found = load_newest(tmp_path / "one" / "state"), load_newest(tmp_path / "two" / "state")
    assert found.weights.keys() == expected.weights.keys()
    for name, tensor in expected.weights.items():
        assert (found.weights[name] - tensor).norm() <= 1e-4 * tensor.norm(), name
    assert found.optimizer.numbers.keys() == expected.optimizer.numbers.keys()
    assert found.optimizer.tensors.keys() == expected.optimizer.tensors.keys()
    for name, tensor in expected.optimizer.tensors.items():
        assert found.optimizer.tensors[name].shape == tensor.shape, name


def test_bf16_is_autocast_over_parts_in_fp32(alone, two, tmp_path, logged):
    alone.run("train", folder=str(tmp_path / "one"), precision="bf16")
    two.run("train", FSDP, folder=str(tmp_path / "two"), precision="bf16")
    assert logged(tmp_path / "two") == pytest.approx(logged(tmp_path / "one"), rel=1e-2)
    assert {tensor.dtype for tensor in load_newest(tmp_path / "two" / "state").weights.values()} == {
        torch.float32
    }


def test_two_runs_are_equal_to_the_bit(two, tmp_path):
    runs = [two.run("train", FSDP, folder=str(tmp_path / name), dropout=0.1)[0] for name in ("one", "other")]
    assert runs[0]["weights"] == runs[1]["weights"]


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "adamwscale"])
@pytest.mark.parametrize("sizes", [(2, 1), (1, 2), (3, 2)], ids=str)
def test_a_stopped_run_is_continued_by_any_number(alone, processes, tmp_path, optimizer, sizes, logged):
    run, changes = str(tmp_path / "run"), {"optimizer": optimizer}
    (whole,) = alone.run("train", folder=str(tmp_path / "whole"), **changes)
    stopped = processes(sizes[0]).outcomes("train", FSDP, folder=run, stop=[0, 2], **changes)
    assert {each["error"] for each in stopped} == {"StoppedError"}
    resumed = processes(sizes[1]).run("train", FSDP, folder=run, **changes)
    assert resumed[0]["ids"] == whole["ids"][3:]
    assert logged(run) == pytest.approx(logged(tmp_path / "whole"), rel=1e-5)
    assert resumed[0]["norm"] == pytest.approx(whole["norm"], rel=1e-5)


def test_what_parts_leave_is_continued_by_whole_copies(two, tmp_path, logged):
    run = str(tmp_path / "run")
    two.outcomes("train", FSDP, folder=run, stop=[1, 2])
    resumed = two.run("train", folder=run)
    two.run("train", folder=str(tmp_path / "whole"))
    assert resumed[0]["notices"] == ["continuing after step 3"]
    assert logged(run) == pytest.approx(logged(tmp_path / "whole"), rel=1e-5)


def test_the_first_evaluates_the_whole_model_and_all_take_the_best(alone, two, tmp_path):
    options = {"evaluate": "norm", "eval_every": 2, "best_metric": "fall"}
    (one,) = alone.run("train", folder=str(tmp_path / "one"), **options)
    parts = two.run("train", FSDP, folder=str(tmp_path / "two"), **options)
    assert parts[0]["best"] == parts[1]["best"] == 2
    for (_, found), (_, expected) in zip(parts[0]["evals"], one["evals"], strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert parts[0]["weights"] == parts[1]["weights"]


# -- what goes wrong


def test_compiled_blocks_are_refused_by_all(two, tmp_path):
    found = two.outcomes("train", FSDP, folder=str(tmp_path / "run"), compile=True)
    for each in found:
        assert (each["error"], each["joint"]) == ("UsageError", True)
        assert "compile: expected false with FSDP2 and DeepSpeed, got true" in each["message"]


def test_weights_that_are_not_finite_are_named_by_all(two, tmp_path):
    found = two.outcomes("train", FSDP, folder=str(tmp_path / "run"), learning_rate=1e12, max_grad_norm=None)
    assert {(each["error"], each["joint"]) for each in found} == {("WeightsError", True)}


def test_too_little_memory_says_what_to_do(processes, tmp_path):
    two = processes(2)
    two.start("train", FSDP, folder=str(tmp_path / "run"), capacity=[1, 30])
    failed = two.answer(1)
    two.close()
    assert failed["error"] == "ResourceError"
    assert "a micro-batch does not fit into the device's memory" in failed["message"]
    assert not failed["joint"]


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        ("objectives.likelihood:Likelihood.__call__", {}),
        ("sharded_updates:whole_of", {"optimizer": "adafactor"}),
        ("fully_sharded:FullySharded.present", {}),
    ],
    ids=["pass", "update", "save"],
)
def test_a_process_that_is_lost_amid_them_is_missed(processes, tmp_path, place, changes):
    two = processes(2)
    two.start("train", FSDP, folder=str(tmp_path / "run"), lost=[1, place], **changes)
    left = two.answer(0)
    two.close()
    assert (left["error"], left["joint"]) == ("ResourceError", False)
    assert "another process of the run has ended, or cannot be reached" in left["message"]
