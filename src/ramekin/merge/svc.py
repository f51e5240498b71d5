"""Singular value calibration: a merged direction with what several tasks share counted once.

Paper: Li et al., *When shared knowledge hurts: spectral over-accumulation in model merging*,
https://arxiv.org/abs/2602.05536.

    U S V^T = SVD(tau)                                        tau: a merged direction, (out, in)
    s_ri    = <u_r^T tau, u_r^T tau_i> / |u_r^T tau_i|^2      how often task i is in direction r already
    S_r    <- S_r * N / sum_i max(alpha, s_ri)

It follows another method, matrix by matrix. The authors' script takes alpha 1/N, FusionBench 0.2.33 takes
0.1 after the average, task arithmetic, TIES, DARE and Iso-C and 0.2 after Iso-CTS; both take 1 after
TSV-merge, FusionBench also after WUDI. Tensors that are no matrices stay as they are; the authors' code
leaves out embeddings, FusionBench calibrates every tensor with two axes (`embeddings=true`, preset
`fusionbench`, which does not choose an alpha).

The result does not depend on the length of tau as long as all s_ri are above alpha, and only through
max(alpha, ...) otherwise. So hand in the direction times its scaling factor, as the authors' code and
FusionBench do, and add the result to the base as it is: a scaling factor belongs before the calibration,
not after it.

A task that is not in direction r at all, but for rounding, has no s_ri and counts as alpha. FusionBench
reaches the same by dividing by at least 1e-12, which also cuts in on real responses shorter than 1e-6; here
what counts as rounding is measured by the length of tau_i. In all other cases the two agree to rounding.
What is rounding in tau itself is left out.

After Iso-C and Iso-CTS all singular values of tau are equal, and every basis is one of singular vectors:
which one is found, and with it the result, is a matter of rounding, here as in any other program.

This module knows nothing of files, names or methods.
"""

from collections.abc import Sequence

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.singular import ROUNDING, triplets

__all__ = ["calibrate"]


def calibrate(direction: Array, deltas: Sequence[Array], *, alpha: float) -> Array:
    """A merged direction with its singular values divided by how often the tasks are in each of them.

    Args:
        direction: what is added to the base, the scaling factor in it, (out, in).
        deltas: tuned minus base of each model, of that shape; each is asked for once.
        alpha: above 0; the least that a task counts in a direction.

    Returns:
        fp32 (out, in), to be added to the base as it is.

    Raises:
        UsageError: no deltas, or an alpha that is not above 0.

    >>> import numpy as np
    >>> one, two = np.diag([4.0, 1.0]), np.diag([4.0, 3.0])
    >>> np.diag(calibrate(one + two, [one, two], alpha=0.5)).round(4).tolist()  # 8 / 2 and 4 / mean(4, 4/3)
    [4.0, 1.5]
    """
    if not len(deltas):
        raise UsageError("there is nothing to calibrate by", expected="at least one model")
    if not alpha > 0:
        raise UsageError("alpha must be above 0", expected="a number such as 0.1", got=str(alpha))
    xp = namespace(direction)
    found = triplets(direction)
    merged = found.right * found.values[:, None]
    counts = xp.zeros_like(found.values)
    for delta in deltas:
        delta = xp.astype(delta, xp.float64)
        response = found.left.T @ delta
        squares = xp.sum(response * response, axis=1)
        floor = (ROUNDING * float(xp.linalg.matrix_norm(delta))) ** 2
        present = squares > floor
        shares = xp.sum(merged * response, axis=1) / xp.where(present, squares, xp.ones_like(squares))
        at_least = xp.ones_like(squares) * alpha
        counts = counts + xp.where(present & (shares > alpha), shares, at_least)
    calibrated = found.left * (found.values * len(deltas) / counts) @ found.right
    result: Array = xp.astype(calibrated, xp.float32)
    return result
