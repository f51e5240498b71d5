"""ACE-merging: data-free covariances with their scales evened out, a shared prior and a refined spectrum.

Paper: Xu et al., *ACE-Merging: data-free model merging with adaptive covariance estimation* (CVPR 2026),
https://arxiv.org/abs/2603.02945.

    W_i  = tau_i less the mean of its rows                                      for each matrix (out, in)
    C_i  = W_i^T W_i
    gamma = Var_i(log |tau_i|^2) / Mean_i(log |tau_i|^2)^2;  uneven = gamma > threshold
    s_i  = 1 / tr C_i if uneven, else 1
    S    = sum_i s_i (C_i + epsilon I)
    c    = the mean of the rows of sum_i s_i C_i, divided by Mean_i |tau_i|^2 if uneven
    pre  = (sum_i W_i s_i (C_i + epsilon I)) (S + 1 c^T)^-1
    tau  = pre                                                        if not uneven, else
    tau  = pre + isotropic_k(pre + sum_i tau_i (s_i C_i - S / N))     k = refined_fraction * min(out, in)
    theta = theta_0 + scaling_factor * tau
    default: scaling_factor 1, epsilon 1e-5, threshold 0.3, refined_fraction 0.3

isotropic_k keeps the k leading singular directions, each at the mean of their singular values. What is from
where: the equations are those of the authors' code, and of public notes on the paper with its equation
numbers (7 to 19), which agree with the code. The defaults are the paper's as a public summary gives them
(epsilon 4e-2 for GPT-2, 2e-4 for RoBERTa-base, 1e-5 else); the preset `official_code` has the code's 1e-2.
The variance is over N - 1, as in the code. One public summary has tau_i for W_i in `pre`. Our reading: a
model whose delta is zero, or has equal rows, tells nothing of its inputs and is left out of all sums (the
code divides by 1e-12 there and gives enormous values); k is at least 1; and isotropic_k leaves out
directions that are rounding.

Two traps of the method itself. epsilon has the unit of a squared length and does not follow the scale of
the deltas: in uneven matrices with a |tau_i|^2 far below it the correction outgrows `pre`. And gamma
divides by a logarithm that is 0 where |tau_i|^2 is about 1, so matrices of that length count as uneven. The
mean of the rows is lost in `pre`, so one model does not give its own delta back.

`covariance` is this without centring, evening out, prior and refinement; `wudi` always divides by the
trace. The embedding, the head and position tables are left out unless `embeddings` is set. These and all
other tensors get the mean of the deltas. Neither FusionBench 0.2.33 nor mergekit has it.

This module knows nothing of files or names.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import summed
from ramekin.merge.least_squares import centred, identity_moment
from ramekin.merge.matrices import by_matrix, matrix_unit
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import flag, number, parameter, settle, share
from ramekin.merge.singular import isotropic
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "AceSettings", "ace", "heterogeneity"]


@final
@dataclass(frozen=True, kw_only=True)
class AceSettings:
    """What `ace` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the direction."""
    epsilon: float = 1e-5
    """What is added to the diagonal of every C_i, in the unit of a squared delta."""
    threshold: float = 0.3
    """The heterogeneity above which scales are evened out and the spectrum is refined."""
    refined_fraction: float = 0.3
    """The share of the singular directions that the refinement keeps."""
    embeddings: bool = False
    """Take the embedding, the head and position tables by the method too."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(
            self,
            scaling_factor=parameter(),
            epsilon=number(low=1e-12),
            threshold=number(low=0),
            refined_fraction=share(),
            embeddings=flag(),
        )


def ace(
    deltas: Sequence[Array],
    *,
    epsilon: float = 1e-5,
    threshold: float = 0.3,
    refined_fraction: float = 0.3,
) -> Array:
    """The direction of ACE-merging, for one matrix.

    Args:
        deltas: tuned minus base of each model, (out, in); each is asked for once.
        epsilon: what is added to the diagonal of every covariance, above 0.
        threshold: the heterogeneity above which scales are evened out and the spectrum is refined.
        refined_fraction: the share of the singular directions that the refinement keeps.

    Returns:
        fp32 (out, in), without a scaling factor; zeros where no delta tells anything.

    Raises:
        UsageError: no deltas, or an epsilon that is not above 0.

    >>> import numpy as np
    >>> one, two = np.asarray([[2.0, 0.0], [-2.0, 0.0]]), np.asarray([[0.0, 1.0], [0.0, -1.0]])
    >>> ace([one, two], threshold=1.0).round(2).tolist()
    [[1.25, 0.25], [-1.25, -0.25]]
    """
    if not len(deltas):
        raise UsageError("there is nothing to merge", expected="at least one model")
    if not epsilon > 0:
        raise UsageError("epsilon must be above 0", expected="a small number such as 1e-5", got=str(epsilon))
    like, energies, weights = None, [], []
    sums: tuple[Array, ...] | None = None
    for delta in deltas:
        xp = namespace(delta)
        rows, mean = centred(delta)
        moment = rows.T @ rows
        trace = float(xp.linalg.trace(moment))
        like = rows
        if not trace > 0:
            continue
        energies.append(float(xp.linalg.matrix_norm(rows + mean)) ** 2)
        weights.append(1 / trace)
        # Which scale is right is known after the last delta: both sums are kept, so that each is read once.
        plain = (moment, rows @ moment, rows)
        terms = (*plain, *(each / trace for each in plain), mean @ moment / trace, mean)
        sums = terms if sums is None else tuple(summed([a, b]) for a, b in zip(sums, terms, strict=True))
    assert like is not None
    xp = namespace(like)
    if sums is None:
        zeros: Array = xp.zeros_like(like, dtype=xp.float32)
        return zeros
    is_uneven = heterogeneity(energies) > threshold
    moment, product, rows = sums[3:6] if is_uneven else sums[:3]
    ridge = epsilon * (sum(weights) if is_uneven else len(weights))
    regular = moment + identity_moment(moment, weight=ridge)
    prior = xp.mean(moment, axis=0, keepdims=True) / (statistics.fmean(energies) if is_uneven else 1.0)
    # c is the mean row of a matrix that commutes with S, so 1 + c^T S^-1 1 >= 1: never singular.
    merged = xp.linalg.solve((regular + prior).T, (product + rows * epsilon).T).T
    if is_uneven:
        deviation = product + sums[6] - (sums[2] + sums[7]) @ regular / len(weights)
        count = max(1, int(min(like.shape) * refined_fraction))
        merged = merged + isotropic(merged + deviation, count=count)
    direction: Array = xp.astype(merged, xp.float32)
    return direction


def heterogeneity(energies: Sequence[float]) -> float:
    """How unequal the lengths of deltas are: the variance of log |tau_i|^2 over its squared mean.

    Args:
        energies: |tau_i|^2 of each model, above 0.

    Returns:
        gamma; 0 for a single model.

    >>> round(heterogeneity([0.01, 0.01]), 3), round(heterogeneity([0.01, 0.5]), 3)
    (0.0, 1.09)
    """
    if len(energies) < 2:
        return 0.0
    logarithms = [math.log(energy) for energy in energies]
    return statistics.variance(logarithms) / (statistics.fmean(logarithms) ** 2 + 1e-12)


def _prepare(stream: ModelStream, settings: AceSettings) -> Prepared:
    return by_matrix(
        stream,
        lambda deltas: ace(
            deltas,
            epsilon=settings.epsilon,
            threshold=settings.threshold,
            refined_fraction=settings.refined_fraction,
        ),
        embeddings=settings.embeddings,
    )


METHOD = Method(
    name="ace",
    summary="data-free covariances, evened out, with a shared prior and a refined spectrum",
    paper="https://arxiv.org/abs/2603.02945",
    function=ace,
    settings=AceSettings,
    prepare=_prepare,
    presets={"official_code": {"epsilon": 1e-2}, "paper": {}},
    unit=lambda settings, name, shape: matrix_unit(name, shape, embeddings=settings.embeddings),
)
