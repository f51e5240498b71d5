"""Answers as class numbers, counted draw by draw: what F1 and Matthews' correlation are made of."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats, Indices

__all__ = ["class_codes", "class_counts"]


def class_codes(answers: Iterable[Hashable], codes: dict[Hashable, int]) -> "Indices":
    """The number of each answer's class; classes that `codes` lacks are added to it."""
    import numpy as np

    return np.array([codes.setdefault(answer, len(codes)) for answer in answers], dtype=np.int64)


def class_counts(drawn: "Floats", codes: "Indices", classes: int) -> "Floats":
    """How many examples of each class every draw holds: (resamples, n), (n,) -> (resamples, classes)."""
    import numpy as np

    order = np.argsort(codes, kind="stable")
    held, starts = np.unique(codes[order], return_index=True)
    counts = np.zeros((len(drawn), classes))
    counts[:, held] = np.add.reduceat(drawn[:, order], starts, axis=1)
    return counts
