"""KnOTS: matrices turned to the directions that all models share, merged there, and turned back.

Paper: Stoica et al., *Model merging with SVD to tie the KnOTS*, https://arxiv.org/abs/2410.19735; the
authors' code is github.com/gstoica27/KnOTS.

    [D_1 ... D_N] = U S [V_1^T ... V_N^T]       the deltas of a matrix, each (out, in), side by side
    M_i = S V_i^T,  (rank, in)                  what a method that goes element by element merges
    D   = U merge(M_1 ... M_N)

Nothing is lost: U M_i is D_i. A method that adds deltas with a coefficient each gives what it gives without;
one that cuts, drops or elects signs (TIES, DARE, MagMax) does so in the new coordinates, where deltas of
LoRAs have more in common. Cuts over the whole model are over the aligned values of all matrices, as in the
authors' code; of LoRAs these are far fewer than the weights, and none are of matrices that no model changes.
Tables, normalisations and biases are merged as they are, with cuts of their own.

The paper's text merges V_i^T and multiplies by U S afterwards. The authors' code, with which its numbers were
made, merges S V_i^T and multiplies by U; that is the default here (`values=sv`), and preset `paper` is `v`.
They differ where a method cuts by size: without S, a direction that hardly matters counts as much as the
strongest. The code leaves out singular values up to 1e-5; here those that are rounding are left out. It takes
B A without alpha / rank, which was 1 in its adapters, and TIES' mean instead of its sum.

Where all models are LoRAs the SVD is of the size of their ranks, see `factors`; otherwise one matrix at a
time is decomposed, and its U waits in a temporary file. This module knows nothing of any one method.
"""

import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar, cast, final

import numpy as np

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.factors import Product, Wide, shared_basis
from ramekin.merge.matrices import is_matrix
from ramekin.merge.method import Method, Prepared
from ramekin.merge.settings import choice, parse_step, settle
from ramekin.merge.singular import ROUNDING, triplets
from ramekin.merge.stream import Chunk, Lazy, ModelStream, NamedReader, Unit
from ramekin.weights.dtypes import Floats
from ramekin.weights.factors import Factors
from ramekin.weights.made import MadeReader

__all__ = ["ALIGNMENTS", "Knots", "aligned", "parse_alignment", "shared_directions"]

S = TypeVar("S")
_PRESETS: Mapping[str, Mapping[str, object]] = {"official_code": {}, "paper": {"values": "v"}}


@final
@dataclass(frozen=True, kw_only=True)
class Knots:
    """How matrices are aligned."""

    values: Literal["sv", "v"] = "sv"
    """What is merged: S V^T, or V^T alone, with S put back afterwards."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, values=choice("sv", "v"))


ALIGNMENTS: Mapping[str, type[Knots]] = {"knots": Knots}
"""The alignments by name."""


def parse_alignment(given: Mapping[str, object] | None) -> Knots | None:
    """The alignment of `{name: knots, key: value, …}`; None and `{name: none}` are none.

    Raises:
        UsageError: no such alignment, unknown keys or values.
    """
    return parse_step(ALIGNMENTS, given, what="alignment", presets=_PRESETS)


def aligned(method: Method[S], settings: S, alignment: Knots) -> Method[S]:
    """The method as it merges aligned matrices.

    Args:
        method: one that goes element by element, or row by row.
        settings: its settings.
        alignment: how matrices are aligned.

    Raises:
        UsageError: the method goes matrix by matrix itself, or looks at more than deltas.
    """
    if method.unit(settings, "encoder.block.0.layer.0.SelfAttention.q.weight", (2, 2)) == "matrix":
        raise UsageError(
            f"{method.name} goes matrix by matrix itself, in directions of its own",
            where="align",
            expected="a method that goes element by element, such as ties_merging",
            fix="leave out align",
        )
    if not (method.uses_models and method.of_deltas(settings)) or method.statistics is not None:
        raise UsageError(
            f"{method.name} merges something else than deltas, which are what can be aligned",
            where="align",
            expected="a method of deltas, such as ties_merging",
            fix="leave out align",
        )

    def unit(own: S, name: str, shape: tuple[int, ...]) -> Unit:
        return "matrix" if is_matrix(name, shape) else method.unit(own, name, shape)

    return replace(
        method,
        prepare=lambda stream, own: _prepare(method, stream, own, alignment),
        unit=unit,
        needs_base=True,
        linear=lambda own: False,
        num_measure_passes=lambda own: method.num_measure_passes(own) + 1,
    )


def shared_directions(deltas: Sequence[Array]) -> tuple[Wide, Wide]:
    """The left singular vectors and the singular values of dense matrices side by side.

    Args:
        deltas: each (out, in); each is asked for once.

    Returns:
        U, (out, rank), and the diagonal of S, (rank,), the largest first, without those that are rounding.

    >>> basis, values = shared_directions([np.diag([3.0, 0.0]), np.diag([4.0, 0.0])])
    >>> abs(basis).tolist(), values.tolist()
    ([[1.0], [0.0]], [5.0])
    """
    total: Wide | None = None
    first = deltas[0]
    if first.shape[0] > len(deltas) * first.shape[1]:  # taller than wide: the other side is the shorter
        rest = [deltas[place] for place in range(1, len(deltas))]
        found = triplets(namespace(first).concat([first, *rest], axis=1))
        return np.asarray(found.left), np.asarray(found.values)
    for delta in (first, *(deltas[place] for place in range(1, len(deltas)))):
        xp = namespace(delta)
        wide = xp.astype(delta, xp.float64)
        product = np.asarray(wide @ wide.T)
        total = product if total is None else total + product
    assert total is not None  # there is a model, of which the first delta is
    squares, vectors = np.linalg.eigh(total)
    values = np.sqrt(np.maximum(squares[::-1], 0.0))
    kept = int(np.count_nonzero(values > ROUNDING * (values[0] if len(values) else 0.0)))
    return vectors[:, ::-1][:, :kept], values[:kept]


@final
class _Turned(NamedTuple):
    """A matrix of all models in its shared directions."""

    values: Wide
    """The diagonal of S."""
    left: tuple[Wide, ...] | None
    """Of LoRAs, each model's left factor of S V_i^T; its right one is A."""


@final
class _Bases:
    """The directions of every matrix, kept in a file that has no name and goes with its last user."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile(prefix="ramekin-align-") as file:
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._places: dict[str, tuple[int, tuple[int, int]]] = {}
        self._end, self._lock = 0, threading.Lock()

    def put(self, name: str, basis: Wide) -> None:
        data = np.ascontiguousarray(basis, dtype=np.float32)
        with self._lock:
            place, self._end = self._end, self._end + data.nbytes
            self._places[name] = (place, (data.shape[0], data.shape[1]))
        view = memoryview(data.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        while view:
            written = os.pwrite(self._descriptor, view, place)
            view, place = view[written:], place + written

    def get(self, name: str) -> Floats:
        place, shape = self._places[name]
        basis = np.empty(shape, dtype=np.float32)
        view = memoryview(basis.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        while view:
            count = os.preadv(self._descriptor, [view], place)
            view, place = view[count:], place + count
        return basis


def _prepare(method: Method[S], stream: ModelStream, settings: S, alignment: Knots) -> Prepared:
    factors = [model.factors for model in stream.tuned]
    known = None if any(each is None for each in factors) else cast("list[Mapping[str, Factors]]", factors)
    matrices = [name for name in stream.names if is_matrix(name, stream.shape(name))]
    bases = _Bases()
    turned = dict(_turn(stream, matrices, known, bases))
    names = [name for name in matrices if len(turned[name].values)]
    shapes = {name: (len(turned[name].values), stream.shape(name)[1]) for name in names}

    def maker(place: int) -> Callable[[str], Floats]:
        def make(name: str) -> Floats:
            found = turned[name]
            if known is not None and found.left is not None:
                change = known[place].get(name)
                left, right = found.left[place], None if change is None else change.a
                seen = np.zeros(shapes[name]) if right is None else left @ right.astype(np.float64)
            else:
                delta = stream.take(stream.whole(name).deltas[place]).astype(np.float64)
                seen = bases.get(name).T.astype(np.float64) @ delta
            return (seen / found.values[:, None] if alignment.values == "v" else seen).astype(np.float32)

        return make

    zeros = NamedReader("zeros", MadeReader(shapes, lambda name: None, where="zeros"))
    readers = [
        NamedReader(model.label, MadeReader(shapes, maker(place), where=f"{model.label}, aligned"))
        for place, model in enumerate(stream.tuned)
    ]
    inner = stream.of_models(zeros, readers, names)
    apart = [name for name in stream.names if name not in set(matrices)]
    if known is not None:
        apart = [name for name in apart if any(name in each for each in known)]
    within = method.prepare(inner, settings) if names else Prepared(_never)
    beside = method.prepare(stream.only(apart), settings) if apart else Prepared(_never)
    inside, outside = set(names), set(apart)

    def product(chunk: Chunk) -> Product:
        whole = inner.whole(chunk.name)
        merged = inner.take(within.combine(whole)).astype(np.float64)
        basis = bases.get(chunk.name).astype(np.float64)
        return Product(basis * turned[chunk.name].values if alignment.values == "v" else basis, merged)

    def combine(chunk: Chunk) -> Array:
        if chunk.name in outside:
            return beside.combine(chunk)
        base = chunk.base
        assert base is not None  # needs_base
        if chunk.name not in inside:  # no model changes it
            return base * 0.0 if method.scaled else base
        left, right = product(chunk)
        direction = stream.place(np.asarray(left @ right, dtype=np.float32))
        return direction if method.scaled else base + direction

    def figures() -> dict[str, object]:
        return {
            **within.figures(),
            "aligned_ranks": {name: shape[0] for name, shape in shapes.items()},
            "aligned_elements": sum(rank * width for rank, width in shapes.values()),
            "not_aligned": dict(beside.figures()),
        }

    return Prepared(
        combine,
        figures,
        (*within.warnings, *beside.warnings),
        lambda chunk: product(chunk) if chunk.name in inside else None,
    )


def _never(chunk: Chunk) -> Array:
    raise AssertionError(f"{chunk.name} is of no stream")


def _turn(
    stream: ModelStream,
    names: Sequence[str],
    known: Sequence[Mapping[str, Factors]] | None,
    bases: _Bases,
) -> Iterator[tuple[str, _Turned]]:
    """Each matrix in its shared directions, which are put aside; pairs of name and `_Turned`."""
    if known is None:

        def look(chunk: Chunk) -> tuple[str, _Turned]:
            deltas = chunk.deltas
            taken = Lazy(len(deltas), lambda place: cast("Array", stream.take(deltas[place])))
            basis, values = shared_directions(taken)
            bases.put(chunk.name, basis)
            return chunk.name, _Turned(values, None)

        yield from stream.map((p for name in names for p in stream.pieces(name, "matrix")), look)
        return
    for name in names:
        parts = [_product(each.get(name), stream.shape(name)) for each in known]
        basis, values, seen = shared_basis(parts)
        bases.put(name, basis)
        yield name, _Turned(values, tuple(part.left for part in seen))


def _product(change: Factors | None, shape: tuple[int, ...]) -> Product:
    if change is None:
        return Product(np.zeros((shape[0], 0)), np.zeros((0, shape[1])))
    return Product(change.b.astype(np.float64) * change.scale, change.a)
