"""The form of a metric: its score, its value on resampled examples, and what blind strategies reach."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats

__all__ = ["Metric", "Resampler", "no_majority"]

Resampler: TypeAlias = "Callable[[Floats], Floats]"
"""From how often each example was drawn, (resamples, n), to a metric's values, (resamples,); undefined ones
are 0.0. Whole numbers; a draw of passages holds more examples or fewer than there are."""


@final
@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    compute: Callable[[Answers, int], Score]
    """The score, with its interval made from the seed."""
    prepare: Callable[[Answers], Resampler]
    """Read the answers, once, into what gives the metric on any resample of them."""
    majority: Callable[[Answers], float]
    """What writing the best constant answer reaches; 0.0 where none is looked for (correlations, overlap)."""
    needs_questions: bool = False
    """Whether it needs to know which examples are candidate answers of one question."""


def no_majority(answers: Answers) -> float:
    """The level of a metric for which no constant answer is looked for."""
    return 0.0
