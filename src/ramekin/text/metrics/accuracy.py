"""Accuracy: the share of predictions that are right, character for character."""

from collections import Counter

from ramekin.text.metrics.mean import mean_resampler
from ramekin.text.metrics.metric import Metric, Resampler
from ramekin.text.metrics.notes import class_note, joined, passage_note, text_note
from ramekin.text.metrics.proportion import proportion_score
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

__all__ = ["ACCURACY", "guessed_right"]


def _right(answers: Answers) -> list[bool]:
    return [text in accepted for text, accepted in zip(answers.predictions, answers.accepted, strict=True)]


def _accuracy(answers: Answers, seed: int) -> Score:
    """Share of predictions that are their target or another reference, see `proportion_score`."""
    return proportion_score(
        "accuracy",
        _right(answers),
        answers.drawn_together,
        chance=_chance(answers),
        unparsable=answers.unparsable,
        note=joined(text_note(answers), class_note(answers), passage_note(answers)),
    )


def guessed_right(answers: Answers) -> list[float]:
    """How likely guessing is right: 1 / options (times the right ones, where several are); 0 for free text.

    >>> guessed_right(Answers(("", ""), ("a", "b"), example_options=(("a", "b"), ())))
    [0.5, 0.0]
    """
    return [
        max(1, len(set(options) & set(accepted))) / len(options) if options else 0.0
        for options, accepted in zip(answers.choices, answers.accepted, strict=True)
    ]


def _chance(answers: Answers) -> float:
    """The mean of what guessing reaches on each example."""
    shares = guessed_right(answers)
    return shares[0] if len(set(shares)) == 1 else sum(shares) / len(shares)


def _prepare(answers: Answers) -> Resampler:
    return mean_resampler(_right(answers))


def _majority(answers: Answers) -> float:
    counts = Counter(text for accepted in answers.accepted for text in accepted)
    return counts.most_common(1)[0][1] / len(answers.targets)


ACCURACY = Metric("accuracy", _accuracy, _prepare, _majority)
"""Of option tasks; texts that may be worded differently are for `exact_match`."""
