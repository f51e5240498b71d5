"""Singular values and vectors of a matrix, without those that are nothing but rounding.

The directions that belong to a singular value of zero are arbitrary: two libraries, or two runs, may choose
others. A method that orthogonalises singular vectors, or sets all singular values equal, would build on
them wherever a delta has a low rank (LoRA) or models are equal. So what is below the rounding of the fp32
input is left out here, and what follows is a function of the matrix alone.

The decomposition of deltas is found from the eigenvectors of the Gram matrix of the shorter side, in
float64: from fp32 input that is more exact than a float32 SVD, and on one core about twice as fast as either
SVD (768 x 768 to 768 x 2048). This module knows nothing of models or methods.
"""

from collections.abc import Callable
from typing import NamedTuple, final

from ramekin.merge.array import Array, namespace

__all__ = ["ROUNDING", "Spectrum", "Triplets", "isotropic", "polar", "spectrum", "triplets"]

ROUNDING = 8 * 2.0**-23
"""What a singular value must exceed, as a share of the largest, to be more than rounding of fp32 input."""


@final
class Triplets(NamedTuple):
    """The leading singular values of a matrix with their vectors, the largest first, in float64."""

    left: Array
    """(rows, rank), orthonormal columns."""
    values: Array
    """(rank,), positive."""
    right: Array
    """(rank, columns), orthonormal rows."""


@final
class Spectrum(NamedTuple):
    """The singular values of a matrix, and the vectors of the leading ones, in float64."""

    values: Array
    """(rank,), positive, the largest first."""
    leading: Triplets


def triplets(matrix: Array, *, count: int | None = None, floor: float = 0.0) -> Triplets:
    """The singular value decomposition of a matrix down to what is more than rounding.

    Args:
        matrix: (rows, columns), with what rounding to fp32 left of it.
        count: at most that many.
        floor: leave out singular values up to this one, besides those that are rounding.

    Returns:
        As many triplets as the matrix has numerical rank; none of a matrix of zeros.

    >>> import numpy as np
    >>> found = triplets(np.asarray([[0.0, 2.0], [0.0, 0.0]]))
    >>> found.values.tolist(), abs(found.left @ found.right).tolist()
    ([2.0], [[0.0, 1.0], [0.0, 0.0]])
    """
    xp = namespace(matrix)

    def counted(values: Array) -> int:
        rank = int(xp.sum(xp.astype(values > floor, xp.int64)))
        return rank if count is None else min(rank, count)

    return spectrum(matrix, counted).leading


def spectrum(matrix: Array, count_of: Callable[[Array], int]) -> Spectrum:
    """All singular values of a matrix that are more than rounding, and the vectors of some.

    Args:
        matrix: (rows, columns), with what rounding to fp32 left of it.
        count_of: how many triplets are wanted, given the singular values, the largest first.

    Returns:
        As many values as the matrix has numerical rank; none of a matrix of zeros.

    >>> import numpy as np
    >>> found = spectrum(np.diag([1.0, 3.0, 2.0, 0.0]), lambda values: 1)
    >>> found.values.tolist(), abs(found.leading.left[:, 0]).tolist()
    ([3.0, 2.0, 1.0], [0.0, 1.0, 0.0, 0.0])
    """
    xp = namespace(matrix)
    matrix = xp.astype(matrix, xp.float64)
    is_tall = matrix.shape[0] >= matrix.shape[1]
    squares, vectors = xp.linalg.eigh(matrix.T @ matrix if is_tall else matrix @ matrix.T)
    values = xp.flip(xp.sqrt(xp.where(squares > 0, squares, xp.zeros_like(squares))), axis=0)
    values = values[: _numerical_rank(values)]
    count = count_of(values)
    leading, vectors = values[:count], xp.flip(vectors, axis=1)[:, :count]
    if is_tall:
        return Spectrum(values, Triplets(matrix @ vectors / leading, leading, vectors.T))
    return Spectrum(values, Triplets(vectors, leading, vectors.T @ matrix / leading[:, None]))


def polar(matrix: Array) -> Array:
    """The nearest matrix whose singular values are all 1: `U V^T` of the SVD (orthogonal Procrustes).

    Of a matrix of lower rank it is the partial isometry, which has ones for the positive singular values and
    adds nothing for the others.

    Args:
        matrix: (rows, columns).

    Returns:
        float64 of the same shape.

    >>> import numpy as np
    >>> polar(np.asarray([[3.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    # Not by the Gram matrix, which squares the condition: singular vectors of several models, side by side,
    # may be nearly dependent, and here the weakest direction counts as much as the first.
    xp = namespace(matrix)
    left, values, right = xp.linalg.svd(xp.astype(matrix, xp.float64), full_matrices=False)
    rank = _numerical_rank(values)
    nearest: Array = left[:, :rank] @ right[:rank]
    return nearest


def isotropic(matrix: Array, *, count: int | None = None) -> Array:
    """The matrix with its leading singular values set to their mean.

    The mean counts values that are zero; their arbitrary directions are left out. That is the average over
    all that a library may choose for them.

    Args:
        matrix: (rows, columns).
        count: how many of the leading singular values, at least 1; all of them when None.

    Returns:
        float64 of the same shape; zeros of a matrix of zeros.

    >>> import numpy as np
    >>> isotropic(np.asarray([[3.0, 0.0], [0.0, 1.0]])).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    xp = namespace(matrix)
    found = triplets(matrix, count=count)
    return found.left @ found.right * (float(xp.sum(found.values)) / (count or min(matrix.shape)))


def _numerical_rank(values: Array) -> int:
    """How many singular values, the largest first, are more than rounding."""
    xp = namespace(values)
    largest = float(values[0]) if values.shape[0] else 0.0
    return int(xp.sum(xp.astype(values > ROUNDING * largest, xp.int64)))
