"""Algebra of matrices that are given as a product of two thin ones, without ever making the product.

    L R = (Q_L T_L) (T_R^T Q_R^T) = Q_L (T_L T_R^T) Q_R^T           QR of L and of R^T
    T_L T_R^T = P S W^T                                             an SVD of the size of the inner axis
    L R = (Q_L P) S (Q_R W)^T                                       the SVD of the product

The first r triplets are the best approximation of rank r in the Frobenius norm (Eckart and Young 1936). All
is computed in float64, so that what is left after exact algebra is the rounding of the fp32 factors. This
module knows nothing of files, names or methods.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast, final

import numpy as np
import numpy.typing as npt

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.singular import Triplets

__all__ = ["Product", "distance", "joined", "length", "product_triplets", "shared_basis", "split"]

Wide = npt.NDArray[np.float64]
Any2d = npt.NDArray[Any]

_FLOOR = 2.0**-40  # of the lengths of what is added up: rounding in float64, far below that of fp32


@final
class Product(NamedTuple):
    """A matrix as the product of two thin ones."""

    left: Any2d
    """(out, inner)."""
    right: Any2d
    """(inner, in)."""


def joined(parts: Sequence[Product], weights: Sequence[float] | None = None) -> Product:
    """The weighted sum of products as one product: their factors side by side.

    Args:
        parts: at least one, all of one outer shape.
        weights: one number a part; None counts each once.

    Raises:
        UsageError: no parts, or not one weight each.

    >>> one, two = Product(np.eye(2)[:, :1], np.eye(2)[:1]), Product(np.eye(2)[:, 1:], np.eye(2)[1:])
    >>> found = joined([one, two], [3.0, 5.0])
    >>> (found.left @ found.right).tolist()
    [[3.0, 0.0], [0.0, 5.0]]
    """
    factors = [1.0] * len(parts) if weights is None else list(weights)
    if not parts or len(factors) != len(parts):
        raise UsageError(
            "a sum needs a weight for each of its parts", expected=str(len(parts)), got=str(len(factors))
        )
    lefts = [np.asarray(part.left, np.float64) * factor for part, factor in zip(parts, factors, strict=True)]
    return Product(
        np.concatenate(lefts, axis=1),
        np.concatenate([np.asarray(part.right, np.float64) for part in parts], axis=0),
    )


def product_triplets(product: Product, *, count: int | None = None) -> Triplets:
    """The singular value decomposition of a product, by that of a matrix of its inner length.

    Args:
        product: the two factors.
        count: at most that many triplets, the leading ones.

    Returns:
        As many triplets as the product has rank; none of a product that is zero.

    >>> found = product_triplets(Product(np.asarray([[0.0], [2.0]]), np.asarray([[3.0, 0.0, 4.0]])))
    >>> found.values.round(6).tolist(), abs(found.left @ found.right).round(6).tolist()
    ([10.0], [[0.0, 0.0, 0.0], [0.6, 0.0, 0.8]])
    """
    left_basis, left = np.linalg.qr(np.asarray(product.left, np.float64))
    right_basis, right = np.linalg.qr(np.asarray(product.right, np.float64).T)
    inner_left, values, inner_right = np.linalg.svd(left @ right.T, full_matrices=False)
    kept = int(np.count_nonzero(values > _rounding([product])))
    kept = kept if count is None else min(kept, count)
    left_vectors, right_vectors = left_basis @ inner_left[:, :kept], inner_right[:kept] @ right_basis.T
    return Triplets(cast("Array", left_vectors), cast("Array", values[:kept]), cast("Array", right_vectors))


def split(found: Triplets) -> Product:
    """The two factors of a decomposition, each with the square root of the singular values."""
    roots = np.sqrt(np.asarray(found.values, np.float64))
    return Product(np.asarray(found.left) * roots, np.asarray(found.right) * roots[:, None])


def length(product: Product) -> float:
    """The Frobenius norm of a product.

    >>> length(Product(np.asarray([[0.0], [2.0]]), np.asarray([[3.0, 0.0, 4.0]])))
    10.0
    """
    return float(np.linalg.norm(_triangle(product.left) @ _triangle(product.right.T).T))


def distance(one: Product, other: Product) -> float:
    """The Frobenius norm of the difference of two products, exact where they are nearly equal, too."""
    return length(joined([one, other], [1.0, -1.0]))


def shared_basis(parts: Sequence[Product]) -> tuple[Wide, Wide, list[Product]]:
    """The left singular vectors of matrices side by side, and each of them seen in those.

        [D_1 ... D_N] = U S [V_1^T ... V_N^T],      D_i = L_i R_i,      S V_i^T = U^T D_i = (U^T L_i) R_i

    Args:
        parts: at least one, all of one outer shape.

    Returns:
        U, (out, rank); the diagonal of S, (rank,); and each S V_i^T, (rank, in), as a product.

    >>> axis = np.asarray([[1.0], [0.0]])
    >>> _, values, seen = shared_basis([Product(axis, axis.T * 3), Product(axis, axis.T[:, ::-1] * 4)])
    >>> values.round(6).tolist(), [abs(each.left @ each.right).round(6).tolist() for each in seen]
    ([5.0], [[[3.0, 0.0]], [[0.0, 4.0]]])
    """
    lefts = [np.asarray(part.left, np.float64) for part in parts]
    left_basis, left = np.linalg.qr(np.concatenate(lefts, axis=1))
    places = np.cumsum([each.shape[1] for each in lefts])[:-1]
    # the QR of the block diagonal of all R_i is that of each; the blocks of left times it stand side by side
    blocks = [
        block @ _triangle(part.right.T).T
        for block, part in zip(np.split(left, places, axis=1), parts, strict=True)
    ]
    vectors, values, _ = np.linalg.svd(np.concatenate(blocks, axis=1), full_matrices=False)
    kept = int(np.count_nonzero(values > _rounding(parts)))
    basis = left_basis @ vectors[:, :kept]
    seen = [Product(basis.T @ each, part.right) for each, part in zip(lefts, parts, strict=True)]
    return basis, values[:kept], seen


def _triangle(matrix: Any2d) -> Wide:
    """R of the QR decomposition: a short matrix with the same inner products of columns."""
    return cast("Wide", np.linalg.qr(np.asarray(matrix, np.float64), mode="r"))


def _rounding(parts: Sequence[Product]) -> float:
    """What a singular value must exceed to be more than rounding, by the lengths of the rank-one summands."""
    lengths = [np.linalg.norm(p.left, axis=0) @ np.linalg.norm(p.right, axis=1) for p in parts]
    return _FLOOR * float(sum(lengths))
