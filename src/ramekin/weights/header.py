"""The header of a safetensors file, read strictly: which tensors the file holds and where.

A file is a little-endian u64 (the header's length), a JSON object `{name: {dtype, shape, data_offsets}}`
with an optional `__metadata__`, and the data. Everything a header can say wrongly is refused here, with
the file and the tensor in the message, so that whoever reads data afterwards need not look again. This
module reads no tensor data and knows nothing of models.
"""

import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import final

from ramekin.errors import WeightsError

__all__ = ["DTYPE_BYTES", "Header", "TensorInfo", "read_header"]

DTYPE_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "BOOL": 1,
        "U8": 1,
        "I8": 1,
        "F8_E4M3": 1,
        "F8_E5M2": 1,
        "I16": 2,
        "U16": 2,
        "F16": 2,
        "BF16": 2,
        "I32": 4,
        "U32": 4,
        "F32": 4,
        "I64": 8,
        "U64": 8,
        "F64": 8,
        "C64": 8,
    }
)
"""The safetensors dtypes whose elements are whole bytes, and their size."""

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # the safetensors library's own limit
_METADATA = "__metadata__"


@final
@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file."""

    dtype: str
    """Its safetensors dtype, a key of `DTYPE_BYTES`."""
    shape: tuple[int, ...]
    """Its sizes; `()` for a scalar."""
    start: int
    """The first byte, counted from `Header.data_offset`."""
    stop: int
    """One past the last byte, counted from `Header.data_offset`."""

    @property
    def nbytes(self) -> int:
        """The bytes it takes in the file."""
        return self.stop - self.start

    @property
    def ndim(self) -> int:
        """The number of its sizes."""
        return len(self.shape)

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@final
@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file holds."""

    tensors: Mapping[str, TensorInfo]
    """Every tensor by its name, in the order of the data."""
    data_offset: int
    """Where the data begins, in bytes from the start of the file."""
    file_size: int
    """The size of the whole file in bytes."""
    metadata: Mapping[str, str]
    """The free strings of `__metadata__`."""


def read_header(path: Path) -> Header:
    """Read and check the header of one safetensors file; no tensor data is read.

    Raises:
        WeightsError: the file is missing, truncated, longer than its header says, or its header is not
            valid: not JSON, a name twice, an unknown dtype, a size that is not the product of the shape,
            data with a hole or an overlap. The message names the file and, where one is at fault, the tensor.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            file_size = os.fstat(file.fileno()).st_size
            prefix = file.read(_LENGTH_BYTES)
            length = _header_length(path, prefix, file_size)
            raw = file.read(length)
    except OSError as error:
        raise WeightsError(
            "cannot read a weights file",
            where=str(path),
            got=error.strerror or str(error),
            kind="damaged-file",
            fix="allow this user to read it",
        ) from error
    if len(raw) != length:
        raise _bad(path, "the file was cut while it was read", expected=f"{length} header bytes")
    entries = _parse(path, raw)
    metadata = _metadata(path, entries.pop(_METADATA, {}))
    data_offset = _LENGTH_BYTES + length
    infos = {name: _tensor_info(path, name, entry) for name, entry in entries.items()}
    ordered = sorted(infos.items(), key=lambda item: (item[1].start, item[1].stop))
    _check_layout(path, ordered, file_size - data_offset)
    return Header(MappingProxyType(dict(ordered)), data_offset, file_size, MappingProxyType(metadata))


def _bad(path: Path, what: str, *, tensor: str | None = None, **met: str) -> WeightsError:
    where = str(path) if tensor is None else f"{path}#{tensor}"
    fix = "copy, download or make the checkpoint again"
    return WeightsError(
        f"not a whole safetensors file, {what}", where=where, fix=fix, kind="damaged-file", **met
    )


def _header_length(path: Path, prefix: bytes, file_size: int) -> int:
    if len(prefix) < _LENGTH_BYTES:
        raise _bad(path, "it is too short", expected=f"at least {_LENGTH_BYTES} bytes", got=str(len(prefix)))
    (length,) = struct.unpack("<Q", prefix)
    if length > _MAX_HEADER_BYTES:
        raise _bad(
            path, "its header is too long", expected=f"at most {_MAX_HEADER_BYTES} bytes", got=str(length)
        )
    if _LENGTH_BYTES + length > file_size:
        raise _bad(
            path,
            "it ends inside its header",
            expected=f"{_LENGTH_BYTES + length} bytes or more",
            got=f"{file_size} bytes",
        )
    return int(length)


def _parse(path: Path, raw: bytes) -> dict[str, object]:
    def unique(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                raise _bad(path, "a name stands twice in its header", tensor=key)
            found[key] = value
        return found

    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _bad(path, "its header is not JSON", got=str(error)) from error
    if not isinstance(entries, dict):
        raise _bad(path, "its header is not a JSON object", got=type(entries).__name__)
    return entries


def _metadata(path: Path, entry: object) -> dict[str, str]:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise _bad(path, "its metadata is not text", tensor=_METADATA, expected="strings by name")
    return entry


def _tensor_info(path: Path, name: str, entry: object) -> TensorInfo:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _bad(path, "a tensor is not described", tensor=name, expected="dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise _bad(
            path,
            "a tensor has an unknown dtype",
            tensor=name,
            expected=f"one of {', '.join(DTYPE_BYTES)}",
            got=repr(dtype),
        )
    sizes, bounds = _whole_numbers(shape), _whole_numbers(offsets)
    if sizes is None:
        raise _bad(path, "a tensor has no valid shape", tensor=name, got=repr(shape)[:80])
    if bounds is None or len(bounds) != 2 or bounds[0] > bounds[1]:
        raise _bad(path, "a tensor has no valid offsets", tensor=name, got=repr(offsets)[:80])
    expected = math.prod(sizes) * DTYPE_BYTES[dtype]
    if bounds[1] - bounds[0] != expected:
        raise _bad(
            path,
            "a tensor has the wrong size",
            tensor=name,
            expected=f"{expected} bytes for {dtype} {list(sizes)}",
            got=f"{bounds[1] - bounds[0]} bytes",
        )
    return TensorInfo(dtype, sizes, bounds[0], bounds[1])


def _whole_numbers(value: object) -> tuple[int, ...] | None:
    """The list as a tuple of integers from 0, or None when it is anything else."""
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        return None
    return tuple(value)


def _check_layout(path: Path, ordered: list[tuple[str, TensorInfo]], data_bytes: int) -> None:
    """Every byte of the data belongs to exactly one tensor."""
    position = 0
    for name, info in ordered:
        if info.start != position:
            fault = "a tensor overlaps the one before it" if info.start < position else "there is a hole"
            raise _bad(
                path,
                f"{fault} in its data",
                tensor=name,
                expected=f"data from byte {position}",
                got=f"from byte {info.start}",
            )
        if info.stop > data_bytes:
            raise _bad(
                path,
                "it is truncated",
                tensor=name,
                expected=f"{info.stop} bytes of data or more",
                got=f"{data_bytes} bytes",
            )
        position = info.stop
    if position != data_bytes:
        raise _bad(
            path,
            "bytes follow its last tensor",
            expected=f"{position} bytes of data",
            got=f"{data_bytes} bytes",
        )
