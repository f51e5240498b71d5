"""MetaGPT: task arithmetic with a coefficient for each model, from the lengths of the deltas alone.

Paper: Zhou et al., *MetaGPT: merging large language models using model exclusive task arithmetic*,
https://arxiv.org/abs/2406.11385.

    lambda_i = sum(delta_i^2) / sum_k(sum(delta_k^2))
    theta    = theta_0 + scaling_factor * sum_i(lambda_i * delta_i)         default: scaling_factor 1

The coefficients minimise the average difference of the losses from those of the tuned models, where deltas
are orthogonal and the models linear around the base. They add to one; deltas of one length give the average.
The lengths are those of the whole model, each tensor counted once. mergekit and FusionBench do not have it.

This module knows nothing of files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import summed
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import parameter, settle
from ramekin.merge.stream import Chunk, ModelStream
from ramekin.merge.sums import tensor_sums

__all__ = ["METHOD", "MetaGptSettings", "coefficients", "metagpt"]


@final
@dataclass(frozen=True, kw_only=True)
class MetaGptSettings:
    """What `metagpt` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the weighted sum."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter())


def metagpt(deltas: Sequence[Array]) -> Array:
    """The deltas of a model of one tensor, weighted by their squared lengths.

    Args:
        deltas: tuned minus base of each model, of one shape.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> import numpy as np
    >>> metagpt([np.asarray([1.0, 0.0]), np.asarray([0.0, 3.0])])
    array([0.1, 2.7])
    """
    squares = [float(namespace(delta).sum(delta * delta)) for delta in deltas]
    return summed(deltas, coefficients(squares))


def coefficients(squares: Sequence[float]) -> tuple[float, ...]:
    """The share of each model's squared length in that of all; even shares where nothing was learned.

    >>> coefficients([1.0, 3.0]), coefficients([0.0, 0.0])
    ((0.25, 0.75), (0.5, 0.5))
    """
    if not squares:
        raise UsageError("there is nothing to merge", expected="at least one model")
    total = math.fsum(squares)
    return tuple(square / total if total else 1 / len(squares) for square in squares)


def _prepare(stream: ModelStream, settings: MetaGptSettings) -> Prepared:
    def squared(chunk: Chunk) -> list[Array]:
        return [delta * delta for delta in chunk.deltas]

    sums = tensor_sums(stream, squared)
    weights = coefficients([math.fsum(each) for each in zip(*sums.values(), strict=True)])
    figures = {"coefficients": dict(zip(stream.labels, weights, strict=True))}
    return Prepared(lambda chunk: summed(chunk.deltas, weights), lambda: figures)


METHOD = Method(
    name="metagpt",
    summary="deltas weighted by their squared lengths",
    paper="https://arxiv.org/abs/2406.11385",
    function=metagpt,
    settings=MetaGptSettings,
    prepare=_prepare,
    num_measure_passes=lambda settings: 1,
    linear=lambda settings: True,
)
