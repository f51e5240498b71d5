"""Where the value at a share of very many numbers lies almost surely, judged by a few of them.

Every tensor is a stratum: short runs are taken from all over it, more from a larger one, and count as much as
the tensor has numbers. So tensors that differ in scale, as those of a model do, add nothing to the error;
what differs along a tensor is seen in how its runs differ. The bounds are Woodruff's (1952): those quantiles
of the sample that are some deviations of the estimated share away. This module knows no files.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

__all__ = ["Stratum", "likely_bounds", "run_places"]

Floats = npt.NDArray[np.float32]

RUN = 1 << 8
"""The elements of a run."""
_RUNS = 1 << 10  # of all tensors together, if each took its share
_MIN_RUNS = 2  # of a tensor, so that there is a difference to judge by
_DEVIATIONS = 6


@final
@dataclass(frozen=True, slots=True)
class Stratum:
    """What was taken from a tensor."""

    weight: float
    """How many numbers it stands for."""
    runs: Sequence[Floats]
    """Numbers from all over it, in the order of their places; `(n,)` each."""
    whole: bool = False
    """Whether these are all of them."""


def run_places(numel: int, total: int, rng: np.random.Generator) -> tuple[range, ...]:
    """The elements that are taken of a tensor: all of a small one, else one run in each of equal parts.

    >>> run_places(3, 10**9, np.random.default_rng(0))
    (range(0, 3),)
    >>> len(run_places(10**8, 10**9, np.random.default_rng(0)))
    102
    """
    count = max(_MIN_RUNS, round(_RUNS * numel / max(1, total)))
    if numel <= count * RUN:
        return (range(numel),) if numel else ()
    edges = [numel * place // count for place in range(count + 1)]
    starts = [int(rng.integers(low, high - RUN + 1)) for low, high in itertools.pairwise(edges)]
    return tuple(range(start, start + RUN) for start in starts)


def likely_bounds(strata: Sequence[Stratum], share: float) -> tuple[float, float]:
    """Two numbers between which the value at a share of the whole lies, as good as always.

    Args:
        strata: the tensors, not all without numbers.
        share: the share of all numbers that are not above the value, from 0 to 1.

    Returns:
        The lower and the upper bound; `inf` where there is no upper one.

    >>> row = np.arange(1000, dtype=np.float32)
    >>> likely_bounds([Stratum(1000, [row], whole=True)], 0.5)
    (497.0, 502.0)
    """
    strata = [stratum for stratum in strata if stratum.runs]
    values = np.concatenate([run for stratum in strata for run in stratum.runs])
    weights = np.concatenate([_weights(stratum) for stratum in strata])
    order = np.argsort(values)
    values, shares = values[order], np.cumsum(weights[order], dtype=np.float64)
    shares /= shares[-1]
    middle = values[min(int(np.searchsorted(shares, share)), len(values) - 1)]
    margin = _DEVIATIONS * _deviation(strata, middle) + 1e-3 * share * (1 - share) + 2 / len(values)
    low, high = (int(np.searchsorted(shares, each)) for each in (share - margin, share + margin))
    return (
        float(values[low]) if share > margin else 0.0,
        float(values[high]) if high < len(values) else math.inf,
    )


def _weights(stratum: Stratum) -> npt.NDArray[np.float64]:
    count = sum(map(len, stratum.runs))
    return np.full(count, stratum.weight / count)


def _deviation(strata: Sequence[Stratum], middle: np.float32) -> float:
    """The standard error of the share of numbers that are not above `middle`.

    By the differences of neighbouring runs: what changes slowly along a tensor is in all samples alike.
    """
    total = sum(stratum.weight for stratum in strata)
    variance = 0.0
    for stratum in strata:
        if stratum.whole or len(stratum.runs) < _MIN_RUNS:
            continue
        found = np.asarray([np.count_nonzero(run <= middle) / len(run) for run in stratum.runs])
        of_one = float(np.mean(np.diff(found) ** 2)) / 2
        variance += (stratum.weight / total) ** 2 * of_one / len(found)
    return math.sqrt(variance)
