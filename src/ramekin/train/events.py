"""What a training run tells while it runs: small values, and the protocol of who listens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, final

__all__ = ["EvalDone", "Notice", "Progress", "StepDone", "TrainEvent"]


@final
@dataclass(frozen=True, slots=True)
class StepDone:
    """An optimizer step was taken."""

    step: int
    """Steps taken, this one included."""
    total_steps: int
    epoch: int
    """From 0."""
    loss: float
    """Mean over the real target tokens of the step."""
    grad_norm: float
    """Of the global batch's gradient, before clipping."""
    learning_rate: float
    examples_per_second: float
    """Since this process started training."""
    tokens_per_second: float
    """Real tokens of both sides."""
    padding_share: float
    """Of the step's padded positions, those that held no token."""
    eta_seconds: float
    """Until the last step."""
    parts: Mapping[str, float]
    """What the objective tells beside its loss, such as likelihood and unlikelihood."""
    task_losses: Mapping[str, float]
    """Of the tasks in the step, the mean over their target tokens."""


@final
@dataclass(frozen=True, slots=True)
class EvalDone:
    """An evaluation was made."""

    step: int
    metrics: Mapping[str, float]
    is_best: bool = False
    """Whether the metric that selects the model was never better before."""


@final
@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know; the run goes on."""

    step: int
    message: str


TrainEvent: TypeAlias = StepDone | EvalDone | Notice


class Progress(Protocol):
    """Whoever wants to watch; called in the training process, so it should be quick."""

    def __call__(self, event: TrainEvent, /) -> None:
        """Take note of an event."""
        ...
