"""Consensus task arithmetic: add only what at least two tasks hold on to (TALL masks).

Paper: Wang et al., *Localizing task information for improved model merging and compression*,
https://arxiv.org/abs/2405.07813.

    tau     = sum_i(delta_i)
    mask_i  = 1 where abs(delta_i) >= tall_lambda * abs(tau - delta_i), else 0
    keep    = 1 where sum_i(mask_i) >= agreeing, else 0
    theta   = theta_0 + scaling_factor * keep * tau

                                           default: tall_lambda 0.4, agreeing 2, scaling_factor 0.3

An element that one task alone holds on to is selfish, one that none does catastrophic: neither is kept. With
agreeing 0 it is task arithmetic. The paper picks tall_lambda for each task on a validation set (0.2 to 0.6);
`tall_lambda` takes one number a model. The authors' code has > in the mask, which differs for equal numbers
only. FusionBench 0.2.33 has functions for the masks and their consensus, which agree with this but for that,
and no merge by them: what makes the masks of all tasks gives each the last one's, and the class that makes a
model for each task takes the distance between a delta and the base's weights. mergekit has neither.

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import summed
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter, PerModel, for_models
from ramekin.merge.settings import parameter, per_model, settle, whole
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "ConsensusSettings", "consensus_ta"]


@final
@dataclass(frozen=True, kw_only=True)
class ConsensusSettings:
    """What `consensus_ta` can be told."""

    scaling_factor: Parameter = Parameter.of(0.3)
    """How far to go along the sum of what is kept."""
    tall_lambda: PerModel = (Parameter.of(0.4),)
    """How large a model's delta must be, beside those of all others together, to be held on to."""
    agreeing: int = 2
    """The number of models that must hold on to an element."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), tall_lambda=per_model(low=0), agreeing=whole())


def consensus_ta(
    deltas: Sequence[Array], *, tall_lambda: float | Sequence[float] = 0.4, agreeing: int = 2
) -> Array:
    """The sum of one tensor's deltas where enough of the models hold on to it.

    Args:
        deltas: tuned minus base of each model, of one shape.
        tall_lambda: how large a delta must be beside all others together; one number, or one a model.
        agreeing: the number of models that must hold on to an element.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> import numpy as np
    >>> consensus_ta([np.asarray([1.0, 1.0, 0.0]), np.asarray([1.0, 0.0, 0.1]), np.asarray([0.1, 0.0, 0.1])])
    array([2.1, 0. , 0.2])
    """
    factors = [tall_lambda] * len(deltas) if isinstance(tall_lambda, float | int) else tall_lambda
    total = summed(deltas)
    xp = namespace(total)
    votes = xp.zeros_like(total)
    for delta, factor in zip(deltas, factors, strict=True):
        votes += xp.astype(xp.abs(delta) >= factor * xp.abs(total - delta), total.dtype)
    kept: Array = votes >= agreeing
    return total * kept


def _prepare(stream: ModelStream, settings: ConsensusSettings) -> Prepared:
    lambdas = for_models(settings.tall_lambda, stream.num_tuned, key="tall_lambda")

    def combine(chunk: Chunk) -> Array:
        own = [each.at(chunk.name, chunk.depth) for each in lambdas]
        return consensus_ta(chunk.deltas, tall_lambda=own, agreeing=settings.agreeing)

    return Prepared(combine)


def _check(settings: ConsensusSettings, num_models: int) -> None:
    for_models(settings.tall_lambda, num_models, key="tall_lambda")


METHOD = Method(
    name="consensus_ta",
    summary="the sum of the deltas where at least two tasks hold on to it",
    paper="https://arxiv.org/abs/2405.07813",
    function=consensus_ta,
    settings=ConsensusSettings,
    prepare=_prepare,
    check=_check,
)
