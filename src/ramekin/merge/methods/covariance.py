"""Merging by data-free covariance: RegMean with the second moments of the inputs read off the deltas.

Paper: Hameed et al., *Model merging via data-free covariance estimation*, https://arxiv.org/abs/2604.01329
(ACTMat).

    C_i   = tau_i^T tau_i + ridge                                               for each matrix (out, in)
    tau   = (sum_i tau_i C_i) (sum_i C_i)^-1
    theta = theta_0 + scaling_factor * tau                default: scaling_factor 1, ridge 0.1

The estimate, no normalisation of it, the factor 1 and the mean for all other tensors are those of the
authors' code. That code inverts with a pseudo-inverse in float32, which sets to zero all directions below
in * 1.2e-7 of the largest eigenvalue; here a ridge stands in its place, which keeps them. The two agree
for a small ridge where the sum of the C_i is well conditioned, and in the directions that no delta uses
(LoRA), where both are zero. A small ridge makes steps many times the length of the deltas, as in `wudi`,
hence the default. The code leaves out matrices with a side of 20,000 or more; here the embedding, the head
and position tables are left out by name unless `embeddings` is set.

Longer deltas count more, with the square of their length: `wudi` divides that out, ACE only where the
lengths differ much. One model, or equal models, give that delta. Tensors that are not taken get the mean of
the deltas. Neither FusionBench 0.2.33 nor mergekit has it.

This module knows nothing of files or names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array
from ramekin.merge.least_squares import delta_moment, least_squares
from ramekin.merge.matrices import by_matrix, matrix_unit
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import flag, number, parameter, settle
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "CovarianceSettings", "covariance"]


@final
@dataclass(frozen=True, kw_only=True)
class CovarianceSettings:
    """What `covariance` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the direction."""
    ridge: float = 0.1
    """What is added to every C_i, as a share of their mean eigenvalue; large values give the mean."""
    embeddings: bool = False
    """Take the embedding, the head and position tables by the method too."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), ridge=number(low=1e-9), embeddings=flag())


def covariance(deltas: Sequence[Array], *, ridge: float = 0.1) -> Array:
    """The least-squares direction under the second moments that the deltas show, for one matrix.

    Args:
        deltas: tuned minus base of each model, (out, in); each is asked for once.
        ridge: above 0; see the module.

    Returns:
        fp32 (out, in), without a scaling factor.

    Raises:
        UsageError: no deltas, or a ridge that is not above 0.

    >>> import numpy as np
    >>> deltas = [np.asarray([[1.0]]), np.asarray([[3.0]])]
    >>> f"{covariance(deltas, ridge=1e-6)[0, 0]:.3f}"  # (1 * 1 + 3 * 9) / (1 + 9)
    '2.800'
    """
    return least_squares(((delta, delta_moment(delta)) for delta in deltas), ridge=ridge)


def _prepare(stream: ModelStream, settings: CovarianceSettings) -> Prepared:
    return by_matrix(
        stream, lambda deltas: covariance(deltas, ridge=settings.ridge), embeddings=settings.embeddings
    )


METHOD = Method(
    name="covariance",
    summary="least squares under input covariances estimated from the deltas, without data",
    paper="https://arxiv.org/abs/2604.01329",
    function=covariance,
    settings=CovarianceSettings,
    prepare=_prepare,
    unit=lambda settings, name, shape: matrix_unit(name, shape, embeddings=settings.embeddings),
)
