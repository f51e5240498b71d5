"""Matthews' correlation of classes (1975; for several classes Gorodkin's R_K, 2004)."""

from typing import TYPE_CHECKING

from ramekin.text.metrics.bootstrap import bootstrapped
from ramekin.text.metrics.classes import class_codes, class_counts
from ramekin.text.metrics.correlation import constant_note
from ramekin.text.metrics.metric import Metric, Resampler, no_majority
from ramekin.text.metrics.notes import empty_note, joined
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ramekin.text.metrics.values import Floats

__all__ = ["MATTHEWS"]


def _matthews(answers: Answers, seed: int) -> Score:
    """Matthews' correlation; unparsable answers form one class."""
    return bootstrapped(
        "matthews",
        answers,
        _prepare(answers),
        seed,
        unparsable=answers.unparsable,
        note=joined(empty_note(answers), constant_note(answers.predictions, answers.targets)),
    )


def _prepare(answers: Answers) -> Resampler:
    """(c s - p·t) / sqrt((s² - p·p) (s² - t·t)) from class counts p, t, agreements c and size s."""
    import numpy as np

    codes: dict[Hashable, int] = {}
    wanted, predicted = class_codes(answers.targets, codes), class_codes(answers.read, codes)
    agreed = np.array(wanted == predicted, dtype=np.float64)

    def resampled(drawn: "Floats") -> "Floats":
        size = drawn.sum(axis=1)
        p, t = class_counts(drawn, predicted, len(codes)), class_counts(drawn, wanted, len(codes))
        spread = np.sqrt((size**2 - (p * p).sum(axis=1)) * (size**2 - (t * t).sum(axis=1)))
        shared = (drawn @ agreed) * size - (p * t).sum(axis=1)
        return np.where(spread > 0, shared / np.where(spread > 0, spread, 1.0), 0.0)

    return resampled


MATTHEWS = Metric("matthews", _matthews, _prepare, no_majority)
"""In [-1, 1]; 0 for any constant answer."""
