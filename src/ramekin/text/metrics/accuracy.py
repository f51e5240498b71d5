"""Accuracy: the share of predictions that are right, character for character."""

from collections import Counter
from typing import TYPE_CHECKING

from ramekin.text.metrics.metric import Metric, Resampler
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score, binomial_error, wilson_interval

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats, Indices

__all__ = ["ACCURACY"]


def _right(answers: Answers) -> list[bool]:
    return [text in accepted for text, accepted in zip(answers.predictions, answers.accepted, strict=True)]


def _accuracy(answers: Answers, seed: int) -> Score:
    """Share of predictions that are their target or another reference, with Wilson's interval."""
    right, n = sum(_right(answers)), len(answers.targets)
    low, high = wilson_interval(right, n)
    return Score(
        "accuracy",
        right / n,
        n,
        low,
        high,
        _chance(answers),
        binomial_error(right / n, n),
        unparsable=answers.unparsable,
    )


def _chance(answers: Answers) -> float:
    """The mean over examples of 1 / options (times the right ones, where several are); 0 for free text."""
    shares = [
        max(1, len(set(options) & set(accepted))) / len(options) if options else 0.0
        for options, accepted in zip(answers.choices, answers.accepted, strict=True)
    ]
    return shares[0] if len(set(shares)) == 1 else sum(shares) / len(shares)


def _prepare(answers: Answers) -> Resampler:
    import numpy as np

    right = np.array(_right(answers), dtype=np.float64)

    def resampled(indices: "Indices") -> "Floats":
        values: Floats = right[indices].mean(axis=1)
        return values

    return resampled


def _majority(answers: Answers) -> float:
    counts = Counter(text for accepted in answers.accepted for text in accepted)
    return counts.most_common(1)[0][1] / len(answers.targets)


ACCURACY = Metric("accuracy", _accuracy, _prepare, _majority)
"""Of option tasks; texts that may be worded differently are for `exact_match`."""
