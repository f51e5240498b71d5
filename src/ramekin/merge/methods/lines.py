"""LiNeS: task arithmetic whose scaling factor grows with the depth of the layer.

Paper: Wang et al., *LiNeS: post-training layer scaling prevents forgetting and enhances model merging*,
https://arxiv.org/abs/2410.17146.

    factor(l) = alpha + beta * (l - 1) / (L - 1)          layer l of L; alpha for what is in no layer
    theta     = theta_0 + factor(l) * sum_i(delta_i)      default: alpha 1/N of N models, beta 0.5

Shallow layers hold what all tasks share and are kept near the base; deep ones differ by task. alpha 1/N is
the authors' choice for summed deltas; beta they choose on a validation set. For one model they take beta =
1 - alpha, which gives the deepest layer whole. Their public code is for vision encoders, which have one stack
of layers. Here encoder and decoder are counted each on its own (along=stack), or the decoder as the deeper
half (along=network). Any other method gets the latter by `scaling_factor={depth: [alpha, alpha + beta]}`, but
for what is in no layer: the head, for one, then has the last factor.

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from ramekin.merge.array import Array
from ramekin.merge.combine import summed
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import layer_places
from ramekin.merge.settings import choice, number, settle
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "LinesSettings", "lines"]


@final
@dataclass(frozen=True, kw_only=True)
class LinesSettings:
    """What `lines` can be told."""

    alpha: float | None = None
    """The factor of the first layer and of what is in none; None takes one over the number of models."""
    beta: float = 0.5
    """How much larger the last layer's factor is."""
    along: Literal["stack", "network"] = "stack"
    """Whether encoder and decoder each go from first to last, or the one before the other."""

    def __post_init__(self) -> None:
        settle(self, alpha=number(optional=True), beta=number(), along=choice("stack", "network"))


def lines(
    base: Array, tuned: Sequence[Array], *, place: float | None, alpha: float | None = None, beta: float = 0.5
) -> Array:
    """One tensor by task arithmetic with the factor of its layer.

    Args:
        base: the tensor of the model all others were tuned from.
        tuned: the same tensor of each tuned model.
        place: where its layer is, from 0 for the first to 1 for the last; None is in no layer.
        alpha: the factor of the first layer; None takes one over the number of models.
        beta: how much larger the last layer's factor is.

    >>> import numpy as np
    >>> lines(np.asarray([0.0]), [np.asarray([1.0]), np.asarray([1.0])], place=1.0, alpha=0.25, beta=0.5)
    array([1.5])
    """
    first = 1 / len(tuned) if alpha is None else alpha
    factor = first + beta * (place or 0.0)
    return base + summed([each - base for each in tuned]) * factor


def _prepare(stream: ModelStream, settings: LinesSettings) -> Prepared:
    places = layer_places(stream.names, by_stack=settings.along == "stack")

    def combine(chunk: Chunk) -> Array:
        assert chunk.base is not None  # needs_base
        place = places.get(chunk.name)
        return lines(chunk.base, chunk.tuned, place=place, alpha=settings.alpha, beta=settings.beta)

    return Prepared(combine)


METHOD = Method(
    name="lines",
    summary="task arithmetic with a scaling factor that grows with depth",
    paper="https://arxiv.org/abs/2410.17146",
    function=lines,
    settings=LinesSettings,
    prepare=_prepare,
    linear=lambda settings: True,
)
