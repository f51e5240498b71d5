"""The numbers of checkpoint files: three dtypes, read as fp32 and written from it, in numpy.

bf16 is the upper half of fp32, which numpy does not know; it is converted by its bits. This module knows
nothing of files or tensors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = ["FILE_DTYPES", "FileDtype", "Floats", "all_finite", "narrow", "rounded", "stays_finite", "widen"]

Floats = npt.NDArray[np.float32]
"""fp32 numbers, the one form in which tensors are handed about here."""


@final
@dataclass(frozen=True, slots=True)
class FileDtype:
    """How a file stores a number."""

    itemsize: int
    """Bytes of one."""
    torch_name: str
    """What torch calls it."""


FILE_DTYPES: Mapping[str, FileDtype] = MappingProxyType(
    {"F32": FileDtype(4, "float32"), "BF16": FileDtype(2, "bfloat16"), "F16": FileDtype(2, "float16")}
)
"""The dtypes that can be read and written, by their safetensors names, in the order of the data."""


def widen(bits: npt.NDArray[np.uint16], dtype: str, *, out: Floats) -> None:
    """Half-precision numbers as fp32, exactly."""
    if dtype == "F16":
        out[:] = bits.view(np.float16)
        return
    wide = out.view(np.uint32)
    wide[:] = bits
    wide <<= 16


def narrow(values: Floats, dtype: str) -> npt.NDArray[Any]:
    """fp32 numbers in a file's dtype, each rounded to the nearest, and to the even one of two as near."""
    if dtype == "F32":
        return values
    if dtype == "F16":
        return values.astype(np.float16)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16).astype(np.uint16)


def stays_finite(stored: npt.NDArray[Any], dtype: str) -> bool:
    """Whether finite numbers have become finite ones."""
    if dtype == "BF16":
        return not bool(((stored & 0x7F80) == 0x7F80).any())
    return dtype == "F32" or bool(np.isfinite(stored).all())


def rounded(values: Floats, dtype: str) -> Floats:
    """The fp32 numbers that are read back when `values` are written in a file's dtype."""
    if dtype == "F32":
        return values
    with np.errstate(over="ignore"):  # becomes infinite, which is for the caller to see
        stored = narrow(values.reshape(-1), dtype)
    wide = np.empty(stored.shape, dtype=np.float32)
    widen(stored.view(np.uint16), dtype, out=wide)
    return wide.reshape(values.shape)


def all_finite(values: npt.NDArray[Any]) -> bool:
    """Whether no element is NaN or infinite.

    A sum of squares is NaN or infinite if any element is, and takes one pass; only a sum that is not finite,
    which finite elements can have too, needs the look at each element.
    """
    flat = values.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(float(np.dot(flat, flat))):
            return True
    return bool(np.isfinite(values).all())
