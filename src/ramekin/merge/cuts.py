"""The magnitudes at which methods cut: the k-th smallest of each model, of the whole or of each tensor.

Of few numbers they are found by putting them in order, of many by `selection`, in passes over everything that
a sample guides. Both are exact. What was kept is compared with what was asked for: a cut of
zero trims nothing, and equal values cannot be told apart. This module knows nothing of files.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, final

import numpy as np

from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import summed
from ramekin.merge.sampling import Stratum, likely_bounds, run_places
from ramekin.merge.selection import Floats, KthMagnitude, Rows, kth_magnitudes
from ramekin.merge.stream import Chunk, ModelStream, Piece

__all__ = [
    "Cuts",
    "Keep",
    "KeptCounts",
    "cut_rank",
    "magnitudes",
    "model_cuts",
    "summed_trimmed",
    "trim",
    "trimmed",
    "wanted_count",
]

T = TypeVar("T")
Keep = Literal["round", "floor", "official"]
Magnitudes = Callable[[Chunk], Sequence[Array]]
"""Non-negative fp32 numbers of a chunk, `(n,)` of each model."""

_SHOWN = 3  # tensors named in a warning
_PARTITIONED = 1 << 25  # elements of all models that are put in order in memory


def wanted_count(total: int, density: float, keep: Keep) -> int:
    """How many of `total` values a density from 0 to 1 keeps.

    >>> wanted_count(10, 0.25, "round"), wanted_count(10, 0.25, "floor"), wanted_count(10, 0.25, "official")
    (2, 2, 3)
    """
    if density in (0, 1) or total == 0:
        return round(density * total)
    if keep == "official":
        return min(total, int(total * density) + 1)
    return max(1, round(total * density) if keep == "round" else int(total * density))


def cut_rank(total: int, wanted: int) -> int:
    """The rank, from the smallest, of the smallest magnitude that is kept; 0 where all are.

    >>> cut_rank(10, 2)
    9
    """
    return 0 if wanted >= total else total - wanted + 1


def trim(delta: Array, cut: float) -> tuple[Array, int]:
    """The delta with every value of a magnitude below `cut` set to zero, and how many values are kept.

    >>> trim(np.asarray([1.0, -2.0, 3.0]), 2.0)
    (array([ 0., -2.,  3.]), 2)
    """
    xp = namespace(delta)
    kept = xp.abs(delta) >= cut
    return delta * kept, int(xp.count_nonzero(kept))


def trimmed(stream: ModelStream, chunk: Chunk, cuts: Sequence[KthMagnitude]) -> list[tuple[Array, int]]:
    """Each delta of a chunk, trimmed at its model's cut, and how many of its values are kept."""
    loops = stream.loops
    if loops is None:
        return [trim(delta, cut.value) for delta, cut in zip(chunk.deltas, cuts, strict=True)]
    base = _base(chunk)
    return [loops.trim(tuned, base, cut.value) for tuned, cut in zip(chunk.tuned, cuts, strict=True)]


def summed_trimmed(
    stream: ModelStream, chunk: Chunk, cuts: Sequence[KthMagnitude], weights: Sequence[float] | None
) -> Array:
    """The sum of a chunk's trimmed deltas, each times its weight; None counts each once."""
    loops = stream.loops
    if loops is None:
        return summed([delta for delta, _ in trimmed(stream, chunk, cuts)], weights)
    base = _base(chunk)
    total: Array = namespace(base).zeros_like(base)
    factors = weights or (1.0,) * len(cuts)
    for tuned, cut, factor in zip(chunk.tuned, cuts, factors, strict=True):
        loops.add_trimmed(tuned, base, cut.value, factor, total)
    return total


def magnitudes(chunk: Chunk) -> Sequence[Array]:
    """The magnitudes of a chunk's deltas."""
    return [namespace(delta).abs(delta) for delta in chunk.deltas]


def _base(chunk: Chunk) -> Array:
    assert chunk.base is not None  # methods that take deltas need a base, which was checked
    return chunk.base


def model_cuts(
    stream: ModelStream,
    ranks: Sequence[Sequence[int]],
    *,
    of: Magnitudes = magnitudes,
    times: Mapping[str, int] | None = None,
) -> tuple[tuple[KthMagnitude, ...], ...]:
    """The magnitudes of some ranks among all of each model's, over all tensors of the stream.

    Args:
        stream: the models.
        ranks: `ranks[model]` are those of a model, from 1 for the smallest; beyond the one end nothing is
            below it, beyond the other everything.
        of: the numbers.
        times: how often a tensor counts; 1 unless named.
    """
    times = times or {}
    total = sum(stream.numel(name) * times.get(name, 1) for name in stream.names)
    inside = [row for row, each in enumerate(ranks) if any(1 <= rank <= total for rank in each)]
    if not inside:
        return tuple(tuple(_beyond(rank, total) for rank in each) for each in ranks)

    loops = stream.loops if of is magnitudes else None

    def rows_of(chunk: Chunk) -> Rows:
        often = times.get(chunk.name, 1)
        if loops is not None:
            return often, [loops.distances(chunk.tuned[row], _base(chunk)) for row in inside]
        numbers = of(chunk)
        return often, [stream.take(numbers[row]).reshape(-1) for row in inside]

    clamped = [[min(max(rank, 1), total) for rank in ranks[row]] for row in inside]
    if total * len(inside) <= _PARTITIONED:
        kths = _by_partition(stream, rows_of, clamped)
    else:
        kths = _by_counting(stream, rows_of, clamped, times)
    found = dict(zip(inside, kths, strict=True))
    return tuple(
        tuple(
            found[row][place] if 1 <= rank <= total else _beyond(rank, total)
            for place, rank in enumerate(each)
        )
        for row, each in enumerate(ranks)
    )


@final
class KeptCounts:
    """How many values of each model were kept of each tensor; several threads may add to it."""

    def __init__(self, names: Sequence[str], num_models: int) -> None:
        self._counts: dict[str, list[dict[int, int]]] = {
            name: [{} for _ in range(num_models)] for name in names
        }
        self._lock = threading.Lock()

    def add(self, chunk: Chunk, model: int, count: int) -> None:
        """Say what was kept of a model in a chunk; of one that is taken again, the last word counts."""
        with self._lock:
            self._counts[chunk.name][model][chunk.start] = count

    def figures(self, stream: ModelStream) -> dict[str, object]:
        """The kept shares of each model, and by tensor, as JSON values."""
        sizes = {name: stream.numel(name) for name in self._counts}
        total = max(1, sum(sizes.values()))
        added = {name: [sum(each.values()) for each in counts] for name, counts in self._counts.items()}
        by_model = [sum(counts) / total for counts in zip(*added.values(), strict=True)]
        return {
            "kept_share": dict(zip(stream.labels, by_model, strict=True)),
            "kept_share_by_tensor": {
                name: [count / max(1, sizes[name]) for count in counts] for name, counts in added.items()
            },
        }


@final
@dataclass(frozen=True, slots=True)
class Cuts:
    """The cut of each model in each tensor, and how many values were to be kept of tensors that share one."""

    found: Mapping[str, tuple[KthMagnitude, ...]]
    """By tensor; `value` is the smallest kept magnitude."""
    wanted: Mapping[tuple[str, ...], tuple[int, ...]]
    """The number of values to be kept of each model, by the tensors that share a cut."""
    times: Mapping[str, int]
    """How often a tensor counts; 1 unless named."""

    def imprecise(self, stream: ModelStream) -> list[dict[str, object]]:
        """Where another number was kept than asked for, as JSON values; the whole model is no tensor."""
        return [
            {"tensor": names[0] if len(names) == 1 else None, "model": label, "wanted": count, "kept": kept}
            for names, wanted in self.wanted.items()
            for label, count, kept in zip(stream.labels, wanted, self._kept(stream, names), strict=True)
            if kept != count
        ]

    def warnings(self, stream: ModelStream) -> tuple[str, ...]:
        """A sentence for each model of which notably more was kept than asked for."""
        return tuple(
            _warning(stream, names, model, self.found[names[0]][model], kept, count)
            for names, wanted in self.wanted.items()
            for model, (count, kept) in enumerate(zip(wanted, self._kept(stream, names), strict=True))
            if kept - count > max(8, count / 1000) and not self._is_unchanged(stream, names, model)
        )

    def _is_unchanged(self, stream: ModelStream, names: Sequence[str], model: int) -> bool:
        """Whether a tensor by itself is the base's: there is nothing in it that could be trimmed."""
        kth = self.found[names[0]][model]
        return len(names) == 1 and kth.value == 0 and kth.equal == stream.numel(names[0])

    def _kept(self, stream: ModelStream, names: Sequence[str]) -> list[int]:
        total = sum(stream.numel(name) * self.times.get(name, 1) for name in names)
        return [total - kth.below for kth in self.found[names[0]]] if names else []


def _warning(
    stream: ModelStream, names: Sequence[str], model: int, cut: KthMagnitude, kept: int, wanted: int
) -> str:
    """What was kept too much, and the tensors in which most values equal the cut."""
    equal: Counter[str] = Counter()

    def count(chunk: Chunk) -> None:
        numbers = magnitudes(chunk)[model]
        equal[chunk.name] += int(namespace(numbers).count_nonzero(numbers == cut.value))

    for _ in stream.only(names).walk(count):
        pass
    most = [name for name, number in sorted(equal.items(), key=lambda each: (-each[1], each[0])) if number]
    where = f"in {len(most)} tensors ({', '.join(most[:_SHOWN])}{', …' * (len(most) > _SHOWN)})"
    if cut.value == 0:
        return (
            f"{stream.labels[model]}: nothing was trimmed, the cut is 0: fewer than the {wanted} values to "
            f"be kept are not zero; zeros {where}"
        )
    return (
        f"{stream.labels[model]}: {kept} values were kept instead of {wanted}, because some equal the cut "
        f"{cut.value:.3g}; {where}"
    )


def _beyond(rank: int, total: int) -> KthMagnitude:
    """What lies beyond the ends of a row: nothing is below the one, everything below the other."""
    return KthMagnitude(0.0, 0, 0) if rank < 1 else KthMagnitude(math.inf, total, 0)


def _by_partition(
    stream: ModelStream, rows_of: Callable[[Chunk], Rows], ranks: Sequence[Sequence[int]]
) -> list[list[KthMagnitude]]:
    """From all numbers in memory, in one pass."""
    parts = list(stream.walk(lambda chunk: _repeated(rows_of(chunk))))
    return [
        [_kth(np.concatenate(row), rank) for rank in each]
        for row, each in zip(zip(*parts, strict=True), ranks, strict=True)
    ]


def _by_counting(
    stream: ModelStream,
    rows_of: Callable[[Chunk], Rows],
    ranks: Sequence[Sequence[int]],
    times: Mapping[str, int],
) -> list[list[KthMagnitude]]:
    """In passes, one as a rule, in which the numbers are counted; a rank each for every row at a time."""
    total = sum(stream.numel(name) * times.get(name, 1) for name in stream.names)
    strata = _strata(stream, rows_of, times, total)

    def walk(look: Callable[[Rows], T]) -> Iterator[T]:
        return stream.walk(lambda chunk: look(rows_of(chunk)))

    columns = []
    for place in range(max(len(each) for each in ranks)):
        column = [each[min(place, len(each) - 1)] for each in ranks]
        bounds = [likely_bounds(of_row, rank / total) for of_row, rank in zip(strata, column, strict=True)]
        columns.append(kth_magnitudes(walk, column, bounds=bounds))
    return [[columns[place][row] for place in range(len(each))] for row, each in enumerate(ranks)]


def _kth(row: Floats, rank: int) -> KthMagnitude:
    value = np.partition(row, rank - 1)[rank - 1]
    return KthMagnitude(float(value), int(np.count_nonzero(row < value)), int(np.count_nonzero(row == value)))


def _repeated(rows: Rows) -> list[Floats]:
    """Rows that outlive the chunk they are of, as often as they count."""
    return [np.tile(row, rows[0]) for row in rows[1]]


def _strata(
    stream: ModelStream, rows_of: Callable[[Chunk], Rows], times: Mapping[str, int], total: int
) -> list[list[Stratum]]:
    """A sample of each row: runs of every tensor; one that counts several times weighs so much more."""
    rng = np.random.default_rng(0)
    places = {name: run_places(stream.numel(name), total, rng) for name in stream.names}
    pieces = [Piece(name, run.start, (len(run),)) for name, runs in places.items() for run in runs]
    taken = stream.map(pieces, lambda chunk: [np.array(row, copy=True) for row in rows_of(chunk)[1]])
    by_name: dict[str, list[list[Floats]]] = {}
    for piece, rows in zip(pieces, taken, strict=True):
        by_name.setdefault(piece.name, []).append(rows)
    return [
        [
            Stratum(stream.numel(name) * times.get(name, 1), runs, sum(map(len, runs)) == stream.numel(name))
            for name, found in by_name.items()
            for runs in [[rows[row] for rows in found]]
        ]
        for row in range(len(next(iter(by_name.values()))[0]))
    ]
