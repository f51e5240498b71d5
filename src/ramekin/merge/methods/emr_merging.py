"""EMR-merging's unified vector: the sign of the sum, with the largest magnitude that has it.

Paper: Huang et al., *EMR-Merging: tuning-free high-performance model merging*,
https://arxiv.org/abs/2405.17461.

    gamma   = sign(sum_i(delta_i))
    unified = gamma * max_i(abs(delta_i) where sign(delta_i) = gamma)
    theta   = theta_0 + scaling_factor * unified            default: scaling_factor 1, zero_sign none

This is the one model that EMR makes of all. The paper keeps a mask and a rescaler for each task beside it and
forms a model a task from them, which is no longer one checkpoint; FusionBench 0.2.33 does that. Where the
deltas add to zero it is the base; FusionBench takes minus for the sign there (zero_sign=negative, preset
fusionbench). It is TIES without trimming and with merge_func max, where the deltas do not cancel.

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from ramekin.merge.array import Array
from ramekin.merge.combine import elected
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import choice, parameter, settle
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "EmrSettings", "emr_merging"]

ZeroSign = Literal["none", "negative"]


@final
@dataclass(frozen=True, kw_only=True)
class EmrSettings:
    """What `emr_merging` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the unified vector."""
    zero_sign: ZeroSign = "none"
    """The sign elected where the deltas add to zero: none, which leaves the base, or minus."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), zero_sign=choice("none", "negative"))


def emr_merging(deltas: Sequence[Array], *, zero_sign: ZeroSign = "none") -> Array:
    """The unified vector of one tensor's deltas.

    Args:
        deltas: tuned minus base of each model, of one shape.
        zero_sign: the sign elected where they add to zero; with `none` the vector is zero there.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> import numpy as np
    >>> emr_merging([np.asarray([1.0, -3.0, 1.0]), np.asarray([-2.0, 1.0, 5.0])])
    array([-2., -3.,  5.])
    """
    return elected(deltas, merge_func="max", zero_sign=0 if zero_sign == "none" else -1)


def _prepare(stream: ModelStream, settings: EmrSettings) -> Prepared:
    return Prepared(lambda chunk: emr_merging(chunk.deltas, zero_sign=settings.zero_sign))


METHOD = Method(
    name="emr_merging",
    summary="EMR's unified vector: the sign of the sum, the largest agreeing magnitude",
    paper="https://arxiv.org/abs/2405.17461",
    function=emr_merging,
    settings=EmrSettings,
    prepare=_prepare,
    presets={"fusionbench": {"zero_sign": "negative"}},
)
