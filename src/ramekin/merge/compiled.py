"""The loops of `loops`, compiled by numba: one pass over an array where numpy takes several.

Each rounds as the operations of arrays do, one after the other (no fused multiply-add, no reordering), so
the bits are theirs. The compiled code is kept beside this file, or where numba keeps what has no such place.
Only `loops` imports this module, as numba takes a quarter of a second.
"""

import numba as nb
import numpy as np

__all__ = ["add_agreeing", "add_trimmed", "all_finite", "between", "distance", "trim"]

_BLOCK = 1024  # numbers that are looked at together, in the first cache

_compiled = {"nogil": True, "cache": True, "error_model": "numpy"}


@nb.njit("b1(u4[::1])", **_compiled)
def all_finite(bits):
    """Whether none of these fp32 numbers, given by their bits, is NaN or infinite."""
    most = nb.uint32(0)
    for i in range(len(bits)):
        most = max(most, bits[i] & nb.uint32(0x7F800000))
    return most < 0x7F800000


@nb.njit("void(f4[::1],f4[::1],f4[::1])", **_compiled)
def distance(tuned, base, out):
    """`out[i] = abs(tuned[i] - base[i])`; `(n,)` each."""
    for i in range(len(out)):
        out[i] = abs(tuned[i] - base[i])


@nb.njit("Tuple((i8,i8))(f4[::1],f4[::1],f4,f4,f4[::1])", **_compiled)
def between(tuned, base, low, stop, out):
    """How many magnitudes of `tuned - base` are below `low`, and how many from there to below `stop`.

    The latter are what `out` begins with. Most eight neighbours have none and are passed over as one word.
    """
    below, found = 0, 0
    magnitudes, flags = np.zeros(_BLOCK, np.float32), np.zeros(_BLOCK, np.uint8)
    words = flags.view(np.uint64)
    for start in range(0, len(tuned), _BLOCK):
        theirs, ours = tuned[start : start + _BLOCK], base[start : start + _BLOCK]
        here, is_inside = magnitudes[: len(theirs)], flags[: len(theirs)]
        if len(theirs) < _BLOCK:
            flags[:] = 0
        count = nb.int32(0)
        for i in range(len(theirs)):
            magnitude = abs(theirs[i] - ours[i])
            here[i] = magnitude
            count += nb.int32(magnitude < low)
        below += count
        for i in range(len(theirs)):  # in a loop of its own, else neither is done eight at a time
            is_inside[i] = nb.uint8(here[i] >= low) & nb.uint8(here[i] < stop)
        for word in range(_BLOCK // 8):
            if words[word] != 0:
                for i in range(8 * word, 8 * word + 8):
                    out[found] = magnitudes[i]
                    found += flags[i]
    return below, found


@nb.njit("i8(f4[::1],f4[::1],f4,f4[::1])", **_compiled)
def trim(tuned, base, cut, out):
    """`out[i] = tuned[i] - base[i]` where its magnitude is not below `cut`, else 0; how many are kept."""
    kept = 0
    for start in range(0, len(out), _BLOCK):
        theirs, ours, here = (
            tuned[start : start + _BLOCK],
            base[start : start + _BLOCK],
            out[start : start + _BLOCK],
        )
        count = nb.int32(0)
        for i in range(len(here)):
            delta = theirs[i] - ours[i]
            keep = abs(delta) >= cut
            here[i] = delta if keep else np.float32(0)
            count += nb.int32(keep)
        kept += count
    return kept


@nb.njit("void(f4[::1],f4[::1],f4,f4,f4[::1])", **_compiled)
def add_trimmed(tuned, base, cut, factor, total):
    """`total[i] += factor * (tuned[i] - base[i])` where that difference is not below `cut` in magnitude."""
    for i in range(len(total)):
        delta = tuned[i] - base[i]
        total[i] += (delta if abs(delta) >= cut else np.float32(0)) * factor


@nb.njit("void(f4[::1],f4,f4[::1],f4[::1])", **_compiled)
def add_agreeing(delta, factor, signs, merged):
    """`merged[i] += factor * delta[i] * signs[i]` where that is above 0; `signs` are -1 and 1."""
    for i in range(len(merged)):
        value = (delta[i] * factor) * signs[i]
        merged[i] += value if value > 0 else np.float32(0)
