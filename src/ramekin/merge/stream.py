"""Walk through the same tensors of many models chunk by chunk, in memory that does not grow with their size.

The tensors are cut into chunks; several threads read and work on chunks of their own, and what they find
comes back in the order of the chunks, so that nothing depends on how many threads there are. A chunk is a run
of elements, of whole rows, or a whole matrix, as a method needs (`Unit`); of a matrix, one model's is read at
a time. Every value read is checked to be finite. This module knows nothing of methods.
"""

import copy
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, final, overload

import numpy as np

from ramekin.errors import WeightsError
from ramekin.machine import num_cores
from ramekin.merge.array import AbstractDevice, Array, HostDevice
from ramekin.merge.loops import Loops, loops_for
from ramekin.merge.parameters import Depth, places
from ramekin.weights.dtypes import Floats, all_finite
from ramekin.weights.factors import Factors
from ramekin.weights.reading import AbstractTensorReader

__all__ = [
    "BLOCK",
    "Chunk",
    "Lazy",
    "ModelStream",
    "NamedReader",
    "Piece",
    "Unit",
    "chunk_elements",
    "num_threads",
]

Unit = Literal["element", "row", "matrix"]
"""What a method takes a tensor in: runs of elements of any length, whole rows (a vector is one), or all."""

BLOCK = 1 << 12
"""Elements at whose multiples chunks of elements begin, so that sums can be taken in the same runs always."""

_AHEAD = 3  # pieces under way for each thread, so that none waits for the one who takes the results
_MIN_CHUNK, _MAX_CHUNK, _ALL_MODELS = 1 << 14, 1 << 17, 1 << 21  # elements; measured, see docs/merging.md

K = TypeVar("K")
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class NamedReader:
    """A model to be read, and what errors call it."""

    label: str
    reader: AbstractTensorReader
    factors: Mapping[str, Factors] | None = None
    """Of a LoRA or rsLoRA adapter, the factors of every tensor it changes."""


@final
@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a tensor."""

    name: str
    """The tensor."""
    start: int
    """Its first element in the flattened tensor."""
    shape: tuple[int, ...]
    """`(n,)` elements, `(rows, width)`, or the whole tensor's shape."""

    @property
    def stop(self) -> int:
        """One past its last element."""
        return self.start + math.prod(self.shape)


@final
class Lazy(Sequence[Array]):
    """A sequence whose members are made when they are asked for, each time anew."""

    def __init__(self, length: int, make: Callable[[int], Array]) -> None:
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | Sequence[Array]:
        places = range(self._length)[index]
        return (
            self._make(places)
            if isinstance(places, int)
            else Lazy(len(places), lambda i: self._make(places[i]))
        )


@final
@dataclass(frozen=True, slots=True)
class Chunk:
    """The same part of one tensor of every model.

    The arrays of a chunk of elements or rows are valid until the function that was given it returns.
    """

    name: str
    """The tensor."""
    start: int
    """The first element of the part in the flattened tensor."""
    shape: tuple[int, ...]
    """`(n,)`, `(rows, width)` or that of the tensor."""
    depth: Depth
    """Where the tensor is."""
    base: Array | None
    """fp32 in the chunk's shape, or None where there is no base."""
    tuned: Sequence[Array]
    """fp32 of each model."""
    statistics: Sequence[Array] = ()
    """What was collected of each model for the tensor, where a method needs that: the same part of an array
    of the tensor's shape, else all of it; fp32, read when it is asked for."""

    @property
    def deltas(self) -> Sequence[Array]:
        """Tuned minus base of each model, made when it is asked for; there must be a base."""
        base, tuned = self.base, self.tuned
        assert base is not None  # methods that take deltas need a base, which was checked
        return Lazy(len(tuned), lambda index: tuned[index] - base)


@final
class _Told:
    """What several streams of the same models have read."""

    def __init__(self) -> None:
        self.lock, self.bytes_read = threading.Lock(), 0


@final
class ModelStream:
    """Starts walks through the tensors of a base and the models tuned from it.

    Args:
        base: the base, or None.
        tuned: the models, in their order.
        names: the tensors, each one once.
        head_is_embedding: whether the files store a tied head beside its embedding, as a second copy.
        device: where arrays are put and computed with.
        threads: how many chunks are worked on at a time; as many as there are cores when None.
        chunk_length: the elements of a chunk of one model.
        statistics: what was collected of each model, by the names of the tensors.
        on_read: told the bytes read so far, from whatever thread has read them.
    """

    def __init__(
        self,
        base: NamedReader | None,
        tuned: Sequence[NamedReader],
        names: Iterable[str],
        *,
        head_is_embedding: bool = False,
        device: AbstractDevice | None = None,
        threads: int | None = None,
        chunk_length: int | None = None,
        statistics: Sequence[NamedReader] = (),
        on_read: Callable[[int], None] | None = None,
    ) -> None:
        self._base, self._tuned, self._on_read = base, tuple(tuned), on_read
        self._statistics = tuple(statistics)
        self._models = (*(() if base is None else (base,)), *self._tuned)
        self._device = device or HostDevice()
        self._threads = threads or num_threads()
        default = self._device.chunk_elements or chunk_elements(len(self._models))
        self._chunk_elements = chunk_length or default
        self._own = threading.local()
        self._told, self._all_finite = _Told(), all_finite
        self._all_names = tuple(names)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="merge")
        self.names, self.head_is_embedding = self._all_names, head_is_embedding
        self._depths = places(self.names)

    @property
    def bytes_read(self) -> int:
        """The bytes of weights read so far, here and by the streams that `only` gave."""
        return self._told.bytes_read

    @property
    def num_tuned(self) -> int:
        """The number of tuned models."""
        return len(self._tuned)

    @property
    def has_base(self) -> bool:
        """Whether there is a base."""
        return self._base is not None

    @property
    def labels(self) -> tuple[str, ...]:
        """What errors call the tuned models."""
        return tuple(model.label for model in self._tuned)

    @cached_property
    def loops(self) -> Loops | None:
        """Compiled loops for what is read, where it is in memory and so much that loading them pays."""
        if not isinstance(self._device, HostDevice):
            return None
        loops = loops_for(len(self._models) * sum(map(self.numel, self._all_names)))
        if loops is not None:  # only once a method asks: checking what is read is not worth loading them
            self._all_finite = loops.all_finite
        return loops

    def only(self, names: Iterable[str]) -> "ModelStream":
        """The same models with some of their tensors."""
        part = copy.copy(self)
        part.names = tuple(names)
        return part

    def of_models(
        self, base: NamedReader | None, tuned: Sequence[NamedReader], names: Iterable[str]
    ) -> "ModelStream":
        """Other models walked through in the same way; what is read of them is not counted here.

        Args:
            base: the base, or None.
            tuned: the models.
            names: their tensors, which are among this stream's; each has its depth.
        """
        part = copy.copy(self)
        part._base, part._tuned, part.names = base, tuple(tuned), tuple(names)
        part._all_names = part.names
        part._models = (*(() if base is None else (base,)), *part._tuned)
        part._own, part._told, part._on_read = threading.local(), _Told(), None
        return part

    @property
    def base(self) -> NamedReader | None:
        """The base, where there is one."""
        return self._base

    @property
    def tuned(self) -> tuple[NamedReader, ...]:
        """The tuned models."""
        return self._tuned

    def place(self, values: Floats) -> Array:
        """An array of the stream's device with these values, which may share their memory."""
        return self._device.place(values)

    def has_statistics(self, name: str) -> bool:
        """Whether something was collected of every model for a tensor."""
        return bool(self._statistics) and all(name in each.reader.names() for each in self._statistics)

    def of_statistics(self) -> "ModelStream":
        """The statistics in the place of the models; they must have the shapes of the tensors."""
        part = copy.copy(self)
        part._base, part._tuned, part._statistics = None, self._statistics, ()
        part._models, part._own = self._statistics, threading.local()
        return part

    def take(self, array: Array) -> Floats:
        """The values of an array of the stream's device, which may share its memory."""
        return self._device.take(array)

    def kept(self, array: Array) -> Floats:
        """The values of an array, flat, that outlive the chunk they are of."""
        values = self._device.take(array).reshape(-1)
        rows: Floats | None = getattr(self._own, "rows", None)
        return values.copy() if rows is not None and np.may_share_memory(values, rows) else values

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        shape: tuple[int, ...] = self._models[0].reader.info(name).shape
        return shape

    def numel(self, name: str) -> int:
        """The number of elements of a tensor."""
        numel: int = self._models[0].reader.info(name).numel
        return numel

    def depth(self, name: str) -> Depth:
        """Where a tensor is."""
        return self._depths[name]

    def pieces(self, name: str, unit: Unit = "element") -> Iterator[Piece]:
        """The parts in which a tensor is taken, from its front to its end."""
        shape, total = self.shape(name), self.numel(name)
        if total == 0:
            return
        if unit == "matrix" or (unit == "row" and len(shape) < 2):
            yield Piece(name, 0, shape)
            return
        run = shape[-1] if unit == "row" else BLOCK
        step = max(1, self._chunk_elements // run) * run
        for start in range(0, total, step):
            count = min(total, start + step) - start
            yield Piece(name, start, (count // run, run) if unit == "row" else (count,))

    def whole(self, name: str) -> Chunk:
        """All of a matrix; the models are read one by one as they are asked for."""
        return self._chunk(Piece(name, 0, self.shape(name)))

    def map_with(
        self, targets: Iterable[tuple[K, Piece]], function: Callable[[tuple[K, Piece], Chunk], T]
    ) -> Iterator[T]:
        """What the function finds in each piece, in the order of the pieces.

        Several threads call the function at once. Of a piece that is the whole of a matrix, the models are
        read one by one as the function asks for them.

        Args:
            targets: the pieces, each with whatever the function is to know of it.
            function: given the target and the chunk.

        Raises:
            WeightsError: a value is NaN or infinite; the message names the model and the tensor.
        """
        if self._threads == 1:
            yield from (function(target, self._chunk(target[1])) for target in targets)
            return
        waiting: deque[Future[T]] = deque()
        left = iter(targets)

        def submit(count: int) -> None:
            for target in itertools.islice(left, count):
                waiting.append(self._pool.submit(lambda each: function(each, self._chunk(each[1])), target))

        try:
            submit(_AHEAD * self._threads)
            while waiting:
                found = waiting.popleft().result()
                submit(1)
                yield found
        finally:
            for future in waiting:
                future.cancel()
            wait(waiting)

    def map(self, pieces: Iterable[Piece], function: Callable[[Chunk], T]) -> Iterator[T]:
        """What the function finds in each piece, in their order; see `map_with`."""
        return self.map_with(((None, piece) for piece in pieces), lambda _, chunk: function(chunk))

    def walk(self, function: Callable[[Chunk], T], *, unit: Unit = "element") -> Iterator[T]:
        """What the function finds in every piece of every tensor, in their order."""
        return self.map((piece for name in self.names for piece in self.pieces(name, unit)), function)

    def _chunk(self, piece: Piece) -> Chunk:
        count = piece.stop - piece.start
        place = self._device.place
        if piece.shape == self.shape(piece.name) and len(piece.shape) > 1:
            tuned: Sequence[Array] = Lazy(
                len(self._tuned),
                lambda i: place(self._read(self._tuned[i], None, piece)).reshape(piece.shape),
            )
            base = (
                None
                if self._base is None
                else place(self._read(self._base, None, piece)).reshape(piece.shape)
            )
            return self._with_statistics(piece, base, tuned)
        rows = [
            place(self._read(model, row[:count], piece)).reshape(piece.shape)
            for model, row in zip(self._models, self._rows(count), strict=True)
        ]
        base, tuned = (None, rows) if self._base is None else (rows[0], rows[1:])
        return self._with_statistics(piece, base, tuned)

    def _with_statistics(self, piece: Piece, base: Array | None, tuned: Sequence[Array]) -> Chunk:
        statistics = Lazy(
            len(self._statistics), lambda index: self._statistic(self._statistics[index], piece)
        )
        depth = self._depths[piece.name]
        return Chunk(piece.name, piece.start, piece.shape, depth, base, tuned, statistics)

    def _statistic(self, collected: NamedReader, piece: Piece) -> Array:
        shape = collected.reader.info(piece.name).shape
        own = piece if shape == self.shape(piece.name) else Piece(piece.name, 0, shape)
        return self._device.place(self._read(collected, None, own)).reshape(own.shape)

    def _rows(self, count: int) -> Floats:
        """Buffers of this thread, one a model."""
        rows: Floats | None = getattr(self._own, "rows", None)
        if rows is None or rows.shape[1] < count:
            rows = np.empty((len(self._models), max(count, self._chunk_elements)), dtype=np.float32)
            self._own.rows = rows
        return rows

    def _read(self, model: NamedReader, out: Floats | None, piece: Piece) -> Floats:
        values = model.reader.read(piece.name, piece.start, piece.stop, out=out)
        if not self._all_finite(values):
            place = int(np.flatnonzero(~np.isfinite(values))[0])
            raise WeightsError(
                "a weight is NaN or infinite",
                where=f"{model.reader.where}#{piece.name}",
                expected=f"finite values in {model.label}",
                got=f"{float(values[place])} at element {piece.start + place}",
                fix="leave this model out, or go back to its last good checkpoint",
            )
        info = model.reader.info(piece.name)
        with self._told.lock:
            self._told.bytes_read += len(values) * (
                info.nbytes // max(1, info.numel)
            )  # none where it is made
            if self._on_read is not None:
                self._on_read(self._told.bytes_read)
        return values


def chunk_elements(num_models: int) -> int:
    """The length of a chunk when that many models are read side by side: a power of two.

    The chunks of all models together stay in a core's share of the cache.
    """
    return max(_MIN_CHUNK, min(_MAX_CHUNK, 1 << (_ALL_MODELS // max(1, num_models)).bit_length() - 1))


def num_threads() -> int:
    """How many chunks are worked on at a time: as many as there are cores for this process, at most 8."""
    return min(8, num_cores())
