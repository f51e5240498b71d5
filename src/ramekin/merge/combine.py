"""What many methods do with the deltas of a tensor: add them by weight, elect signs.

This module knows nothing of files, names or settings.
"""

import math
from collections.abc import Sequence
from typing import Literal

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.loops import Loops

__all__ = ["MergeFunc", "elected", "needs_election", "shares", "summed"]

MergeFunc = Literal["sum", "mean", "max"]

_ROUNDING = 1e-9


def summed(
    arrays: Sequence[Array], weights: Sequence[float] | None = None, *, in_float64: bool = False
) -> Array:
    """The sum of arrays of one shape, each times its weight, added in their order.

    Args:
        arrays: at least one; each is asked for once.
        weights: one number an array; None counts each once, and multiplies nothing.
        in_float64: add in float64, whatever the dtype of the arrays.

    Raises:
        UsageError: no arrays, or not one weight each.

    >>> import numpy as np
    >>> summed([np.asarray([1.0]), np.asarray([2.0])], [1, -1])
    array([-1.])
    """
    if not len(arrays):
        raise UsageError("there is nothing to add", expected="at least one model")
    if weights is not None and len(weights) != len(arrays):
        raise UsageError(
            "weights must name one number a model", expected=f"{len(arrays)} weights", got=str(len(weights))
        )
    first = arrays[0]
    if in_float64:
        xp = namespace(first)
        first = xp.astype(first, xp.float64)
    total = first * (1.0 if weights is None else weights[0])
    for place in range(1, len(arrays)):
        total += arrays[place] if weights is None else arrays[place] * weights[place]
    return total


def shares(weights: Sequence[float], *, where: str = "weights") -> tuple[float, ...]:
    """The weights divided by their sum.

    Raises:
        UsageError: they add to zero.

    >>> shares([1, 3])
    (0.25, 0.75)
    """
    total = math.fsum(weights)
    if abs(total) <= _ROUNDING * math.fsum(map(abs, weights)):  # 0.1 + 0.2 - 0.3 is not 0
        raise UsageError(
            "the weights add to zero",
            where=where,
            got=", ".join(f"{weight:g}" for weight in weights),
            fix="give other weights, or set normalize=false",
            kind="weights-sum-to-zero",
        )
    return tuple(weight / total for weight in weights)


def needs_election(merge_func: MergeFunc, *, elect: bool) -> None:
    """Refuse a way of merging the values that were elected where none are.

    Raises:
        UsageError: it would be of no effect.
    """
    if merge_func != "sum" and not elect:
        raise UsageError(
            f"merge_func={merge_func} is for values of an elected sign, and without elect all are added",
            fix="add elect=true, or leave out merge_func",
        )


def elected(
    deltas: Sequence[Array],
    *,
    weights: Sequence[float] | None = None,
    merge_func: MergeFunc = "sum",
    zero_sign: int = 1,
    loops: Loops | None = None,
) -> Array:
    """Elect a sign for each element and merge the values that have it, as TIES does.

    Args:
        deltas: of each model, trimmed, of one shape.
        weights: how much each delta counts; None counts each once.
        merge_func: the `sum` of the agreeing values, their `mean` by the size of the weights (mergekit
            divides by the weights themselves, which of a negative one turns the sign round), or the largest
            (`max`).
        zero_sign: -1, 0 or 1, the sign elected where the deltas add to zero.
        loops: compiled loops for arrays in memory, of no effect on the result.

    >>> import numpy as np
    >>> elected([np.asarray([4.0, -2.0]), np.asarray([-1.0, -5.0])], merge_func="mean")
    array([ 4. , -3.5])
    """
    xp = namespace(deltas[0])
    total = summed(deltas, weights)
    # Where nothing is elected (the total is 0 and so is zero_sign) the authors' code takes the negative
    # values for sum and mean, and 0 for max.
    is_positive = total > 0 if zero_sign <= 0 else total >= 0
    signs = 2 * xp.astype(is_positive, total.dtype) - 1  # by xp.sign it takes three times as long
    zeros = xp.zeros_like(total)
    merged, count = xp.zeros_like(total), xp.zeros_like(total)
    for place, delta in enumerate(deltas):
        if loops is not None and merge_func == "sum":
            loops.add_agreeing(delta, 1.0 if weights is None else weights[place], signs, merged)
            continue
        value = (delta if weights is None else delta * weights[place]) * signs
        high = xp.maximum(value, zeros)  # of an array and a number it takes three times as long
        if merge_func == "max":
            merged = xp.maximum(merged, high)
            continue
        merged += high
        if merge_func == "mean":
            count += (1.0 if weights is None else abs(weights[place])) * xp.astype(value > 0, value.dtype)
    if merge_func == "mean":
        merged /= count + xp.astype(count == 0, count.dtype)
    merged *= signs
    if merge_func == "max" and zero_sign == 0:
        merged = merged * (total != 0)
    found: Array = merged + zeros  # no negative zeros
    return found
