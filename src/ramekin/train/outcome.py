"""What a finished training run did, as a value to report and record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ramekin.train.events import EvalDone
from ramekin.train.tally import EpochLoss, TaskLoss

__all__ = ["TrainReport"]


@final
@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a finished run did."""

    steps: int
    steps_this_time: int
    """Steps of this call: fewer after a resume, 0 if the run was already finished."""
    examples: int
    """Examples seen, repeats included."""
    input_tokens: int
    target_tokens: int
    padding_share: float
    """Padded positions that held no token."""
    final_loss: float
    """Of the last epoch, or the part of it that was run."""
    epochs: tuple[EpochLoss, ...]
    """The loss table."""
    evals: tuple[EvalDone, ...]
    seconds: float
    """Of training alone, all calls together, without evaluation and saving."""
    trainable_parameters: int
    parameters: int
    precision: str
    device: str
    processes: int
    """That trained together, in this call."""
    state: Path
    """The last saved state."""
    notices: tuple[str, ...]
    tasks: Mapping[str, TaskLoss]
    """What each task had of the whole run."""
    best: EvalDone | None
    """The evaluation whose weights are the result; None: the last step's are."""
    stopped_early: bool
    """Whether the run ended because nothing got better."""
