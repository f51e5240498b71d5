"""Several processes that hold the whole model each, over gloo: the same step as one process's."""

import random

import pytest

from ramekin.train.state import load_newest

# -- a step


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_the_gradient_of_two_processes_is_that_of_one_padded_batch(processes, tied, budget):
    found = processes(2).run("gradient", num_items=16, budget=budget, tied=tied)
    for each in found:
        assert (each["strategy"], each["names"]) == ("Replicated", True)
        assert each["worst"] <= 1e-5
        assert each["loss"] == pytest.approx(1, rel=1e-5)
        assert each["norm"] == pytest.approx(1, rel=1e-5)
    assert found[0]["gradient"] == found[1]["gradient"]
    assert found[0]["by_example"] == found[1]["by_example"]
    assert sorted(place for each in found for place in each["own_places"]) == list(range(16))


def test_an_adapter_has_the_same_gradient_too(processes):
    for each in processes(2).run("gradient", num_items=9, budget=60, adapter="lora"):
        assert each["names"]
        assert each["worst"] <= 1e-5


@pytest.mark.parametrize("budget", [60, 100_000])
def test_examples_that_share_rows_have_the_same_gradient_too(processes, budget):
    found = processes(2).run("gradient", num_items=17, budget=budget, packing=True)
    assert sorted(place for each in found for place in each["own_places"]) == list(range(17))
    for each in found:
        assert each["rows"] < 17
        assert each["worst"] <= 1e-5
        assert each["loss"] == pytest.approx(1, rel=1e-5)
    assert found[0]["by_example"] == found[1]["by_example"]


@pytest.mark.parametrize("budget", [1, 100_000])
def test_three_processes_share_two_examples(processes, budget):
    found = processes(3).run("gradient", num_items=2, budget=budget)
    assert [len(each["own_places"]) for each in found] == [1, 1, 0]
    assert found[2]["empty"] == 1
    for each in found:
        assert each["worst"] <= 1e-5
        assert each["loss"] == pytest.approx(1, rel=1e-5)


def test_numbers_of_examples_that_do_not_divide(processes):
    """Another number of examples each time, none of them a multiple of the processes."""
    rng = random.Random(3)
    for _ in range(3):
        count = 2 * rng.randint(3, 12) + 1
        for each in processes(2).run("gradient", num_items=count, budget=rng.choice([20, 50, 90])):
            assert each["worst"] <= 1e-5


# -- a run


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "adafactor"}, {"adapter": "lora"}, {"packing": True}], ids=str
)
def test_a_run_of_two_is_the_run_of_one(processes, alone, tmp_path, changes, logged):
    (one,) = alone.run("train", folder=str(tmp_path / "one"), **changes)
    two = processes(2).run("train", folder=str(tmp_path / "two"), **changes)
    assert two[0]["ids"] == two[1]["ids"] == one["ids"], "the same examples in the same order"
    assert logged(tmp_path / "two") == pytest.approx(logged(tmp_path / "one"), rel=1e-5)
    assert two[0]["weights"] == two[1]["weights"]
    expected = load_newest(tmp_path / "one" / "state").weights
    for name, tensor in load_newest(tmp_path / "two" / "state").weights.items():
        assert (tensor - expected[name]).norm() <= 1e-4 * expected[name].norm(), name
    assert two[0]["told"] == ["StepDone"] * 6
    assert two[1]["told"] == [], "the first alone talks"


def test_two_runs_of_two_are_equal_to_the_bit(processes, tmp_path, logged):
    runs = [
        processes(2).run("train", folder=str(tmp_path / name), dropout=0.1)[0] for name in ("one", "other")
    ]
    assert runs[0]["weights"] == runs[1]["weights"]
    assert logged(tmp_path / "one") == logged(tmp_path / "other")


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 1), (1, 2), (3, 2)])
def test_a_run_is_continued_by_another_number_of_processes(processes, alone, tmp_path, before, after, logged):
    (whole,) = alone.run("train", folder=str(tmp_path / "whole"))
    stopped = processes(before).outcomes("train", folder=str(tmp_path / "run"), stop=[before - 1, 2])
    assert {each["error"] for each in stopped} == {"StoppedError"}
    assert {each["joint"] for each in stopped} == {True}
    assert "after step 3; the state is saved" in stopped[0]["message"]
    resumed = processes(after).run("train", folder=str(tmp_path / "run"))
    for each in resumed:
        assert each["ids"] == whole["ids"][3:]
        assert each["steps"] == 6
    assert logged(tmp_path / "run") == pytest.approx(logged(tmp_path / "whole"), rel=1e-5)
    assert resumed[0]["notices"] == ["continuing after step 3"]


def test_a_stopped_run_of_two_resumes_bit_identical(processes, tmp_path, logged):
    straight = processes(2).run("train", folder=str(tmp_path / "straight"), dropout=0.1)
    stopped = processes(2).outcomes("train", folder=str(tmp_path / "run"), dropout=0.1, stop=[0, 3])
    assert {each["error"] for each in stopped} == {"StoppedError"}
    assert "stopped by SIGTERM after step 4" in stopped[0]["message"]
    resumed = processes(2).run("train", folder=str(tmp_path / "run"), dropout=0.1)
    assert resumed[0]["weights"] == straight[0]["weights"]
    assert logged(tmp_path / "run") == logged(tmp_path / "straight")


def test_the_first_evaluates_and_all_take_the_best(processes, alone, tmp_path):
    options = {"evaluate": "norm", "eval_every": 2, "best_metric": "fall"}
    (one,) = alone.run("train", folder=str(tmp_path / "one"), **options)
    two = processes(2).run("train", folder=str(tmp_path / "two"), **options)
    assert two[0]["best"] == two[1]["best"] == 2
    assert two[0]["evals"] == two[1]["evals"]
    assert [step for step, _ in two[0]["evals"]] == [2, 4, 6]
    for (_, found), (_, expected) in zip(two[0]["evals"], one["evals"], strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert two[0]["weights"] == two[1]["weights"], "the second's model has the best weights as well"


def test_too_little_memory_in_one_process_changes_nothing_else(processes, alone, tmp_path, logged):
    options = {"micro_batch_tokens": 10_000}
    alone.run("train", folder=str(tmp_path / "one"), **options)
    two = processes(2).run("train", folder=str(tmp_path / "two"), capacity=[1, 90], **options)
    assert logged(tmp_path / "two") == pytest.approx(logged(tmp_path / "one"), rel=1e-5)
    assert two[0]["weights"] == two[1]["weights"]
    assert "out of memory: micro-batches of " in two[0]["notices"][0]
    assert two[0]["notices"] == two[1]["notices"]


# -- what goes wrong


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_process_ends_all(processes, tmp_path, rank):
    found = processes(2).outcomes("train", folder=str(tmp_path / "run"), hole=[rank, 2])
    message = "the disk of this process has a hole: shard 7"
    told = message if rank == 0 else f"process 1: {message}"
    assert found[1 - rank] == {"error": "DataError", "message": told, "joint": True}
    assert found[rank] == {"error": "DataError", "message": message, "joint": True}


def test_an_error_in_the_evaluation_ends_all(processes, tmp_path):
    found = processes(2).outcomes("train", folder=str(tmp_path / "run"), evaluate="failing")
    assert [each["error"] for each in found] == ["DataError", "DataError"]


def test_processes_of_other_data_are_refused(processes, tmp_path):
    found = processes(2).outcomes("train", folder=str(tmp_path / "run"), other_data_at=1)
    for each in found:
        assert each["error"] == "UsageError"
        assert "the processes do not train the same" in each["message"]
        assert "expected data.examples=20, data.sha256=" in each["message"]
    assert found[0]["message"].startswith("process 1: ")


def test_a_folder_in_use_is_refused_by_all(processes, tmp_path):
    from ramekin.files import folder_lock

    with folder_lock(tmp_path / "run"):
        found = processes(2).outcomes("train", folder=str(tmp_path / "run"))
    assert {each["error"] for each in found} == {"LockedError"}


def test_one_example_that_never_fits_ends_all(processes, tmp_path):
    found = processes(2).outcomes("train", folder=str(tmp_path / "run"), capacity=[1, 3])
    assert {each["error"] for each in found} == {"ResourceError"}
    assert "process 1: a single example does not fit" in found[0]["message"]


def test_a_killed_process_is_missed_and_the_run_goes_on_later(processes, alone, tmp_path, logged):
    two = processes(2)
    two.start("train", folder=str(tmp_path / "run"), checkpoint_every=1, die=[1, 3])
    left = two.answer(0)
    assert left["error"] == "ResourceError"
    assert "another process of the run has ended, or cannot be reached" in left["message"]
    assert not left["joint"]
    two.close()
    alone.run("train", folder=str(tmp_path / "whole"))
    (resumed,) = alone.run("train", folder=str(tmp_path / "run"), checkpoint_every=1)
    assert resumed["notices"] == ["continuing after step 3"]
    assert logged(tmp_path / "run") == pytest.approx(logged(tmp_path / "whole"), rel=1e-5)
