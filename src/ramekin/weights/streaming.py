"""Read and write checkpoints slice by slice, so that memory does not depend on their size or number.

A reader gives any slice of any tensor as fp32, whatever the file's dtype and however the checkpoint is
sharded; a `LoraReader` gives the slices of base plus adapter without ever holding the merged model. The
writer produces one safetensors file from front to back, the same bytes the safetensors library would
write, and its sha256 on the way. Files are read with `preadv` into buffers the caller keeps: mapped pages
would count as resident memory and grow with the number of models. This module knows nothing of merging.
"""

import hashlib
import json
import math
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self, cast, final

import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.adapter_folder import Adapter
from ramekin.weights.change import LowRank
from ramekin.weights.header import TensorInfo
from ramekin.weights.layout import Layout, open_layout

__all__ = [
    "FLOAT_DTYPES",
    "AbstractTensorReader",
    "CheckpointReader",
    "CheckpointWriter",
    "LoraReader",
    "PlannedTensor",
    "all_finite",
    "header_bytes",
    "planned_bytes",
]

FLOAT_DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
)
"""The dtypes that can be read and written, by their safetensors names, in the order of the data."""

_BLOCK = 1 << 16  # elements converted at a time: the scratch of a reader stays small whatever it reads
_DELTA_BLOCK = 1 << 20  # elements of a low-rank product made at a time


class AbstractTensorReader(ABC):
    """The tensors of one model, readable by slice."""

    @property
    @abstractmethod
    def where(self) -> str:
        """The folder or folders it reads, for messages."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of the tensors, sorted."""

    @abstractmethod
    def info(self, name: str) -> TensorInfo:
        """The dtype and shape of a tensor.

        Raises:
            WeightsError: there is no tensor of that name.
        """

    @abstractmethod
    def read(self, name: str, start: int, stop: int, *, out: torch.Tensor | None = None) -> torch.Tensor:
        """A slice of the flattened tensor, in fp32.

        Args:
            name: the tensor.
            start: the first element.
            stop: one past the last element.
            out: `(>= stop - start,)` fp32, filled from its front and reused; made anew when None.

        Returns:
            `(stop - start,)` fp32; a view of `out` when that was given.

        Raises:
            WeightsError: the file has shrunk since its header was read, or cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the files."""

    @final
    def __enter__(self) -> Self:
        return self

    @final
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@final
class CheckpointReader(AbstractTensorReader):
    """The tensors of a checkpoint folder, in one safetensors file or in shards.

    Args:
        folder: the checkpoint.

    Raises:
        WeightsError: no safetensors file, a shard or tensor of the index that is not there, a damaged
            header, a dtype that is not F32, BF16 or F16.
    """

    def __init__(self, folder: Path) -> None:
        self._layout = open_layout(Path(folder))
        self._names = tuple(sorted(self._layout.homes))
        self._descriptors: dict[str, int] = {}
        self._scratch: torch.Tensor | None = None
        for name in self._names:
            _check_dtype(self._layout, name)

    @classmethod
    def open(cls, folder: Path) -> "CheckpointReader":
        """The same as the constructor, for reading at the call: `CheckpointReader.open(folder)`."""
        return cls(folder)

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._layout.folder)

    def names(self) -> tuple[str, ...]:
        """The names of the tensors, sorted."""
        return self._names

    def info(self, name: str) -> TensorInfo:
        """The dtype, shape and place of a tensor."""
        if name not in self._layout.homes:
            raise WeightsError("the checkpoint has no such tensor", where=f"{self.where}#{name}")
        return self._layout.info(name)

    def read(self, name: str, start: int, stop: int, *, out: torch.Tensor | None = None) -> torch.Tensor:
        """A slice of the flattened tensor, in fp32."""
        info = self.info(name)
        values = _slot(info, start, stop, out)
        dtype = FLOAT_DTYPES[info.dtype]
        file = self._layout.homes[name]
        offset = self._layout.headers[file].data_offset + info.start + start * dtype.itemsize
        where = self._layout.where(name)
        if dtype == torch.float32:
            _read_into(self._descriptor(file), values, offset, where)
            return values
        if self._scratch is None:
            self._scratch = torch.empty(_BLOCK, dtype=torch.int16)
        for begin in range(0, stop - start, _BLOCK):
            piece = values[begin : begin + _BLOCK]
            raw = self._scratch[: piece.numel()]
            _read_into(self._descriptor(file), raw, offset + begin * dtype.itemsize, where)
            piece.copy_(raw.view(dtype))
        return values

    def close(self) -> None:
        """Close the files; reading again opens them again."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _descriptor(self, file: str) -> int:
        if file not in self._descriptors:
            path = self._layout.folder / file
            try:
                self._descriptors[file] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise WeightsError(
                    "cannot read a weights file", where=str(path), got=error.strerror or str(error)
                ) from error
        return self._descriptors[file]


@final
class LoraReader(AbstractTensorReader):
    """Base tensors plus `scale * B @ A` of an adapter, made slice by slice.

    The product is made in whole rows, in blocks that do not depend on the slice asked for, so that the
    same element has the same bits whatever the slices; a tensor of at most 2**20 elements is one product,
    as in a dense merge.

    Args:
        base: the model the adapter was trained on; it stays open when this reader is closed only if
            `owns_base` is false.
        adapter: a LoRA, its low-rank changes by tensor name.
        folder: the adapter's folder, for messages.
        owns_base: whether closing this reader closes the base.

    Raises:
        UsageError: the adapter is of another kind, whose changes are not sums and need the whole tensor.
        WeightsError: a delta whose tensor the base lacks, or whose shape does not fit it.
    """

    def __init__(
        self, base: AbstractTensorReader, adapter: Adapter, *, folder: Path, owns_base: bool = True
    ) -> None:
        self._base, self._deltas, self._owns_base = base, _low_ranks(adapter, folder), owns_base
        self._where = f"{folder} on {base.where}"
        known = set(base.names())
        for name, delta in self._deltas.items():
            if name not in known:
                raise WeightsError(
                    "the adapter changes a tensor its base does not have",
                    where=f"{folder}#{name}",
                    got=f"base {base.where}",
                    fix="name the base this adapter was trained on",
                )
            if delta.shape != base.info(name).shape:
                raise WeightsError(
                    "the adapter does not fit its base",
                    where=f"{folder}#{name}",
                    expected=f"{list(base.info(name).shape)} as in {base.where}",
                    got=f"{list(delta.shape)}",
                    fix="name the base this adapter was trained on",
                )

    @property
    def where(self) -> str:
        """The adapter's folder and its base's."""
        return self._where

    def names(self) -> tuple[str, ...]:
        """The names of the base's tensors, sorted."""
        return self._base.names()

    def info(self, name: str) -> TensorInfo:
        """The base's dtype and shape."""
        return self._base.info(name)

    def read(self, name: str, start: int, stop: int, *, out: torch.Tensor | None = None) -> torch.Tensor:
        """A slice of the flattened base tensor plus the adapter's, in fp32."""
        values = self._base.read(name, start, stop, out=out)
        if name in self._deltas and stop > start:
            _add_low_rank(values, self._deltas[name], start)
        return values

    def close(self) -> None:
        """Close the base's files, if they are this reader's own."""
        if self._owns_base:
            self._base.close()


@final
@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor to be written."""

    dtype: str
    """A key of `FLOAT_DTYPES`."""
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes it takes in the file."""
        return self.numel * FLOAT_DTYPES[self.dtype].itemsize


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
        self._path, self._plan = Path(path), dict(plan)
        self.order: tuple[str, ...] = _data_order(self._plan)
        self._position, self._written = 0, 0
        self._digest = hashlib.sha256()
        self._file = self._path.open("xb", buffering=0)
        self._put(header_bytes(self._plan))

    def write(self, name: str, values: torch.Tensor) -> None:
        """Append the next elements of the tensor whose turn it is; `values: (n,)`, any float dtype."""
        if values.numel() == 0:
            return
        self._skip_finished()
        if self._position == len(self.order) or self.order[self._position] != name:
            turn = self.order[self._position] if self._position < len(self.order) else "nothing more"
            raise UsageError("a tensor was written out of order", where=name, expected=turn)
        planned = self._plan[name]
        if self._written + values.numel() > planned.numel:
            raise UsageError("too many elements were written", where=name, expected=str(planned.numel))
        stored = values.to(FLOAT_DTYPES[planned.dtype])
        if not all_finite(stored):
            raise WeightsError(
                "a value to be written is not finite",
                where=f"{self._path.name}#{name}",
                expected=f"finite {planned.dtype} values",
                fix="a smaller scaling factor or weight, or dtype=float32",
            )
        self._put(_bytes_of(stored.contiguous()))
        self._written += values.numel()
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


def all_finite(values: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite.

    A sum is NaN or infinite if any element is, and takes one pass; only a sum that is not finite, which
    finite elements can have too, needs the look at each element.
    """
    if values.dtype == torch.float32 and bool(torch.isfinite(values.sum())):
        return True
    return bool(torch.isfinite(values).all())


def _data_order(plan: Mapping[str, PlannedTensor]) -> tuple[str, ...]:
    """The order of the safetensors library: wider dtypes first, then by name."""
    rank = {dtype: position for position, dtype in enumerate(FLOAT_DTYPES)}
    return tuple(sorted(plan, key=lambda name: (rank[plan[name].dtype], name)))


def _check_dtype(layout: Layout, name: str) -> None:
    if layout.info(name).dtype not in FLOAT_DTYPES:
        raise WeightsError(
            "a tensor of this dtype cannot be merged",
            where=layout.where(name),
            expected=" or ".join(FLOAT_DTYPES),
            got=layout.info(name).dtype,
            fix="convert the checkpoint to float32 or bfloat16",
        )


def _slot(info: TensorInfo, start: int, stop: int, out: torch.Tensor | None) -> torch.Tensor:
    """Where the slice goes: the front of `out`, or a new tensor."""
    if not 0 <= start <= stop <= info.numel:
        raise UsageError("a slice outside the tensor", expected=f"0..{info.numel}", got=f"{start}..{stop}")
    if out is None:
        return torch.empty(stop - start, dtype=torch.float32)
    if out.dtype != torch.float32 or out.numel() < stop - start or not out.is_contiguous():
        raise UsageError("a buffer that cannot take the slice", expected=f"{stop - start} contiguous fp32")
    return out.view(-1)[: stop - start]


def _read_into(descriptor: int, values: torch.Tensor, offset: int, where: str) -> None:
    """Fill `values` with the file's bytes from `offset`."""
    view = _bytes_of(values)
    while view:
        try:
            read = os.preadv(descriptor, [view], offset)
        except OSError as error:
            raise WeightsError("cannot read weights", where=where, got=error.strerror or "?") from error
        if read == 0:
            raise WeightsError("the file was cut while it was read", where=where)
        view, offset = view[read:], offset + read


def _bytes_of(flat: torch.Tensor) -> memoryview:
    """The memory of a one-dimensional tensor."""
    return memoryview(cast("memoryview", flat.view(torch.uint8).numpy()))


def _low_ranks(adapter: Adapter, folder: Path) -> dict[str, LowRank]:
    """The adapter's changes, refused where one is more than a sum."""
    found = {name: change for name, change in adapter.changes.items() if isinstance(change, LowRank)}
    if adapter.kind != "lora" or len(found) != len(adapter.changes):
        raise UsageError(
            "an adapter of this kind cannot be merged with other models yet",
            where=str(folder),
            expected="a LoRA adapter, or a whole model",
            got=adapter.kind,
            fix="a soft prompt has no weights to merge; leave it out"
            if adapter.kind == "prompt"
            else "make a whole model of it: open_model, then save_checkpoint",
        )
    return found


def _add_low_rank(values: torch.Tensor, delta: LowRank, start: int) -> None:
    """Add `scale * B @ A` to a slice of the flattened weight that begins at element `start`."""
    width = delta.a.shape[1]
    rows_per_block = max(1, _DELTA_BLOCK // width)
    stop = start + values.numel()
    first = start // width // rows_per_block * rows_per_block
    for row in range(first, -(-stop // width), rows_per_block):
        product = (delta.b[row : row + rows_per_block].float() @ delta.a.float()).view(-1) * delta.scale
        begin = row * width
        low, high = max(start, begin), min(stop, begin + product.numel())
        values[low - start : high - start] += product[low - begin : high - begin]
