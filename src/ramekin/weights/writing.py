"""Write checkpoints slice by slice: one safetensors file, or shards with their index, and their hashes.

The bytes are those the safetensors library would write. Memory does not depend on the size of a checkpoint.
This module knows nothing of reading or merging.
"""

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, final

import numpy as np
import numpy.typing as npt

from ramekin.errors import UsageError, WeightsError
from ramekin.files import write_json
from ramekin.weights.dtypes import FILE_DTYPES, Floats, all_finite, narrow, stays_finite
from ramekin.weights.layout import INDEX, WEIGHTS

__all__ = [
    "CheckpointWriter",
    "PlannedTensor",
    "ShardedWriter",
    "header_bytes",
    "planned_bytes",
    "shard_plans",
]


@final
@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor to be written."""

    dtype: str
    """A key of `FILE_DTYPES`."""
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes it takes in the file."""
        return self.numel * FILE_DTYPES[self.dtype].itemsize


@final
class CheckpointWriter:
    """Writes one safetensors file from front to back; its bytes are those of `safetensors.torch.save_file`.

    Use as a context: leaving it without an exception checks that everything planned was written and
    flushes it to the disk. Call `write` for the tensors in `order`, each in slices from its front.

    Args:
        path: the file, in a folder that becomes visible only when it is whole (`files.atomic_directory`).
        plan: every tensor to be written, by name.

    Raises:
        UsageError: slices out of order, too many or too few elements.
        WeightsError: a value that is not finite, here or after the cast to the file's dtype.
    """

    def __init__(self, path: Path, plan: Mapping[str, PlannedTensor]) -> None:
        self.path, self._plan = Path(path), dict(plan)
        self.order: tuple[str, ...] = _data_order(self._plan)
        self._position, self._written = 0, 0
        self._digest = hashlib.sha256()
        self._file = self.path.open("xb", buffering=0)
        self._put(header_bytes(self._plan))

    def write(self, name: str, values: Floats) -> None:
        """Append the next elements of the tensor whose turn it is; `values: (n,)` fp32.

        Raises:
            WeightsError: a value is not finite, here or in the file's dtype.
        """
        self.write_stored(name, self.stored(name, values))

    def stored(self, name: str, values: Floats) -> npt.NDArray[np.uint8]:
        """The bytes that a tensor's values become; `values: (n,)` fp32. Other threads may call it.

        Raises:
            WeightsError: a value is not finite, here or in the file's dtype.
        """
        return _stored_bytes(values, self._plan[name].dtype, where=f"{self.path.name}#{name}")

    def write_stored(self, name: str, data: npt.NDArray[np.uint8]) -> None:
        """Append what `stored` gave for the next elements of the tensor whose turn it is."""
        if not len(data):
            return
        self._skip_finished()
        if self._position == len(self.order) or self.order[self._position] != name:
            turn = self.order[self._position] if self._position < len(self.order) else "nothing more"
            raise UsageError("a tensor was written out of order", where=name, expected=turn)
        planned = self._plan[name]
        count = len(data) // FILE_DTYPES[planned.dtype].itemsize
        if self._written + count > planned.numel:
            raise UsageError("too many elements were written", where=name, expected=str(planned.numel))
        self._put(data.data)
        self._written += count
        self._skip_finished()

    @property
    def sha256(self) -> str:
        """The hexadecimal sha256 of what has been written so far."""
        return self._digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """The size of the whole file."""
        return planned_bytes(self._plan)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._skip_finished()
                if self._position != len(self.order):
                    raise UsageError("not every planned tensor was written", where=self.order[self._position])
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _skip_finished(self) -> None:
        while (
            self._position < len(self.order) and self._written == self._plan[self.order[self._position]].numel
        ):
            self._position, self._written = self._position + 1, 0

    def _put(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


@final
class ShardedWriter:
    """Writes the weights of a checkpoint folder: one file, or several with an index where they are too large.

    Use as a context, as `CheckpointWriter`; the tensors are taken in `order`.

    Args:
        folder: the checkpoint's, which becomes visible only when it is whole.
        plan: every tensor to be written, by name.
        shard_bytes: the most bytes of tensors in a file; a tensor that is larger has a file to itself. None
            writes one file.
    """

    def __init__(
        self, folder: Path, plan: Mapping[str, PlannedTensor], *, shard_bytes: int | None = None
    ) -> None:
        self._folder, self._plan = Path(folder), dict(plan)
        plans = shard_plans(plan, shard_bytes)
        self._files = {
            WEIGHTS if len(plans) == 1 else f"model-{place:05}-of-{len(plans):05}.safetensors": part
            for place, part in enumerate(plans, start=1)
        }
        self._homes = {name: file for file, part in self._files.items() for name in part}
        self.order: tuple[str, ...] = tuple(name for part in plans for name in _data_order(part))
        self.digests: dict[str, str] = {}
        """The hexadecimal sha256 of each file, once it is whole."""
        self._left = list(self._files)
        self._writer: CheckpointWriter | None = None

    @property
    def nbytes(self) -> int:
        """The size of all files."""
        return sum(planned_bytes(part) for part in self._files.values())

    def stored(self, name: str, values: Floats) -> npt.NDArray[np.uint8]:
        """The bytes that a tensor's values become; `values: (n,)` fp32. Other threads may call it.

        Raises:
            WeightsError: a value is not finite, here or in the file's dtype.
        """
        return _stored_bytes(values, self._plan[name].dtype, where=f"{self._homes[name]}#{name}")

    def write_stored(self, name: str, data: npt.NDArray[np.uint8]) -> None:
        """Append what `stored` gave for the next elements of the tensor whose turn it is."""
        file = self._homes[name]
        while file in self._left:  # those before it hold nothing more, or empty tensors alone
            self._next()
        if self._writer is None or self._writer.path.name != file:
            raise UsageError("a tensor was written out of order", where=name)
        self._writer.write_stored(name, data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            if self._writer is not None:
                self._writer.__exit__(kind, error, trace)
            return
        while self._left:
            self._next()
        self._finish()
        if len(self._files) > 1:
            size = sum(planned.nbytes for planned in self._plan.values())
            homes = {name: self._homes[name] for name in sorted(self._homes)}
            write_json(self._folder / INDEX, {"metadata": {"total_size": size}, "weight_map": homes})

    def _next(self) -> None:
        self._finish()
        file = self._left.pop(0)
        self._writer = CheckpointWriter(self._folder / file, self._files[file])

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.__exit__(None, None, None)
            self.digests[self._writer.path.name] = self._writer.sha256
            self._writer = None


def shard_plans(
    plan: Mapping[str, PlannedTensor], shard_bytes: int | None
) -> tuple[dict[str, PlannedTensor], ...]:
    """The tensors of each file: filled in their order, as many as fit; at least one file.

    >>> plan = {name: PlannedTensor("F32", (2,)) for name in "abc"}
    >>> [list(part) for part in shard_plans(plan, 16)]
    [['a', 'b'], ['c']]
    """
    parts: list[dict[str, PlannedTensor]] = [{}]
    filled = 0
    for name in _data_order(plan):
        if parts[-1] and shard_bytes is not None and filled + plan[name].nbytes > shard_bytes:
            parts.append({})
            filled = 0
        parts[-1][name] = plan[name]
        filled += plan[name].nbytes
    return tuple(parts)


def header_bytes(plan: Mapping[str, PlannedTensor]) -> bytes:
    """The length and header of a safetensors file with these tensors, padded to 8 bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name in _data_order(plan):
        stop = position + plan[name].nbytes
        entries[name] = {
            "dtype": plan[name].dtype,
            "shape": list(plan[name].shape),
            "data_offsets": [position, stop],
        }
        position = stop
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def planned_bytes(plan: Mapping[str, PlannedTensor]) -> int:
    """The size of a safetensors file with these tensors."""
    return len(header_bytes(plan)) + sum(planned.nbytes for planned in plan.values())


def _data_order(plan: Mapping[str, PlannedTensor]) -> tuple[str, ...]:
    """The order of the safetensors library: wider dtypes first, then by name."""
    rank = {dtype: position for position, dtype in enumerate(FILE_DTYPES)}
    return tuple(sorted(plan, key=lambda name: (rank[plan[name].dtype], name)))


def _stored_bytes(values: Floats, dtype: str, *, where: str) -> npt.NDArray[np.uint8]:
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        numbers = narrow(values, dtype)
    if not all_finite(values) or not stays_finite(numbers, dtype):
        raise WeightsError(
            "a value to be written is not finite",
            where=where,
            expected=f"finite {dtype} values",
            fix="a smaller scaling factor or weight, or dtype=float32",
        )
    return np.ascontiguousarray(numbers).view(np.uint8)
