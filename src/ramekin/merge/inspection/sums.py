"""What is added up of the deltas of every tensor, element by element, in one walk.

Everything that the figures of a tensor, a layer or the whole model are made of is here: inner products,
numbers of elements and sums of magnitudes, so that those of a group are the sums of those of its tensors.
Sums of floats are taken in blocks, as in `gram`: they have the same bits whatever the chunks and threads.
This module knows nothing of files or names.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from ramekin.merge.gram import added, block_products
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["Counts", "DeltaSums", "Largest", "Weights", "delta_sums", "together"]

Counted = npt.NDArray[np.int64]
Weighed = npt.NDArray[np.float64]
_Floats = npt.NDArray[np.float32]


@final
class Counts(NamedTuple):
    """Numbers of elements."""

    changed: Counted
    """(N, N): where both deltas are not zero; on the diagonal, where one is not."""
    opposed: Counted
    """(N, N): where the two deltas are not zero and have opposite signs."""
    in_conflict: Counted
    """(): where any two have opposite signs."""
    kept: Counted
    """(N,): where the magnitude is not below the model's cut."""
    kept_opposed: Counted
    """(N, N): where the two are kept and have opposite signs."""
    kept_in_conflict: Counted
    """(): where any two that are kept have opposite signs."""


@final
class Weights(NamedTuple):
    """Sums of products and of magnitudes, in float64."""

    products: Weighed
    """(1 + N, 1 + N): the inner products of the base and the deltas."""
    magnitudes: Weighed
    """(N,): of the delta."""
    opposed: Weighed
    """(N, N): of the first delta where the second has the opposite sign."""
    in_conflict: Weighed
    """(): of all deltas where any two have opposite signs."""


@final
class Largest(NamedTuple):
    """The element of the largest magnitude of a delta."""

    value: float
    """With its sign; 0 where the delta is zero."""
    tensor: str = ""
    place: int = 0
    """In the flattened tensor."""


@final
class DeltaSums(NamedTuple):
    """Of one tensor, or of several."""

    elements: int
    counts: Counts
    weights: Weights
    largest: tuple[Largest, ...]


def delta_sums(stream: ModelStream, cuts: Sequence[float]) -> dict[str, DeltaSums]:
    """The sums of every tensor.

    Args:
        stream: the models, with a base.
        cuts: the smallest magnitude of each model that trimming would keep; 0 keeps all and `inf` none.

    >>> from ramekin.merge.stream import NamedReader
    >>> from ramekin.weights.reading import ArrayReader
    >>> zero, one, two = (np.asarray(row, dtype=np.float32) for row in ([0, 0, 0], [3, -4, 0], [1, 2, 0]))
    >>> models = [NamedReader(w, ArrayReader({"w": row}, where=w)) for w, row in zip("bct", (zero, one, two))]
    >>> found = delta_sums(ModelStream(models[0], models[1:], ["w"], threads=1), [4.0, 0.0])["w"]
    >>> found.counts.opposed.tolist(), found.weights.opposed.tolist(), found.counts.kept.tolist()
    ([[0, 1], [1, 0]], [[0.0, 4.0], [2.0, 0.0]], [1, 3])
    """
    limits = np.asarray(cuts, dtype=np.float32)[:, None]

    def look(chunk: Chunk) -> tuple[str, Counts, Weights, tuple[Largest, ...]]:
        base = stream.take(_base(chunk)).reshape(-1)
        deltas = np.stack([stream.take(delta).reshape(-1) for delta in chunk.deltas])
        return chunk.name, *_look(base, deltas, limits), _largest(chunk, np.abs(deltas), deltas)

    found = {name: _nothing(stream.num_tuned, stream.numel(name)) for name in stream.names}
    for name, counts, blocks, largest in stream.walk(look):
        before = found[name]
        found[name] = DeltaSums(
            before.elements,
            _plus(before.counts, counts),
            Weights(*(added(total, each) for total, each in zip(before.weights, blocks, strict=True))),
            _larger(before.largest, largest),
        )
    return found


def together(sums: Iterable[DeltaSums]) -> DeltaSums:
    """The sums of several tensors, at least one, added in their order."""
    first, *others = sums
    for other in others:
        first = DeltaSums(
            first.elements + other.elements,
            _plus(first.counts, other.counts),
            Weights(*(a + b for a, b in zip(first.weights, other.weights, strict=True))),
            _larger(first.largest, other.largest),
        )
    return first


def _look(base: _Floats, deltas: _Floats, limits: _Floats) -> tuple[Counts, Weights]:
    """The counts of a chunk, and its weights block by block."""
    up, down = deltas > 0, deltas < 0
    kept = np.abs(deltas) >= limits
    kept_up, kept_down = up & kept, down & kept
    in_conflict, kept_in_conflict = _in_conflict(up, down), _in_conflict(kept_up, kept_down)
    counts = Counts(
        changed=_meetings(up | down, up | down),
        opposed=_both_ways(up, down),
        in_conflict=np.asarray(np.count_nonzero(in_conflict)),
        kept=np.count_nonzero(kept, axis=1),
        kept_opposed=_both_ways(kept_up, kept_down),
        kept_in_conflict=np.asarray(np.count_nonzero(kept_in_conflict)),
    )
    count = len(deltas)
    wide = deltas.astype(np.float64)
    everywhere = np.ones_like(in_conflict)
    # The magnitudes of one sign, where each other delta has the opposite one, everywhere, and in conflict.
    above = block_products(np.maximum(wide, 0), np.vstack([down, everywhere, in_conflict]))
    below = block_products(np.maximum(-wide, 0), np.vstack([up, everywhere, in_conflict]))
    both = above + below
    rows = np.vstack([base[None].astype(np.float64), wide])
    weights = Weights(
        products=block_products(rows, rows),
        magnitudes=both[:, :, count],
        opposed=both[:, :, :count],
        in_conflict=both[:, :, count + 1].sum(axis=1),
    )
    return counts, weights


def _in_conflict(up: npt.NDArray[np.bool_], down: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    conflict: npt.NDArray[np.bool_] = np.logical_and(up.any(axis=0), down.any(axis=0))
    return conflict


def _both_ways(up: npt.NDArray[np.bool_], down: npt.NDArray[np.bool_]) -> Counted:
    one_way = _meetings(up, down)
    return one_way + one_way.T


def _meetings(left: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> Counted:
    """How often both are true; exact, as a chunk has fewer than 2**24 elements."""
    return (left.astype(np.float32) @ right.astype(np.float32).T).astype(np.int64)


def _largest(chunk: Chunk, sizes: _Floats, deltas: _Floats) -> tuple[Largest, ...]:
    places = sizes.argmax(axis=1).tolist()
    return tuple(
        Largest(float(row[place]), chunk.name, chunk.start + place)
        for row, place in zip(deltas, places, strict=True)
    )


def _larger(before: Sequence[Largest], now: Sequence[Largest]) -> tuple[Largest, ...]:
    """The larger of each pair, the first of equals."""
    return tuple(b if abs(b.value) > abs(a.value) else a for a, b in zip(before, now, strict=True))


def _plus(one: Counts, other: Counts) -> Counts:
    return Counts(*(a + b for a, b in zip(one, other, strict=True)))


def _nothing(count: int, elements: int) -> DeltaSums:
    pairs: Any = np.zeros((count, count), dtype=np.int64)
    none: Any = np.zeros((), dtype=np.int64)
    counts = Counts(pairs, pairs, none, np.zeros(count, dtype=np.int64), pairs, none)
    weights = Weights(
        np.zeros((count + 1, count + 1)), np.zeros(count), np.zeros((count, count)), np.zeros(())
    )
    return DeltaSums(elements, counts, weights, (Largest(0.0),) * count)


def _base(chunk: Chunk) -> Any:
    assert chunk.base is not None  # deltas need a base, which was checked
    return chunk.base
