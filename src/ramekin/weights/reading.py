"""Read checkpoints slice by slice, so that memory does not depend on their size or number.

A reader gives any slice of any tensor as fp32, whatever the file's dtype and however the checkpoint is
sharded; an `AdapterReader` gives the slices of base plus adapter without ever holding the merged model. Files
are read with `preadv` into buffers the caller keeps: mapped pages would count as resident memory and grow
with the number of models. Readers may be used by several threads at once. All is done in numpy, so that a
merge of checkpoints needs no torch. This module knows nothing of writing or merging.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, final

import numpy as np
import numpy.typing as npt

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.adapter_header import prompt_error
from ramekin.weights.dtypes import FILE_DTYPES, Floats, narrow, widen
from ramekin.weights.header import TensorInfo
from ramekin.weights.layout import Layout, open_layout
from ramekin.weights.sides import misfit, misfit_error

if TYPE_CHECKING:
    from ramekin.weights.adapter_folder import Adapter
    from ramekin.weights.factors import FactoredAdapter

__all__ = [
    "AbstractTensorReader",
    "AdapterReader",
    "ArrayReader",
    "CheckpointReader",
    "HeldReader",
    "dtype_error",
    "slot",
]


class _Change(Protocol):
    """What an adapter does to a tensor, row by row: `change.AbstractChange`, or `factors.Factors`."""

    @property
    def shape(self) -> tuple[int | None, int | None]: ...
    def fits(self, shape: tuple[int, ...]) -> bool: ...
    def merged_rows(self, rows: Floats, first: int) -> Floats: ...


_BLOCK = 1 << 16  # elements converted at a time, and of the rows of an adapter's change made at a time


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
    def read(self, name: str, start: int, stop: int, *, out: Floats | None = None) -> Floats:
        """A slice of the flattened tensor, in fp32.

        Args:
            name: the tensor.
            start: the first element.
            stop: one past the last element.
            out: `(>= stop - start,)` fp32, filled from its front; made anew when None.

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
        layout: where its tensors are, if that is known; for folders that are no checkpoints.

    Raises:
        WeightsError: no safetensors file, a shard or tensor of the index that is not there, a damaged
            header, a dtype that is not F32, BF16 or F16.
    """

    def __init__(self, folder: Path, *, layout: Layout | None = None) -> None:
        self._layout = layout or open_layout(Path(folder))
        self._names = tuple(sorted(self._layout.homes))
        self._descriptors: dict[str, int] = {}
        self._opening = threading.Lock()
        for name in self._names:
            if self._layout.info(name).dtype not in FILE_DTYPES:
                raise dtype_error(self._layout, name)

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

    def read(self, name: str, start: int, stop: int, *, out: Floats | None = None) -> Floats:
        """A slice of the flattened tensor, in fp32."""
        info = self.info(name)
        values = slot(info, start, stop, out)
        itemsize = FILE_DTYPES[info.dtype].itemsize
        file = self._layout.homes[name]
        offset = self._layout.headers[file].data_offset + info.start + start * itemsize
        if info.dtype == "F32":
            self._read_into(values, file, offset, name)
            return values
        raw = np.empty(min(_BLOCK, stop - start), dtype=np.uint16)
        for begin in range(0, stop - start, _BLOCK):
            piece = values[begin : begin + _BLOCK]
            bits = raw[: len(piece)]
            self._read_into(bits, file, offset + begin * itemsize, name)
            widen(bits, info.dtype, out=piece)
        return values

    def close(self) -> None:
        """Close the files; reading again opens them again."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _read_into(self, values: npt.NDArray[Any], file: str, offset: int, name: str) -> None:
        """Fill `values` with a file's bytes from `offset`; the tensor is for messages."""
        descriptor = self._descriptor(file)
        view = memoryview(values.view(np.uint8))  # type: ignore[arg-type]
        while view:
            try:
                read = os.preadv(descriptor, [view], offset)
            except OSError as error:
                raise WeightsError(
                    "cannot read weights",
                    where=self._layout.where(name),
                    got=error.strerror or "?",
                    fix="copy, download or make the checkpoint again",
                ) from error
            if read == 0:
                raise WeightsError(
                    "the file was cut while it was read",
                    where=self._layout.where(name),
                    fix="copy, download or make the checkpoint again",
                )
            view, offset = view[read:], offset + read

    def _descriptor(self, file: str) -> int:
        with self._opening:
            if file not in self._descriptors:
                path = self._layout.folder / file
                try:
                    self._descriptors[file] = os.open(path, os.O_RDONLY)
                except OSError as error:
                    raise WeightsError(
                        "cannot read a weights file",
                        where=str(path),
                        got=error.strerror or str(error),
                        fix="allow this user to read it",
                    ) from error
            return self._descriptors[file]


@final
class HeldReader(AbstractTensorReader):
    """A checkpoint whose tensors stay in memory from when they are first read, in the file's dtype.

    Args:
        reader: of the checkpoint.
    """

    def __init__(self, reader: CheckpointReader) -> None:
        self._reader = reader
        self._held: dict[str, npt.NDArray[Any]] = {}
        self._reading = threading.Lock()

    @property
    def where(self) -> str:
        """The folder."""
        return self._reader.where

    def names(self) -> tuple[str, ...]:
        """The names of the tensors, sorted."""
        return self._reader.names()

    def info(self, name: str) -> TensorInfo:
        """The dtype, shape and place of a tensor."""
        return self._reader.info(name)

    def read(self, name: str, start: int, stop: int, *, out: Floats | None = None) -> Floats:
        """A slice of the flattened tensor, in fp32; the whole tensor is read where it has not been yet."""
        info = self.info(name)
        values = slot(info, start, stop, out)
        with self._reading:
            if name not in self._held:
                self._held[name] = narrow(self._reader.read(name, 0, info.numel), info.dtype)
        kept = self._held[name][start:stop]
        if info.dtype == "F32":
            values[:] = kept
        else:
            widen(kept.view(np.uint16), info.dtype, out=values)
        return values

    def close(self) -> None:
        """Close the files; what was read stays."""
        self._reader.close()


@final
class ArrayReader(AbstractTensorReader):
    """The tensors of a model that is arrays in memory.

    Args:
        tensors: by name; anything numpy reads as numbers, taken as fp32.
        where: what to call the model.
    """

    def __init__(self, tensors: Mapping[str, npt.ArrayLike], *, where: str) -> None:
        arrays = {name: np.asarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
        self._infos = {name: TensorInfo("F32", each.shape, 0, each.nbytes) for name, each in arrays.items()}
        self._flat = {name: np.ascontiguousarray(each).reshape(-1) for name, each in arrays.items()}
        self._where = where

    @property
    def where(self) -> str:
        """What the model is called."""
        return self._where

    def names(self) -> tuple[str, ...]:
        """The names of the tensors, sorted."""
        return tuple(sorted(self._flat))

    def info(self, name: str) -> TensorInfo:
        """The shape of a tensor."""
        if name not in self._infos:
            raise WeightsError("the model has no such tensor", where=f"{self.where}#{name}")
        return self._infos[name]

    def read(self, name: str, start: int, stop: int, *, out: Floats | None = None) -> Floats:
        """A slice of the flattened tensor, copied."""
        values = slot(self.info(name), start, stop, out)
        values[:] = self._flat[name][start:stop]
        return values

    def close(self) -> None:
        """Nothing is open."""


@final
class AdapterReader(AbstractTensorReader):
    """The tensors of a base as an adapter changes them, made slice by slice.

    LoRA, rsLoRA, DoRA and IA3 each change a matrix row by row. A change is made in blocks of whole rows that
    do not depend on the slice asked for, so that the same element has the same bits whatever the slices.

    Args:
        base: the model the adapter was trained on; it stays open when this reader is closed only if
            `owns_base` is false.
        adapter: its changes by tensor name.
        folder: the adapter's folder, for messages.
        owns_base: whether closing this reader closes the base.

    Raises:
        UsageError: the adapter is a soft prompt, which changes no tensor.
        WeightsError: a change of a tensor that the base lacks, or whose shape does not fit it.
    """

    def __init__(
        self,
        base: AbstractTensorReader,
        adapter: "Adapter | FactoredAdapter",
        *,
        folder: Path,
        owns_base: bool = True,
    ) -> None:
        self._base, self._owns_base, self._adapter = base, owns_base, adapter
        self._changes: Mapping[str, _Change] = _changes_of(adapter, folder)
        self._where = f"{folder} on {base.where}"
        shapes = {name: base.info(name).shape for name in base.names()}
        for name, change in self._changes.items():
            if misfit(name, change.shape, shapes):
                raise misfit_error(name, change.shape, shapes, folder=folder, base=base.where)

    @property
    def where(self) -> str:
        """The adapter's folder and its base's."""
        return self._where

    @property
    def adapter(self) -> "Adapter | FactoredAdapter":
        """What is laid over the base."""
        return self._adapter

    def names(self) -> tuple[str, ...]:
        """The names of the base's tensors, sorted."""
        return self._base.names()

    def info(self, name: str) -> TensorInfo:
        """The base's dtype and shape."""
        return self._base.info(name)

    def read(self, name: str, start: int, stop: int, *, out: Floats | None = None) -> Floats:
        """A slice of the flattened tensor as the adapter changes it, in fp32."""
        if name not in self._changes or stop <= start:
            return self._base.read(name, start, stop, out=out)
        info = self.info(name)
        values, (rows, width) = slot(info, start, stop, out), info.shape
        step = max(1, _BLOCK // width)
        for first in range(start // width // step * step, -(-stop // width), step):
            last = min(rows, first + step)
            block = self._base.read(name, first * width, last * width).reshape(-1, width)
            changed = self._changes[name].merged_rows(block, first).reshape(-1)
            low, high = max(start, first * width), min(stop, last * width)
            values[low - start : high - start] = changed[low - first * width : high - first * width]
        return values

    def close(self) -> None:
        """Close the base's files, if they are this reader's own."""
        if self._owns_base:
            self._base.close()


def dtype_error(layout: Layout, name: str) -> WeightsError:
    """The error for a tensor whose dtype is not one of `FILE_DTYPES`."""
    return WeightsError(
        "a tensor of this dtype cannot be merged",
        where=layout.where(name),
        expected=" or ".join(FILE_DTYPES),
        got=layout.info(name).dtype,
        fix="convert the checkpoint to float32 or bfloat16",
        kind="dtype",
    )


def slot(info: TensorInfo, start: int, stop: int, out: Floats | None) -> Floats:
    """Where a slice of a tensor goes: the front of `out`, or a new array.

    Raises:
        UsageError: the slice is not within the tensor, or does not fit `out`.
    """
    if not 0 <= start <= stop <= info.numel:
        raise UsageError("a slice outside the tensor", expected=f"0..{info.numel}", got=f"{start}..{stop}")
    if out is None:
        return np.empty(stop - start, dtype=np.float32)
    if out.dtype != np.float32 or out.size < stop - start or not out.flags.c_contiguous:
        raise UsageError("a buffer that cannot take the slice", expected=f"{stop - start} contiguous fp32")
    return out.reshape(-1)[: stop - start]


def _changes_of(adapter: "Adapter | FactoredAdapter", folder: Path) -> Mapping[str, _Change]:
    """The adapter's changes, refused where it has none."""
    if adapter.kind == "prompt":
        raise prompt_error(folder)
    return adapter.changes
