"""The k-th smallest magnitude of a stream of numbers, exact, in one pass as a rule and in little memory.

The bits of a non-negative float, read as an integer, are in the order of the floats. Where bounds are known
between which the k-th value lies almost surely (`sampling`), a pass counts what is below them and, value by
value, what is between. Where they were wrong, or there are more values between them than there is room to
count, further passes count in coarser bins and then inside the right bin: the answer is exact in any case.
Counts are whole numbers, so heavy ties, constants and zeros cost nothing extra, nothing depends on the order
of reading, and a value can be counted several times. This module knows nothing of models.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

import numpy as np
import numpy.typing as npt

from ramekin.errors import UsageError
from ramekin.merge.loops import Distances

__all__ = ["KthMagnitude", "Rows", "Walk", "kth_magnitudes"]

Floats = npt.NDArray[np.float32]
Rows = tuple[int, Sequence[Floats | Distances]]
"""How often the numbers count, and some non-negative fp32 numbers of each row, `(n,)` each."""


class Walk(Protocol):
    """Calls a function with the rows of every piece of the stream, perhaps in several threads."""

    def __call__(self, look: "Callable[[Rows], _Seen]", /) -> "Iterator[_Seen]":
        """What the function found, piece by piece."""


_BINS = 1 << 20
_FLUSHED = 1 << 16  # numbers that wait to be counted
_LAST = 0x7F800000  # the bits of infinity: one past those of the largest number


@final
class KthMagnitude(NamedTuple):
    """The k-th smallest magnitude of a row, how many values lie below it, and how many are equal to it."""

    value: float
    below: int
    equal: int


@final
@dataclass(frozen=True, slots=True)
class _Interval:
    """Where the k-th value of a row is looked for: bins of `1 << shift` neighbouring floats from `low` on."""

    low: int
    shift: int
    bins: int

    @property
    def stop(self) -> int:
        """One past the bits of the last float."""
        return self.low + (self.bins << self.shift)


_EVERYTHING = _Interval(0, 11, _LAST >> 11)
_NOTHING = _Interval(_LAST, 0, 0)


@final
@dataclass(frozen=True, slots=True)
class _Seen:
    """What a piece adds to the counts."""

    times: int
    below: tuple[int, ...]
    """How many numbers of each row are below its interval."""
    bins: tuple[npt.NDArray[np.uint32], ...]
    """The bins of those that are in it."""


def kth_magnitudes(
    walk: Walk,
    ranks: Sequence[int],
    *,
    bounds: Sequence[tuple[float, float]] | None = None,
) -> tuple[KthMagnitude, ...]:
    """The k-th smallest of each row of non-negative numbers, as `torch.kthvalue` gives it.

    Args:
        walk: starts a pass; must give the same numbers each time.
        ranks: k of each row, from 1 to the row's (counted) length.
        bounds: between which the value of each row probably lies; None costs a pass more.

    Returns:
        One value a row.

    Raises:
        UsageError: a rank below 1 or beyond the row.

    >>> row = np.asarray([3.0, 1.0, 0.0, 2.0], dtype=np.float32)
    >>> kth_magnitudes(lambda look: iter([look((1, [row]))]), [3])
    (KthMagnitude(value=2.0, below=2, equal=1),)
    >>> kth_magnitudes(lambda look: iter([look((5, [row]))]), [6])
    (KthMagnitude(value=1.0, below=5, equal=5),)
    """
    intervals = [_EVERYTHING] * len(ranks)
    if bounds is not None:
        intervals = [_between(low, high) for low, high in bounds]
    found: dict[int, KthMagnitude] = {}
    while len(found) < len(ranks):
        below, counts = _count(walk, intervals)
        for row, (interval, rank) in enumerate(zip(intervals, ranks, strict=True)):
            if row in found:
                continue
            cumulated = counts[row].cumsum()
            inside = int(cumulated[-1])
            if interval == _EVERYTHING and not 1 <= rank <= inside:
                raise UsageError("a rank outside the numbers", expected=f"1..{inside}", got=str(rank))
            if not below[row] < rank <= below[row] + inside:
                intervals[row] = _EVERYTHING  # the bounds were wrong
                continue
            place = int(np.searchsorted(cumulated, rank - below[row]))
            lower = below[row] + (int(cumulated[place - 1]) if place else 0)
            low = interval.low + (place << interval.shift)
            if interval.shift == 0:
                found[row] = KthMagnitude(_float_of(low), lower, int(counts[row][place]))
                intervals[row] = _NOTHING
            else:
                shift = max(0, interval.shift - _BINS.bit_length() + 1)
                intervals[row] = _Interval(low, shift, 1 << (interval.shift - shift))
    return tuple(found[row] for row in range(len(ranks)))


def _between(low: float, high: float) -> _Interval:
    """The floats from the one number to the other, in as many bins as there is room for."""
    first = _bits_of(low)
    stop = min(_bits_of(high) + 1, _LAST)
    shift = max(0, (stop - first - 1).bit_length() - _BINS.bit_length() + 1)
    return _Interval(first, shift, -(-(stop - first) >> shift))


def _count(walk: Walk, intervals: Sequence[_Interval]) -> tuple[list[int], list[npt.NDArray[np.int64]]]:
    """For each row, how many numbers are below its interval, and how many in each of the interval's bins."""
    below = [0] * len(intervals)
    counts = [np.zeros(interval.bins, dtype=np.int64) for interval in intervals]
    waiting: dict[tuple[int, int], list[npt.NDArray[np.uint32]]] = {}
    waits: Counter[tuple[int, int]] = Counter()

    def look(rows: Rows) -> _Seen:
        seen = [_look(row, interval) for row, interval in zip(rows[1], intervals, strict=True)]
        return _Seen(rows[0], tuple(low for low, _ in seen), tuple(bins for _, bins in seen))

    def flush(row: int, times: int) -> None:
        places = waiting.pop((row, times), [])
        waits.pop((row, times), None)
        if places:
            counts[row] += times * np.bincount(np.concatenate(places), minlength=len(counts[row]))

    for seen in walk(look):
        for row, (low, bins) in enumerate(zip(seen.below, seen.bins, strict=True)):
            below[row] += seen.times * low
            key = (row, seen.times)
            waiting.setdefault(key, []).append(bins)
            waits[key] += len(bins)
            if waits[key] >= max(_FLUSHED, len(counts[row])):  # seldom: it costs as much as there are bins
                flush(*key)
    for key in tuple(waiting):
        flush(*key)
    return below, counts


def _look(row: Floats | Distances, interval: _Interval) -> tuple[int, npt.NDArray[np.uint32]]:
    if not interval.bins:
        return 0, np.empty(0, dtype=np.uint32)
    # As floats: integers take twice as long to compare. The last bin may reach beyond infinity.
    low, stop = _float_of(interval.low), _float_of(min(interval.stop, _LAST))
    if isinstance(row, Distances):
        below, inside = row.between(low, stop)
    else:
        found = row >= low
        below = len(row) - int(np.count_nonzero(found))
        found &= row < stop
        inside = row[np.flatnonzero(found)]
    return below, (inside.view(np.uint32) - np.uint32(interval.low)) >> np.uint32(interval.shift)


def _bits_of(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def _float_of(bits: int) -> float:
    return float(np.uint32(bits).view(np.float32))
