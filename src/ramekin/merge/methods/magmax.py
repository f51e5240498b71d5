"""MagMax: of each element take the delta that is largest in magnitude.

Paper: Marczak et al., *MagMax: leveraging model merging for seamless continual learning*,
https://arxiv.org/abs/2407.06322.

    m       = delta_j with j = argmax_i abs(delta_i), element by element
    theta   = theta_0 + scaling_factor * m                                  default: scaling_factor 0.5

Of equal magnitudes the later model's is taken, as in FusionBench 0.2.33. With one model it is task
arithmetic. EMR's unified vector takes the largest of those that have the sign of the sum.

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array, namespace
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import parameter, settle
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "MagMaxSettings", "magmax"]


@final
@dataclass(frozen=True, kw_only=True)
class MagMaxSettings:
    """What `magmax` can be told."""

    scaling_factor: Parameter = Parameter.of(0.5)
    """How far to go along the chosen deltas."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter())


def magmax(deltas: Sequence[Array]) -> Array:
    """The largest of one tensor's deltas, element by element.

    Args:
        deltas: tuned minus base of each model, of one shape.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> import numpy as np
    >>> magmax([np.asarray([1.0, -3.0]), np.asarray([-2.0, 1.0])])
    array([-2., -3.])
    """
    largest = deltas[0] * 1.0
    for place in range(1, len(deltas)):
        delta = deltas[place]
        xp = namespace(delta)
        largest = xp.where(xp.abs(delta) >= xp.abs(largest), delta, largest)
    return largest


def _prepare(stream: ModelStream, settings: MagMaxSettings) -> Prepared:
    return Prepared(lambda chunk: magmax(chunk.deltas))


METHOD = Method(
    name="magmax",
    summary="the largest delta of each element",
    paper="https://arxiv.org/abs/2407.06322",
    function=magmax,
    settings=MagMaxSettings,
    prepare=_prepare,
)
