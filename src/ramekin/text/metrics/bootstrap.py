"""The percentile bootstrap (Efron 1979) over examples or the passages that they share, in bounded memory.

Examples that share a passage are drawn together: whole passages are drawn with repeats, as many as there
are, each with all of its examples (the cluster bootstrap; Davison & Hinkley 1997, section 3.8). What is drawn
is a count for each example, so every metric is made of weighted sums, whatever was drawn together.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ramekin.text.metrics.classes import class_codes
from ramekin.text.metrics.metric import Resampler
from ramekin.text.metrics.notes import joined, passage_note
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score, wilson_interval

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats

__all__ = ["RESAMPLES", "bootstrapped", "draws", "resampled_counts", "whole"]

RESAMPLES = 1000
_CHUNK_CELLS = 2_000_000
_ONE = "one example: nothing to resample, so the interval has no width"
_FEW = 10
"""Percentile intervals of fewer passages cover visibly less than they promise."""


def resampled_counts(
    n: int, clusters: Sequence[str] = (), *, seed: int, resamples: int = RESAMPLES
) -> "Iterator[Floats]":
    """How often each of n examples is in each draw, in chunks of draws: (some resamples, n).

    The same seed gives the same draws of n examples in the same clusters, whatever is measured on them.

    Args:
        n: how many examples there are.
        clusters: for each example, what it shares with others; where there are several, and fewer than
            examples, these are what is drawn.
        seed: of the draws.
        resamples: how many.

    >>> (counts,) = resampled_counts(4, ["a", "a", "b", "b"], seed=0, resamples=3)
    >>> counts.tolist()
    [[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 0.0, 0.0]]
    """
    import numpy as np

    groups: dict[object, int] = {}
    codes = class_codes(clusters, groups)
    units = len(groups) if 1 < len(groups) < n else n
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_CELLS // n)
    for done in range(0, resamples, rows):
        drawn = rng.integers(0, units, size=(min(rows, resamples - done), units))
        drawn += units * np.arange(len(drawn))[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        yield counts if units == n else counts[:, codes]


def _few(num_clusters: int) -> str:
    return f"{num_clusters} passages only: the interval is too narrow" if 0 < num_clusters < _FEW else ""


def draws(resampler: Resampler, answers: Answers, *, seed: int, resamples: int = RESAMPLES) -> "Floats":
    """The metric on `resamples` draws of the answers with repeats: (resamples,)."""
    import numpy as np

    n = len(answers.targets)
    chunks = resampled_counts(n, answers.drawn_together, seed=seed, resamples=resamples)
    return np.concatenate([resampler(counts) for counts in chunks])


def whole(resampler: Resampler, n: int) -> float:
    """The metric on the examples as they are."""
    import numpy as np

    return float(resampler(np.ones((1, n)))[0])


def bootstrapped(
    name: str,
    answers: Answers,
    resampler: Resampler,
    seed: int,
    *,
    value: float | None = None,
    chance: float = 0.0,
    unparsable: int = 0,
    note: str = "",
    of_grades: bool = False,
) -> Score:
    """The score with its 95 % interval and, as its standard error, the standard deviation of the draws.

    `value` is the resampler's on the whole unless it is given. Of grades from 0 to 1 (`of_grades`: the score
    is their mean) that are all 0, or all 1, every draw is alike: their interval is Wilson's of a proportion.
    """
    import numpy as np

    n = len(answers.targets)
    drawn = draws(resampler, answers, seed=seed)
    low, high = map(float, np.percentile(drawn, [2.5, 97.5]))
    if of_grades and low == high and low in (0.0, 1.0):
        units = answers.num_clusters or n
        low, high = wilson_interval(low * units, units)
    return Score(
        name,
        whole(resampler, n) if value is None else value,
        n,
        low,
        high,
        chance,
        float(drawn.std(ddof=1)),
        unparsable=unparsable,
        note=joined(
            note, _ONE if n == 1 and low == high else "", _few(answers.num_clusters), passage_note(answers)
        ),
        clusters=answers.num_clusters,
    )
