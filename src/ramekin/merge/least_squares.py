"""Weighted least squares: the weight nearest to several, each measured on inputs of its own.

    W* = argmin_W  sum_t tr((W - W_t) C_t (W - W_t)^T)  =  (sum_t W_t C_t) (sum_t C_t)^-1

W_t is (out, in), C_t the second moment of task t's inputs, (in, in). Deltas in the place of the weights
give W* - W_0. Methods differ in what they take for C_t:

    the (weighted) mean         w_t I                                `identity_moment`
    RegMean                     X_t^T X_t, off-diagonals x alpha     `shrunk_gram`
    data-free covariance        tau_t^T tau_t                        `delta_moment`
    WUDI                        tau_t^T tau_t / |tau_t|^2            `unit_delta_moment`
    ACE                         the rows of tau_t centred first      `centred`, then `delta_moment`
    diagonal Fisher             one diagonal a row of W: no solve    `diagonal_quotient`

A ridge is always on: epsilon * tr(sum_t C_t) / (N in) * I is added to every C_t. As epsilon goes to 0 the
exact minimiser is left, as it grows the result becomes the mean. Deltas of low rank stay finite: where no
C_t says anything, the mean of the W_t stands. All is computed in float64, one model at a time. This module
knows nothing of files or names.
"""

from collections.abc import Iterable

import array_api_compat
import numpy as np

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.array import Array, namespace

__all__ = [
    "centred",
    "delta_moment",
    "diagonal_quotient",
    "identity_moment",
    "least_squares",
    "shrunk_gram",
    "unit_delta_moment",
]

_MOST = 0.1  # a ridge that makes up for more than rounding would hide that the statistics are wrong


def least_squares(terms: Iterable[tuple[Array, Array]], *, ridge: float = 1e-6) -> Array:
    """The minimiser of the summed squared errors, with a ridge on every second moment.

    Args:
        terms: a weight or delta (out, in) and a second moment (in, in) of each model, symmetric and positive
            semidefinite; taken one at a time, in order.
        ridge: epsilon, above 0: a share of the mean eigenvalue of the second moments.

    Returns:
        fp32 (out, in).

    Raises:
        UsageError: no terms, or a ridge that is not above 0.
        WeightsError: the second moments do not add to a covariance.

    >>> import numpy as np
    >>> here, there = np.asarray([[1.0, 0.0]]), np.asarray([[0.0, 1.0]])
    >>> merged = least_squares([(here, delta_moment(here)), (there, delta_moment(there))], ridge=1e-9)
    >>> merged.round(6).tolist()
    [[1.0, 1.0]]
    """
    if not ridge > 0:
        raise UsageError("the ridge must be above 0", expected="a small number such as 1e-6", got=str(ridge))
    num_models, products, moments, total = 0, None, None, None
    for weight, moment in terms:
        xp = namespace(weight, moment)
        weight, moment = xp.astype(weight, xp.float64), xp.astype(moment, xp.float64)
        product = weight @ moment
        if products is None or moments is None or total is None:
            products, moments, total = product, moment, weight
        else:
            products += product
            moments += moment
            total += weight
        num_models += 1
    if products is None or moments is None or total is None:
        raise UsageError("there is nothing to merge", expected="at least one model")
    xp = namespace(products)
    trace = float(xp.linalg.trace(moments))
    # Without any statistics every direction is one that no C_t says anything of.
    scale = trace / (num_models * moments.shape[0]) if trace != 0 else 1.0
    unit, share = _unit(moments), ridge
    while share <= max(ridge, _MOST) and scale > 0 and bool(xp.all(xp.isfinite(moments))):
        try:
            lower = xp.linalg.cholesky(moments + unit * (num_models * share * scale))
        except (np.linalg.LinAlgError, RuntimeError):
            # Second moments that were stored rounded may have eigenvalues a little below zero.
            share *= 10
            continue
        right = (products + total * (share * scale)).T
        merged: Array = xp.astype(xp.linalg.solve(lower.T, xp.linalg.solve(lower, right)).T, xp.float32)
        return merged
    raise WeightsError(
        "the second moments do not add to a covariance",
        expected="symmetric matrices without negative eigenvalues",
        got=f"a sum of trace {trace:g}",
        fix="collect the statistics anew",
    )


def identity_moment(like: Array, *, weight: float = 1.0) -> Array:
    """The second moment of inputs alike in all directions: `weight * I`, which gives the weighted mean.

    Args:
        like: a weight (out, in), for its width and its kind of array.
        weight: how much the model counts.

    >>> import numpy as np
    >>> identity_moment(np.zeros((1, 2)), weight=2.0).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    return _unit(like) * weight


def delta_moment(delta: Array) -> Array:
    """The second moment of a task's inputs as its delta shows it: `tau^T tau`, up to a factor.

    Under gradient descent from a common base every row of a delta is a combination of inputs.

    Args:
        delta: (out, in).

    Returns:
        float64 (in, in).

    >>> import numpy as np
    >>> delta_moment(np.asarray([[1.0, 2.0]])).tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    xp = namespace(delta)
    # float32 products would leave eigenvalues below zero that the ridge does not reach.
    delta = xp.astype(delta, xp.float64)
    return delta.T @ delta


def unit_delta_moment(delta: Array) -> Array:
    """`delta_moment` over the squared length of the delta, which is its trace: every task counts alike.

    Args:
        delta: (out, in).

    Returns:
        float64 (in, in); zeros of a delta of zeros.

    >>> import numpy as np
    >>> unit_delta_moment(np.asarray([[3.0, 4.0]])).round(2).tolist()
    [[0.36, 0.48], [0.48, 0.64]]
    """
    moment = delta_moment(delta)
    trace = float(namespace(moment).linalg.trace(moment))
    return moment / trace if trace > 0 else moment


def centred(delta: Array) -> tuple[Array, Array]:
    """A delta less the mean of its rows, and that mean.

    Args:
        delta: (out, in).

    Returns:
        float64 (out, in) and (1, in).

    >>> import numpy as np
    >>> centred(np.asarray([[1.0, 2.0], [3.0, 2.0]]))
    (array([[-1.,  0.],
           [ 1.,  0.]]), array([[2., 2.]]))
    """
    xp = namespace(delta)
    delta = xp.astype(delta, xp.float64)
    mean = xp.mean(delta, axis=0, keepdims=True)
    return delta - mean, mean


def shrunk_gram(gram: Array, *, off_diagonal: float) -> Array:
    """A Gram matrix with its off-diagonal elements multiplied by `off_diagonal`, RegMean's alpha.

    Args:
        gram: (in, in).
        off_diagonal: from 0 to 1; 0 leaves the diagonal, 1 the matrix.

    Returns:
        float64 (in, in).

    >>> import numpy as np
    >>> shrunk_gram(np.asarray([[2.0, 4.0], [4.0, 8.0]]), off_diagonal=0.5).tolist()
    [[2.0, 2.0], [2.0, 8.0]]
    """
    xp = namespace(gram)
    gram = xp.astype(gram, xp.float64)
    return gram * (_unit(gram) * (1 - off_diagonal) + off_diagonal)


def diagonal_quotient(terms: Iterable[tuple[Array, Array]]) -> Array:
    """The least-squares solution where every element has a weight of its own: `sum_t F_t W_t / sum_t F_t`.

    Args:
        terms: a weight and its precisions of each model, of one shape, none negative; taken one at a time.

    Returns:
        fp32 of that shape; the mean where all precisions are zero.

    Raises:
        UsageError: no terms.

    >>> import numpy as np
    >>> one, two = np.asarray([0.0, 0.0]), np.asarray([4.0, 4.0])
    >>> diagonal_quotient([(one, np.asarray([1.0, 0.0])), (two, np.asarray([3.0, 0.0]))]).tolist()
    [3.0, 2.0]
    """
    num_models, products, precisions, total = 0, None, None, None
    for weight, precision in terms:
        xp = namespace(weight, precision)
        weight, precision = xp.astype(weight, xp.float64), xp.astype(precision, xp.float64)
        if products is None or precisions is None or total is None:
            products, precisions, total = weight * precision, precision, weight
        else:
            products += weight * precision
            precisions += precision
            total += weight
        num_models += 1
    if products is None or precisions is None or total is None:
        raise UsageError("there is nothing to merge", expected="at least one model")
    xp = namespace(products)
    known = precisions > 0
    quotient = products / xp.where(known, precisions, xp.ones_like(precisions))
    merged: Array = xp.astype(xp.where(known, quotient, total / num_models), xp.float32)
    return merged


def _unit(like: Array) -> Array:
    """The identity of a matrix's width, where the matrix is."""
    xp = namespace(like)
    unit: Array = xp.eye(like.shape[1], dtype=xp.float64, device=array_api_compat.device(like))
    return unit
