"""ExPO: go beyond a tuned model in the direction in which it was tuned.

Paper: Zheng et al., *Model extrapolation expedites alignment* (first: *Weak-to-strong extrapolation expedites
alignment*), https://arxiv.org/abs/2404.16792.

    theta   = theta_1 + extrapolation * (theta_1 - theta_0)                 default: extrapolation 0.1

The base is what the model was tuned from (in the paper a supervised model, and the tuned one is aligned by
preferences). It is task arithmetic with one model and scaling_factor 1 + extrapolation. Of several models the
mean is taken. FusionBench calls it `expo`, with the same default.

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array
from ramekin.merge.combine import summed
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import parameter, settle
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "ExpoSettings", "expo"]


@final
@dataclass(frozen=True, kw_only=True)
class ExpoSettings:
    """What `expo` can be told."""

    extrapolation: Parameter = Parameter.of(0.1)
    """How far beyond the tuned model to go, as a share of the way from the base to it."""

    def __post_init__(self) -> None:
        settle(self, extrapolation=parameter())


def expo(base: Array, tuned: Sequence[Array], *, extrapolation: float = 0.1) -> Array:
    """One tensor beyond the mean of the tuned ones.

    Args:
        base: the tensor of the model the others were tuned from.
        tuned: the same tensor of the tuned models; mostly of one.
        extrapolation: how far beyond, as a share of the way.

    >>> import numpy as np
    >>> expo(np.asarray([1.0]), [np.asarray([2.0])], extrapolation=0.5)
    array([2.5])
    """
    mean = summed(tuned) / len(tuned)
    return mean + (mean - base) * extrapolation


def _prepare(stream: ModelStream, settings: ExpoSettings) -> Prepared:
    def combine(chunk: Chunk) -> Array:
        assert chunk.base is not None  # needs_base
        factor = settings.extrapolation.at(chunk.name, chunk.depth)
        return expo(chunk.base, chunk.tuned, extrapolation=factor)

    return Prepared(combine)


METHOD = Method(
    name="expo",
    summary="beyond a tuned model in the direction in which it was tuned",
    paper="https://arxiv.org/abs/2404.16792",
    function=expo,
    settings=ExpoSettings,
    prepare=_prepare,
    linear=lambda settings: True,
)
