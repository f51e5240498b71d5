"""Experiment trackers that follow a training, through Accelerate: TensorBoard, trackio, Weights & Biases.

What they get is what `events.jsonl` has: the loss, its parts and each task's, the gradient's norm, the rates
of learning and of work, and every evaluation.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ramekin.errors import UsageError
from ramekin.registry import dotted

if TYPE_CHECKING:
    from ramekin.train.events import Progress, TrainEvent

__all__ = ["TrackerName", "check_trackers", "followed"]

TrackerName: TypeAlias = Literal["tensorboard", "trackio", "wandb"]


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are not installed; Accelerate would leave them out without a word.

    Raises:
        UsageError: one is missing; the message says how to install it.
    """
    for name in names:
        assert name in get_args(TrackerName)
        if find_spec(name) is None:
            raise UsageError(
                f"the tracker '{name}' is not installed", where="track", fix=f"pip install {name}"
            )


@contextlib.contextmanager
def followed(
    listener: "Progress",
    names: Sequence[str],
    *,
    project: str,
    folder: Path,
    settings: Mapping[str, Any],
) -> "Iterator[Progress]":
    """A listener that tells the trackers what it hears, for the block.

    Args:
        listener: who is told as well.
        names: of the trackers; with none the listener is handed back.
        project: what the trackers call the experiment.
        folder: where trackers that write files write them.
        settings: the run's configuration; nested keys are joined by dots.

    Raises:
        UsageError: a tracker is not installed.
    """
    if not names:
        yield listener
        return
    check_trackers(names)
    from accelerate import Accelerator

    accelerator = Accelerator(log_with=list(names), project_dir=folder)
    accelerator.init_trackers(project, config=_tracked(settings))

    def listen(event: "TrainEvent") -> None:
        listener(event)
        values = _values(event)
        if values:
            accelerator.log(values, step=event.step)

    try:
        yield listen
    finally:
        # Not `end_training`: of several processes it would also part them, and they are not done.
        for tracker in accelerator.trackers:
            tracker.finish()


def _values(event: "TrainEvent") -> dict[str, float]:
    """What trackers get of an event."""
    from ramekin.train.events import EvalDone, StepDone

    match event:
        case StepDone():
            return {
                "train/loss": event.loss,
                "train/grad_norm": event.grad_norm,
                "train/learning_rate": event.learning_rate,
                "train/epoch": event.epoch,
                "train/padding_share": event.padding_share,
                "train/tokens_per_second": event.tokens_per_second,
                **{f"train/{name}": value for name, value in event.parts.items()},
                **{f"train/loss/{task}": loss for task, loss in event.task_losses.items()},
            }
        case EvalDone():
            return {f"eval/{name}": value for name, value in event.metrics.items()}
        case _:
            return {}


def _tracked(values: Mapping[str, Any]) -> dict[str, str | float | bool]:
    """Nested settings as one level; what is no number is text."""
    return {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in dotted(values).items()
    }
