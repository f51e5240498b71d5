"""A matrix at a lower rank, as a LoRA stores it: the nearest product of two thin factors, and what it leaves.

No product of rank r is nearer in the Frobenius norm than the first r triplets of the SVD (Eckart and Young
1936). This module knows nothing of models or files.
"""

from typing import Any, NamedTuple, cast, final

import numpy as np

from ramekin.errors import WeightsError
from ramekin.merge.array import Array
from ramekin.merge.factors import Product, distance, length, product_triplets, split
from ramekin.merge.singular import triplets
from ramekin.weights.dtypes import Floats, all_finite, rounded

__all__ = ["Reduced", "check_finite", "reduced_matrix", "reduced_product"]

_LARGEST = float(np.finfo(np.float32).max)


@final
class Reduced(NamedTuple):
    """A matrix at the rank it is stored with."""

    b: Floats
    """`(out, rank)`."""
    a: Floats
    """`(rank, in)`."""
    error: float
    """The length of what is left out."""
    length: float
    """The length of all."""


def reduced_product(name: str, product: Product, rank: int, dtype: str) -> Reduced:
    """A product of thin factors at a rank that may be lower; nothing of the matrix's size is made.

    Args:
        name: the tensor, for errors.
        product: `(out, n)` and `(n, in)`.
        rank: at most so many triplets are kept; those that are zero but for rounding are left out.
        dtype: safetensors' name of what the factors are rounded to.

    Raises:
        WeightsError: a value is not finite in fp32.
    """
    check_finite(name, product.left, product.right)
    found = product_triplets(product, count=rank)
    check_finite(name, np.asarray(found.values))
    b, a = _stored(split(found), dtype)
    return Reduced(b, a, distance(product, Product(b, a)), length(product))


def reduced_matrix(name: str, delta: Floats, rank: int, dtype: str) -> Reduced:
    """A whole matrix, `(out, in)`, at a lower rank; see `reduced_product`.

    Raises:
        WeightsError: a value is not finite in fp32.
    """
    check_finite(name, delta)
    wide = delta.astype(np.float64)
    whole = float(np.linalg.norm(wide))
    if whole == 0:  # most matrices, where adapters change a few
        out, width = delta.shape
        return Reduced(np.zeros((out, 0), np.float32), np.zeros((0, width), np.float32), 0.0, 0.0)
    found = triplets(cast("Array", wide), count=rank)
    b, a = _stored(split(found), dtype)
    wide -= b.astype(np.float64) @ a.astype(np.float64)
    return Reduced(b, a, float(np.linalg.norm(wide)), whole)


def _stored(halves: Product, dtype: str) -> tuple[Floats, Floats]:
    """The factors as the file's dtype rounds them, so that the residual is that of what is stored."""
    left, right = (np.ascontiguousarray(each, dtype=np.float32) for each in halves)
    return rounded(left, dtype), rounded(right, dtype)


def check_finite(name: str, *arrays: Any) -> None:
    """Refuse numbers that fp32 does not hold.

    Raises:
        WeightsError: there are some; the message names the tensor.
    """
    if not all(all_finite(each) and np.abs(each).max(initial=0.0) <= _LARGEST for each in arrays):
        raise WeightsError(
            "a merged value is not finite",
            where=name,
            expected="finite values",
            fix="a smaller scaling factor or weight",
        )
