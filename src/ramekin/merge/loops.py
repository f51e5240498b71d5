"""What decides how long TIES takes, as compiled loops: the same numbers as by the functions of arrays.

They are for models large enough that loading numba pays; where it is not installed, or has no place to keep
what it compiled, the functions of arrays do the same. This module knows nothing of models.
"""

import functools
import importlib
from types import ModuleType
from typing import cast, final

import numpy as np

from ramekin.merge.array import Array
from ramekin.weights.dtypes import Floats

__all__ = ["Distances", "Loops", "loops_for"]

_WORTH_LOADING = 1 << 25  # elements of all models: what a quarter of a second of arithmetic is for


@final
class Loops:
    """Compiled loops over contiguous fp32 arrays in memory; several threads may call them.

    Args:
        compiled: the module `compiled`.
    """

    def __init__(self, compiled: ModuleType) -> None:
        self._compiled = compiled

    def all_finite(self, values: Floats) -> bool:
        """Whether no element is NaN or infinite."""
        return bool(self._compiled.all_finite(_flat(values).view(np.uint32)))

    def distances(self, tuned: Array, base: Array) -> "Distances":
        """The magnitudes of tuned minus base; both must not change until these are no longer used."""
        return Distances(self._compiled, _flat(tuned), _flat(base))

    def trim(self, tuned: Array, base: Array, cut: float) -> tuple[Array, int]:
        """Tuned minus base with magnitudes below `cut` set to zero, and how many were kept."""
        out = np.empty(tuned.shape, dtype=np.float32)
        kept = self._compiled.trim(_flat(tuned), _flat(base), np.float32(cut), _flat(out))
        return cast("Array", out), int(kept)

    def add_trimmed(self, tuned: Array, base: Array, cut: float, factor: float, total: Array) -> None:
        """Add what `trim` gives, times a factor, to `total`."""
        self._compiled.add_trimmed(
            _flat(tuned), _flat(base), np.float32(cut), np.float32(factor), _flat(total)
        )

    def add_agreeing(self, delta: Array, factor: float, signs: Array, merged: Array) -> None:
        """Add the magnitude of `factor * delta` to `merged` where it has the sign, -1 or 1."""
        self._compiled.add_agreeing(_flat(delta), np.float32(factor), _flat(signs), _flat(merged))


@final
class Distances:
    """The magnitudes of tuned minus base, `(n,)`, which are computed when they are asked for.

    Args:
        compiled: the module `compiled`.
        tuned: flat and contiguous.
        base: the same.
    """

    def __init__(self, compiled: ModuleType, tuned: Floats, base: Floats) -> None:
        self._compiled, self._tuned, self._base = compiled, tuned, base

    def __array__(self, dtype: object = None, copy: bool | None = None) -> Floats:
        out = np.empty(self._tuned.size, dtype=np.float32)
        self._compiled.distance(self._tuned, self._base, out)
        return out

    def between(self, low: float, stop: float) -> tuple[int, Floats]:
        """How many are below `low`, and those from there to below `stop`."""
        out = np.empty(self._tuned.size + 1, dtype=np.float32)  # one more, which the loop may write to
        below, found = self._compiled.between(self._tuned, self._base, np.float32(low), np.float32(stop), out)
        return int(below), out[:found].copy()  # a view would keep all of it


def _flat(array: Array | Floats) -> Floats:
    """An array as one row, of the same memory."""
    found = np.asarray(array)
    if not found.flags.c_contiguous:
        raise ValueError("compiled loops take contiguous arrays")  # a copy would be filled instead
    return found.reshape(-1)


def loops_for(num_elements: int) -> Loops | None:
    """The loops, if so many elements of all models together are worth it and they can be had."""
    return _loaded() if num_elements >= _WORTH_LOADING else None


@functools.cache
def _loaded() -> Loops | None:
    try:
        numba = importlib.import_module("numba")
        if numba.config.DISABLE_JIT:
            return None  # interpreted, they take a hundred times as long
        return Loops(importlib.import_module("ramekin.merge.compiled"))
    except (ImportError, RuntimeError):  # the latter where numba finds no place for what it compiled
        return None
