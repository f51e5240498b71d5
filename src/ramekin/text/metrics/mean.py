"""Metrics that grade each example by itself and take the mean: exact match, token F1, ROUGE."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ramekin.text.metrics.metric import Resampler
from ramekin.text.metrics.values import Answers

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats

__all__ = ["Grade", "expected_grade", "grades", "mean_resampler"]

Grade: TypeAlias = Callable[[str, str], float]
"""From a prediction and one reference to a number from 0 to 1."""


def grades(grade: Grade, answers: Answers) -> list[float]:
    """Each prediction's best grade over what is accepted."""
    pairs = zip(answers.predictions, answers.accepted, strict=True)
    return [max(grade(text, right) for right in accepted) for text, accepted in pairs]


def expected_grade(grade: Grade, answers: Answers) -> float:
    """What choosing among an example's options at random reaches on average; 0 for free text."""
    cases = Counter(zip(answers.choices, answers.accepted, strict=True))  # few, where the options are fixed
    total = 0.0
    for (options, accepted), number in cases.items():
        best = [max(grade(option, right) for right in accepted) for option in options]
        total += number * sum(best) / len(options) if options else 0.0
    return total / len(answers.targets)


def mean_resampler(graded: Sequence[float]) -> Resampler:
    """The mean grade of drawn examples."""
    import numpy as np

    values = np.array(graded, dtype=np.float64)

    def resampled(drawn: "Floats") -> "Floats":
        means: Floats = drawn @ values / drawn.sum(axis=1)
        return means

    return resampled
