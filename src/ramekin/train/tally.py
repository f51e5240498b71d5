"""The running account of a training run: what was seen, what it cost, the loss of each epoch.

A tally is a value; each step makes a new one, and a checkpoint holds it, so that a resumed run reports
the same numbers. It knows nothing of tensors.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, final

from ramekin.train.events import EvalDone

__all__ = [
    "EpochLoss",
    "StepCount",
    "Tally",
    "TaskLoss",
    "by_task",
    "plain_metrics",
    "tally_from_json",
    "tally_to_json",
]


@final
@dataclass(frozen=True, slots=True)
class EpochLoss:
    """One row of the loss table."""

    epoch: int
    """From 0."""
    steps: int
    examples: int
    target_tokens: int
    loss: float
    """Mean over the real target tokens of the epoch."""
    seconds: float
    """Of training alone, without evaluation and saving."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Means, over the same tokens, of what the objective tells beside its loss."""


@final
@dataclass(frozen=True, slots=True)
class StepCount:
    """What one step saw."""

    examples: int
    input_tokens: int
    target_tokens: int
    computed_tokens: int
    """Real tokens of every row of every batch: targets count twice in flipped learning."""
    padded_tokens: int
    """The positions that were computed, padding included."""

    @property
    def padding_share(self) -> float:
        """Positions that held no token."""
        return 1 - self.computed_tokens / self.padded_tokens


@final
@dataclass(frozen=True, slots=True)
class TaskLoss:
    """What one task had of some steps."""

    examples: int
    target_tokens: int
    summed_loss: float

    @property
    def loss(self) -> float:
        """Mean over its target tokens."""
        return self.summed_loss / self.target_tokens

    def __add__(self, other: "TaskLoss") -> "TaskLoss":
        """Both together."""
        return TaskLoss(
            self.examples + other.examples,
            self.target_tokens + other.target_tokens,
            self.summed_loss + other.summed_loss,
        )


def by_task(rows: Iterable[tuple[str, int, float]]) -> dict[str, TaskLoss]:
    """Sum examples, each a (task, target tokens, summed loss), by task."""
    found: dict[str, TaskLoss] = {}
    for task, tokens, loss in rows:
        each = TaskLoss(1, tokens, loss)
        found[task] = found[task] + each if task in found else each
    return found


def _added(before: Mapping[str, TaskLoss], more: Mapping[str, TaskLoss]) -> dict[str, TaskLoss]:
    return {
        **before,
        **{name: before[name] + loss if name in before else loss for name, loss in more.items()},
    }


def _summed(before: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    return {name: before.get(name, 0.0) + value for name, value in more.items()}


@final
@dataclass(frozen=True, slots=True)
class Tally:
    """The account after `step` steps."""

    step: int = 0
    examples: int = 0
    input_tokens: int = 0
    target_tokens: int = 0
    computed_tokens: int = 0
    padded_tokens: int = 0
    seconds: float = 0.0
    window_loss: float = 0.0
    """Summed token losses since the last logged step."""
    window_tokens: int = 0
    window_parts: Mapping[str, float] = field(default_factory=dict)
    """Sums of what the objective tells beside its loss, since the last logged step."""
    window_tasks: Mapping[str, TaskLoss] = field(default_factory=dict)
    """Of each task, since the last logged step."""
    tasks: Mapping[str, TaskLoss] = field(default_factory=dict)
    """Of each task, since the first step."""
    epoch_loss: float = 0.0
    """Summed token losses since the epoch began."""
    epoch_parts: Mapping[str, float] = field(default_factory=dict)
    """Sums of what the objective tells beside its loss, since the epoch began."""
    epoch_tokens: int = 0
    epoch_examples: int = 0
    epoch_steps: int = 0
    epoch_seconds: float = 0.0
    epochs: tuple[EpochLoss, ...] = ()
    """Finished epochs."""
    evals: tuple[EvalDone, ...] = ()

    def after_step(
        self,
        count: StepCount,
        *,
        summed_loss: float,
        seconds: float,
        tasks: Mapping[str, TaskLoss],
        parts: Mapping[str, float],
    ) -> "Tally":
        """The account with one step more; `parts` are means over the step's target tokens."""
        more = {name: value * count.target_tokens for name, value in parts.items()}
        return replace(
            self,
            step=self.step + 1,
            examples=self.examples + count.examples,
            input_tokens=self.input_tokens + count.input_tokens,
            target_tokens=self.target_tokens + count.target_tokens,
            computed_tokens=self.computed_tokens + count.computed_tokens,
            padded_tokens=self.padded_tokens + count.padded_tokens,
            seconds=self.seconds + seconds,
            window_loss=self.window_loss + summed_loss,
            window_tokens=self.window_tokens + count.target_tokens,
            window_parts=_summed(self.window_parts, more),
            window_tasks=_added(self.window_tasks, tasks),
            tasks=_added(self.tasks, tasks),
            epoch_loss=self.epoch_loss + summed_loss,
            epoch_parts=_summed(self.epoch_parts, more),
            epoch_tokens=self.epoch_tokens + count.target_tokens,
            epoch_examples=self.epoch_examples + count.examples,
            epoch_steps=self.epoch_steps + 1,
            epoch_seconds=self.epoch_seconds + seconds,
        )

    def after_log(self) -> "Tally":
        """The account with an empty window."""
        return replace(self, window_loss=0.0, window_tokens=0, window_parts={}, window_tasks={})

    def after_epoch(self) -> "Tally":
        """The account with the epoch closed."""
        return replace(
            self,
            epochs=self.loss_table(),
            epoch_loss=0.0,
            epoch_parts={},
            epoch_tokens=0,
            epoch_examples=0,
            epoch_steps=0,
            epoch_seconds=0.0,
        )

    def after_eval(self, result: EvalDone) -> "Tally":
        """The account with one evaluation more."""
        return replace(self, evals=(*self.evals, result))

    def loss_table(self) -> tuple[EpochLoss, ...]:
        """The finished epochs and, if there is one, the part of the next."""
        if not self.epoch_steps:
            return self.epochs
        current = EpochLoss(
            epoch=len(self.epochs),
            steps=self.epoch_steps,
            examples=self.epoch_examples,
            target_tokens=self.epoch_tokens,
            loss=self.epoch_loss / self.epoch_tokens,
            seconds=self.epoch_seconds,
            parts={name: total / self.epoch_tokens for name, total in self.epoch_parts.items()},
        )
        return (*self.epochs, current)


def tally_to_json(tally: Tally) -> dict[str, Any]:
    """As plain JSON values; floats keep every bit."""
    evals = [{**asdict(done), "metrics": plain_metrics(done.metrics)} for done in tally.evals]
    return {**asdict(tally), "evals": evals}


def plain_metrics(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Metrics as JSON values: JSON has no word for what is not finite, so that it is text.

    >>> plain_metrics({"accuracy": 0.5, "pearson": float("nan")})
    {'accuracy': 0.5, 'pearson': 'nan'}
    """
    return {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()}


def tally_from_json(value: Mapping[str, Any]) -> Tally:
    """The tally `tally_to_json` wrote."""
    epochs = tuple(EpochLoss(**row) for row in value["epochs"])
    evals = tuple(
        EvalDone(**{**row, "metrics": {name: float(found) for name, found in row["metrics"].items()}})
        for row in value["evals"]
    )
    tasks = {
        key: {name: TaskLoss(**row) for name, row in value[key].items()} for key in ("window_tasks", "tasks")
    }
    return Tally(**{**value, **tasks, "epochs": epochs, "evals": evals})
