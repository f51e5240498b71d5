"""The tensor data of one safetensors file, read or written in one pass that also gives its sha256.

Reading copies into fresh memory instead of mapping the file: a checkpoint that somebody replaces or cuts
later cannot change or crash a loaded model. This module knows no tensor names and no models.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ramekin.errors import WeightsError
from ramekin.weights.header import DTYPE_BYTES, Header

__all__ = ["FLOAT_DTYPES", "check_finite", "dtype_name", "read_tensors", "write_tensors"]

FLOAT_DTYPES: Mapping[str, torch.dtype] = {
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F64": torch.float64,
}
"""The safetensors dtypes that weights may have in a file."""

_METADATA = {"format": "pt"}  # without it transformers refuses the file


def read_tensors(path: Path, header: Header, digest: "hashlib._Hash | None") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of a file, in the order of its data, in the file's dtype.

    Args:
        path: the file.
        header: what `read_header` said of it.
        digest: when given, is fed every byte of the file; whole once the iterator is exhausted.

    Raises:
        WeightsError: a tensor has a dtype that weights cannot have, or the file ends early.
    """
    with path.open("rb", buffering=0) as file:
        prefix = bytearray(header.data_offset)
        _fill(path, None, file, memoryview(prefix))
        if digest is not None:
            digest.update(prefix)
        for name, info in header.tensors.items():
            if info.dtype not in FLOAT_DTYPES:
                raise WeightsError(
                    "a tensor is not of a floating-point type",
                    where=f"{path}#{name}",
                    expected=f"one of {', '.join(FLOAT_DTYPES)}",
                    got=info.dtype,
                    fix="use the checkpoint that was not quantised",
                )
            flat = torch.empty(info.numel, dtype=FLOAT_DTYPES[info.dtype])
            view = _bytes_of(flat)
            _fill(path, name, file, view)
            if digest is not None:
                digest.update(view)
            yield name, flat.view(info.shape)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write one safetensors file and return its sha256; the same tensors give the same bytes.

    Tensors lie by element size, widest first, then by name, as the safetensors library lays them.

    Raises:
        OSError: the disk is full or the path cannot be written.
    """
    by_dtype = {dtype: name for name, dtype in FLOAT_DTYPES.items()}
    ordered = sorted(tensors.items(), key=lambda item: (-DTYPE_BYTES[by_dtype[item[1].dtype]], item[0]))
    entries: dict[str, object] = {"__metadata__": _METADATA}
    position = 0
    for name, tensor in ordered:
        stop = position + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": by_dtype[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, stop],
        }
        position = stop
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # data begins at a multiple of 8
    digest = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        for piece in (struct.pack("<Q", len(text)), text):
            _put(file, memoryview(piece))
            digest.update(piece)
        for _, tensor in ordered:
            view = _bytes_of(tensor.detach().to("cpu").contiguous().view(-1))
            _put(file, view)
            digest.update(view)
    return digest.hexdigest()


def check_finite(tensor: Tensor, *, where: str, fix: str) -> None:
    """Refuse a tensor with NaN or infinite values.

    Raises:
        WeightsError: it has some; the message says how many.
    """
    if bool(torch.isfinite(tensor.sum())):  # one pass without a mask; a finite sum has finite terms only
        return
    nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
    if nan or infinite:
        raise WeightsError(
            "a tensor is not finite",
            where=where,
            expected="finite values",
            got=f"{nan} NaN and {infinite} infinite of {tensor.numel()}",
            fix=fix,
        )


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a dtype as config.json writes it, such as `float32`."""
    return str(dtype).removeprefix("torch.")


def _bytes_of(flat: Tensor) -> memoryview:
    """The memory of a one-dimensional CPU tensor."""
    return memoryview(cast("memoryview", flat.view(torch.uint8).numpy()))


def _fill(path: Path, name: str | None, file: FileIO, view: memoryview) -> None:
    position = 0
    while position < len(view):
        count = file.readinto(view[position : position + (1 << 30)])
        if not count:
            raise WeightsError(
                "the file ended while it was read", where=str(path) if name is None else f"{path}#{name}"
            )
        position += count


def _put(file: FileIO, view: memoryview) -> None:
    position = 0
    while position < len(view):
        position += file.write(view[position : position + (1 << 30)])
