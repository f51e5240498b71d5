"""Trackers hear what the listener hears, and a missing one is refused."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ramekin.errors import UsageError
from ramekin.recipes.tracking import followed
from ramekin.train.events import EvalDone, Notice, StepDone, TrainEvent

STEP = StepDone(
    step=3,
    total_steps=9,
    epoch=1,
    loss=2.5,
    grad_norm=0.5,
    learning_rate=1e-3,
    examples_per_second=8.0,
    tokens_per_second=800.0,
    padding_share=0.25,
    eta_seconds=6.0,
    parts={"unlikelihood": 0.75},
    task_losses={"mini/rte": 2.0, "mini/cola": 3.0},
)
SETTINGS = {"model": "mini/base", "training": {"max_steps": 9, "seed": None}, "tasks": ["a", "b"]}


def run(names: tuple[str, ...], folder: Path) -> list[TrainEvent]:
    heard: list[TrainEvent] = []
    with followed(heard.append, names, project="toy", folder=folder, settings=SETTINGS) as listen:
        for event in (STEP, EvalDone(3, {"mini/rte accuracy": 0.5}), Notice(3, "a word")):
            listen(event)
    return heard


def test_without_trackers_nothing_is_loaded_or_written(tmp_path: Path) -> None:
    assert len(run((), tmp_path)) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore")  # of tensorboard's own packages
def test_tensorboard_has_the_numbers(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert len(run(("tensorboard",), tmp_path)) == 3
    read = event_accumulator.EventAccumulator(str(tmp_path / "toy"))
    read.Reload()
    found = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    assert found["train/loss"] == [(3, 2.5)]
    assert found["train/unlikelihood"] == [(3, 0.75)]
    assert found["train/loss/mini/rte"] == [(3, 2.0)]
    assert found["eval/mini/rte accuracy"] == [(3, 0.5)]


def test_a_tracker_of_ones_own_account_is_told_through_accelerate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """trackio, stood in for by a module of its name that keeps what it is told."""
    from accelerate.utils import LoggerType

    told: list[Any] = []

    class Run:
        def __init__(self) -> None:
            self.config: dict[str, Any] = {}

        def log(self, values: Mapping[str, Any], **_: Any) -> None:
            told.append(("log", dict(values)))

        def finish(self) -> None:
            told.append(("finish", None))

    module = ModuleType("trackio")
    module.__spec__ = type(sys.__spec__)("trackio", None)  # type: ignore[attr-defined]
    module.init = lambda **settings: told.append(("init", settings["project"])) or Run()  # type: ignore[attr-defined]
    module.config = SimpleNamespace(update=lambda values, **_: told.append(("config", values)))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [LoggerType.TRACKIO])
    run(("trackio",), tmp_path)
    assert told[0] == ("init", "toy")
    assert (
        "config",
        {"model": "mini/base", "training.max_steps": 9, "training.seed": "None", "tasks": "['a', 'b']"},
    ) in told
    assert ("finish", None) in told
    logged = [values for kind, values in told if kind == "log"]
    assert any(values.get("train/loss") == 2.5 for values in logged)
    assert any(values.get("eval/mini/rte accuracy") == 0.5 for values in logged)


def test_a_tracker_that_is_not_installed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ramekin.recipes.tracking.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="'wandb' is not installed: track; fix: pip install wandb"):
        run(("wandb",), tmp_path)
