"""Accuracy: the share of predictions that are right, character for character."""

from collections import Counter

from ramekin.text.metrics.mean import mean_resampler
from ramekin.text.metrics.metric import Metric, Resampler
from ramekin.text.metrics.proportion import proportion_score
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

__all__ = ["ACCURACY"]


def _right(answers: Answers) -> list[bool]:
    return [text in accepted for text, accepted in zip(answers.predictions, answers.accepted, strict=True)]


def _accuracy(answers: Answers, seed: int) -> Score:
    """Share of predictions that are their target or another reference, see `proportion_score`."""
    return proportion_score(
        "accuracy", _right(answers), answers.clusters, chance=_chance(answers), unparsable=answers.unparsable
    )


def _chance(answers: Answers) -> float:
    """The mean over examples of 1 / options (times the right ones, where several are); 0 for free text."""
    shares = [
        max(1, len(set(options) & set(accepted))) / len(options) if options else 0.0
        for options, accepted in zip(answers.choices, answers.accepted, strict=True)
    ]
    return shares[0] if len(set(shares)) == 1 else sum(shares) / len(shares)


def _prepare(answers: Answers) -> Resampler:
    return mean_resampler(_right(answers))


def _majority(answers: Answers) -> float:
    counts = Counter(text for accepted in answers.accepted for text in accepted)
    return counts.most_common(1)[0][1] / len(answers.targets)


ACCURACY = Metric("accuracy", _accuracy, _prepare, _majority)
"""Of option tasks; texts that may be worded differently are for `exact_match`."""
