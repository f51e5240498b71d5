"""WUDI-merging: the direction that disturbs each task least where its own delta acts, in closed form.

Paper: Cheng et al., *Whoever started the interference should end it: guiding data-free model merging via
task vectors*, https://arxiv.org/abs/2503.08099.

    minimise over tau   sum_i |(tau - tau_i) tau_i^T|^2 / |tau_i|^2             for each matrix (out, in)
    tau   = (sum_i tau_i C_i) (sum_i C_i)^-1,   C_i = tau_i^T tau_i / |tau_i|^2 + ridge
    theta = theta_0 + scaling_factor * tau                default: scaling_factor 1, ridge 0.1

The objective is quadratic, so its minimiser is one solve (`least_squares`); every delta is read once. The
paper, its code (300 steps) and FusionBench 0.2.33 (400 steps) go there by Adam at a learning rate of 1e-5
from the sum of the deltas and stop early, which regularises: this result has a lower loss than theirs and
another length, so a scaling factor tuned for the one does not fit the other. A larger ridge regularises
here, up to the mean of the deltas. The exact minimiser is no merge: where the deltas are short it takes steps
many times their length. On the eight tasks of the built-in world ridge 1e-6 left no answer readable, and
ridges from 0.01 to 1 scored among the best of all methods. `covariance` is the same without the division by
|tau_i|^2, so that longer deltas count more; RegMean takes C_i from data.

In input directions that no delta uses (LoRA) the result is zero, as every delta is. One model, or equal
models, give that delta. The embedding, the head and position tables are left out unless `embeddings` is
set; FusionBench takes every tensor with two axes. These and all other tensors get the mean of the deltas.
mergekit has no such method.

This module knows nothing of files or names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array
from ramekin.merge.least_squares import least_squares, unit_delta_moment
from ramekin.merge.matrices import by_matrix, matrix_unit
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import flag, number, parameter, settle
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "WudiSettings", "wudi"]


@final
@dataclass(frozen=True, kw_only=True)
class WudiSettings:
    """What `wudi` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the direction."""
    ridge: float = 0.1
    """What is added to every C_i, as a share of their mean eigenvalue; large values give the mean."""
    embeddings: bool = False
    """Take the embedding, the head and position tables by the method too."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), ridge=number(low=1e-9), embeddings=flag())


def wudi(deltas: Sequence[Array], *, ridge: float = 0.1) -> Array:
    """The direction of least interference, for one matrix.

    Args:
        deltas: tuned minus base of each model, (out, in); each is asked for once.
        ridge: above 0; see the module.

    Returns:
        fp32 (out, in), without a scaling factor.

    Raises:
        UsageError: no deltas, or a ridge that is not above 0.

    >>> import numpy as np
    >>> deltas = [np.asarray([[2.0, 0.0]]), np.asarray([[0.0, 1.0]])]
    >>> wudi(deltas, ridge=1e-6).round(3).tolist()  # each acts on inputs of its own, so both stay whole
    [[2.0, 1.0]]
    """
    return least_squares(((delta, unit_delta_moment(delta)) for delta in deltas), ridge=ridge)


def _prepare(stream: ModelStream, settings: WudiSettings) -> Prepared:
    return by_matrix(
        stream, lambda deltas: wudi(deltas, ridge=settings.ridge), embeddings=settings.embeddings
    )


METHOD = Method(
    name="wudi",
    summary="the direction that disturbs each task least where its delta acts, in closed form",
    paper="https://arxiv.org/abs/2503.08099",
    function=wudi,
    settings=WudiSettings,
    prepare=_prepare,
    unit=lambda settings, name, shape: matrix_unit(name, shape, embeddings=settings.embeddings),
)
