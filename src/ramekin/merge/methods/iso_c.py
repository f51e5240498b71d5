"""Iso-C: the sum of the deltas with all its singular values made equal.

Paper: Marczak et al., *No task left behind: isotropic model merging with common and task-specific
subspaces*, https://arxiv.org/abs/2502.04959.

    U S V^T = SVD(sum_i tau_i)                                                  for each matrix (out, in)
    tau     = mean(S) * U V^T
    theta   = theta_0 + scaling_factor * tau              default: scaling_factor 1

The authors' code searches the scaling factor on validation data. Task arithmetic is the same without the
levelling; Iso-CTS gives part of the directions to single tasks first; one model does not give its own delta
back.

Directions of a singular value that is zero but for rounding are left out of U V^T; mean(S) counts their
zeros. So for a sum of full rank this is the paper, its code and FusionBench 0.2.33 to rounding. For a sum
of lower rank (LoRA) theirs have directions at mean(S) there that no delta has and that depend on the
library; in the directions of the deltas the results are equal.

The embedding, the head and position tables are left out unless `embeddings` is set; the preset
`fusionbench` sets it, since FusionBench takes every tensor with two axes. These and all other tensors get
the mean of the deltas. mergekit has no such method.

This module knows nothing of files or names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import summed
from ramekin.merge.matrices import by_matrix, matrix_unit
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import flag, parameter, settle
from ramekin.merge.singular import isotropic
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "IsoCSettings", "iso_c"]


@final
@dataclass(frozen=True, kw_only=True)
class IsoCSettings:
    """What `iso_c` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the direction."""
    embeddings: bool = False
    """Take the embedding, the head and position tables by the method too."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), embeddings=flag())


def iso_c(deltas: Sequence[Array]) -> Array:
    """The sum of the deltas with equal singular values, for one matrix.

    Args:
        deltas: tuned minus base of each model, (out, in); each is asked for once.

    Returns:
        fp32 (out, in), without a scaling factor.

    Raises:
        UsageError: no deltas.

    >>> import numpy as np
    >>> iso_c([np.diag([2.0, 0.0]), np.diag([1.0, 1.0])]).round(4).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    total = summed(deltas, in_float64=True)
    xp = namespace(total)
    direction: Array = xp.astype(isotropic(total), xp.float32)
    return direction


def _prepare(stream: ModelStream, settings: IsoCSettings) -> Prepared:
    return by_matrix(stream, iso_c, embeddings=settings.embeddings)


METHOD = Method(
    name="iso_c",
    summary="the sum of the deltas with all singular values made equal",
    paper="https://arxiv.org/abs/2502.04959",
    function=iso_c,
    settings=IsoCSettings,
    prepare=_prepare,
    presets={"fusionbench": {"embeddings": True}, "paper": {}},
    unit=lambda settings, name, shape: matrix_unit(name, shape, embeddings=settings.embeddings),
)
