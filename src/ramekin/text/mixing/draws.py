"""Which leaf each draw of a mixture takes, and which of the leaf's draws it is: a pure function of (seed, t).

Draws come in blocks of B. How many of the first n draws are of each leaf is settled by a tree over the
leaves: every fork that gets n draws passes floor((n·left + u) / (left + right)) of them to its left branch,
with whole numbers for weights and an offset u drawn by the seed, and the rest to its right one. Both grow by
0 or 1 with n, so every leaf's count does: the counts of any n sum to n, never fall, and can be had without
those before. The offsets make rate·n the expected count. A fork's own rounding is less than 1 and is divided
further with what it divides, so that no leaf is ever 5 draws from rate·n (in all that was measured, with up
to 18,000 leaves, not 2). Within a block the draws are shuffled by (seed, block).

Whole numbers alone: every machine draws the same. Knows nothing of tasks.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, chain, repeat
from typing import NamedTuple, final

from ramekin.errors import UsageError
from ramekin.text.draw import draw, shuffled

__all__ = ["Draw", "MixtureDraws"]

_UNITS = 1 << 40
"""Rates are counted in these. Fine enough for any run; coarse enough that the last bit of a power, which
mathematical libraries round differently, does not matter."""
_MIN_BLOCK = 1024
_KEPT_BLOCKS = 4


@final
class Draw(NamedTuple):
    """One draw of a mixture."""

    leaf: int
    """Which, as an index into the rates."""
    nth: int
    """Which draw of this leaf it is, from 0, in the order of t."""


@final
class _Fork(NamedTuple):
    """Where draws part; branches are places in the list of counts."""

    place: int
    left: int
    right: int
    left_weight: int
    weight: int
    offset: int


@final
class MixtureDraws:
    """The draws of a mixture, any of which can be had without those before it.

    >>> draws = MixtureDraws([0.75, 0.25], seed=0)
    >>> draws.draws(0, 5000)[4000:4010] == draws.draws(4000, 4010)
    True
    >>> draws.counts(4096)
    (3072, 1024)

    Args:
        rates: of the leaves, relative to one another.
        seed: of the order.

    Raises:
        UsageError: there are no rates, or one of them is not above 0.
    """

    def __init__(self, rates: Sequence[float], *, seed: int) -> None:
        self.seed = seed
        weights = _whole(rates)
        self.block_draws = max(_MIN_BLOCK, 1 << (4 * len(weights) - 1).bit_length())
        """B: a power of two, at least four times the number of leaves."""
        self._forks, self._places = _tree(weights, seed)
        self._block = lru_cache(maxsize=_KEPT_BLOCKS)(self._made_block)

    def draw(self, t: int) -> Draw:
        """Draw t, from 0."""
        return self.draws(t, t + 1)[0]

    def draws(self, start: int, stop: int) -> list[Draw]:
        """The draws from `start` on and before `stop`."""
        _check_range(start, stop)
        size = self.block_draws
        found: list[Draw] = []
        for block in range(start // size, -(-stop // size)):
            first = block * size
            found += self._block(block)[max(start - first, 0) : stop - first]
        return found

    def counts(self, stop: int) -> tuple[int, ...]:
        """How many of the draws before `stop` are of each leaf."""
        _check_range(0, stop)
        block, rest = divmod(stop, self.block_draws)
        counts = self._counts_before(block)
        if rest:
            for leaf, count in Counter(each.leaf for each in self._block(block)[:rest]).items():
                counts[leaf] += count
        return tuple(counts)

    def _counts_before(self, block: int) -> list[int]:
        """How many draws of each leaf stand before a block."""
        counts = [0] * (2 * len(self._places) - 1)
        counts[0] = block * self.block_draws
        for place, left, right, left_weight, weight, offset in self._forks:
            count = counts[place]
            passed = (count * left_weight + offset) // weight
            counts[left] = passed
            counts[right] = count - passed
        return [counts[place] for place in self._places]

    def _made_block(self, block: int) -> list[Draw]:
        before, after = self._counts_before(block), self._counts_before(block + 1)
        sorted_by_leaf = list(
            chain.from_iterable(
                repeat(leaf, last - first)
                for leaf, (first, last) in enumerate(zip(before, after, strict=True))
            )
        )
        order = [sorted_by_leaf[place] for place in shuffled(self.block_draws, self.seed, "mixture", block)]
        indexes = []
        for leaf in order:
            indexes.append(before[leaf])
            before[leaf] += 1
        return list(map(Draw, order, indexes))


def _check_range(start: int, stop: int) -> None:
    if not 0 <= start <= stop:
        raise UsageError("draws are counted from 0 on", got=f"{start} to {stop}")


def _whole(rates: Sequence[float]) -> list[int]:
    """The rates as whole numbers of units; none is lost."""
    if not rates:
        raise UsageError("a mixture needs at least one rate")
    for place, rate in enumerate(rates):
        if not (math.isfinite(rate) and rate > 0):
            raise UsageError("every rate of a mixture must be above 0", got=f"{rate} for leaf {place}")
    total = math.fsum(rates)
    return [max(1, round(rate / total * _UNITS)) for rate in rates]


def _tree(weights: Sequence[int], seed: int) -> tuple[tuple[_Fork, ...], list[int]]:
    """The forks, each after the one above it, and each leaf's place among the counts; place 0 is the root.

    Leaves lie by weight, and each fork divides its own as nearly in half as they allow (Shannon and Fano's
    code): a branch of several leaves has at most 3/4 of its fork's weight, and so rounding dies out.
    """
    order = sorted(range(len(weights)), key=lambda leaf: (-weights[leaf], leaf))
    sums = [0, *accumulate(weights[leaf] for leaf in order)]
    forks: list[_Fork] = []
    places = [0] * len(weights)
    pending = [(0, 0, len(weights))]
    while pending:
        place, start, stop = pending.pop()
        if stop - start == 1:
            places[order[start]] = place
            continue
        middle = _middle(sums, start, stop)
        weight = sums[stop] - sums[start]
        left = 2 * len(forks) + 1
        offset = draw(weight, seed, "fork", len(forks))
        forks.append(_Fork(place, left, left + 1, sums[middle] - sums[start], weight, offset))
        pending += [(left, start, middle), (left + 1, middle, stop)]
    return tuple(forks), places


def _middle(sums: Sequence[int], start: int, stop: int) -> int:
    """Where to divide, so that the two sides weigh as nearly the same as they can."""
    both = sums[start] + sums[stop]
    after = bisect_left(sums, both / 2, start + 1, stop - 1)
    return after - 1 if after - 1 > start and both - 2 * sums[after - 1] < 2 * sums[after] - both else after
