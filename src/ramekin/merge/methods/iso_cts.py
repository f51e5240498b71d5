"""Iso-CTS: equal singular values over directions common to all tasks and directions of each task alone.

Paper: Marczak et al., *No task left behind: isotropic model merging with common and task-specific
subspaces*, https://arxiv.org/abs/2502.04959.

    k common directions:    U_c S_c V_c^T = SVD(sum_i tau_i), the first k                r = min(out, in)
    m more of each task:    U_i S_i V_i^T = SVD((I - U_c U_c^T) tau_i), the first m      N models
    U = [U_1 ... U_N U_c], V likewise;  U' and V' = the nearest orthonormal matrices
    tau   = mean of the r singular values * U' V'^T
    theta = theta_0 + scaling_factor * tau     default: scaling_factor 1, common_space_fraction 0.8

k + N m = r: m = round((r - int(common_space_fraction * r)) / N), an even number where two are equally near,
k is the rest. The authors' code searches the scaling factor on validation data. A fraction of 1 is Iso-C.
One model does not give its own delta back. Every delta is read twice: for the sum, and for what is left of
it beside the common directions.

Directions whose singular value is zero but for rounding are left out: in the sum, in what is left of a
delta (measured by the delta's own length), and in U and V. The mean is over all r and counts their zeros.
Where all have full rank this is the paper's code and FusionBench 0.2.33 to rounding; where they have not
(LoRA, equal models) theirs fill up with directions that depend on the library.

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
from ramekin.merge.settings import flag, parameter, settle, share
from ramekin.merge.singular import ROUNDING, polar, triplets
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "IsoCtsSettings", "iso_cts", "space_sizes"]


@final
@dataclass(frozen=True, kw_only=True)
class IsoCtsSettings:
    """What `iso_cts` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the direction."""
    common_space_fraction: float = 0.8
    """The share of the directions that are common to all tasks."""
    embeddings: bool = False
    """Take the embedding, the head and position tables by the method too."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), common_space_fraction=share(), embeddings=flag())


def iso_cts(deltas: Sequence[Array], *, common_space_fraction: float = 0.8) -> Array:
    """The common and the task-specific directions of the deltas at equal singular values, for one matrix.

    Args:
        deltas: tuned minus base of each model, (out, in); each is asked for twice.
        common_space_fraction: the share of the directions that come from the sum.

    Returns:
        fp32 (out, in), without a scaling factor.

    Raises:
        UsageError: no deltas.

    >>> import numpy as np
    >>> one, two = np.diag([3.0, 2.0, 0.0]), np.diag([3.0, 0.0, 4.0])
    >>> np.diag(iso_cts([one, two], common_space_fraction=0.4)).round(4).tolist()  # (6 + 2 + 4) / 3
    [4.0, 4.0, 4.0]
    """
    # Where a common direction is hardly longer than the next, the rounding of a sum would turn it.
    total = summed(deltas, in_float64=True)
    xp = namespace(total)
    num_common, num_own = space_sizes(min(total.shape), len(deltas), common_space_fraction)
    common = triplets(total, count=num_common)
    kept = []
    for delta in deltas:
        exact = xp.astype(delta, xp.float64)
        own = exact - common.left @ (common.left.T @ exact)
        # Beside the common directions there may be nothing but the rounding of the delta.
        length = float(xp.linalg.matrix_norm(exact))
        kept.append(triplets(own, count=num_own, floor=ROUNDING * length))
    kept.append(common)
    left = polar(xp.concat([each.left for each in kept], axis=1))
    right = polar(xp.concat([each.right for each in kept], axis=0))
    level = sum(float(xp.sum(each.values)) for each in kept) / min(total.shape)
    direction: Array = xp.astype(left @ right * level, xp.float32)
    return direction


def space_sizes(rank: int, num_models: int, common_space_fraction: float) -> tuple[int, int]:
    """How many directions are common, and how many more each task gets, so that all are used.

    Args:
        rank: the smaller side of the matrix.
        num_models: the number of tasks.
        common_space_fraction: the share of the directions to be common.

    >>> space_sizes(768, 8, 0.8)
    (616, 19)
    """
    wanted = round((rank - int(rank * common_space_fraction)) / num_models)
    num_own = min(wanted, rank // num_models)
    return rank - num_own * num_models, num_own


def _prepare(stream: ModelStream, settings: IsoCtsSettings) -> Prepared:
    return by_matrix(
        stream,
        lambda deltas: iso_cts(deltas, common_space_fraction=settings.common_space_fraction),
        embeddings=settings.embeddings,
    )


METHOD = Method(
    name="iso_cts",
    summary="equal singular values over common and task-specific directions",
    paper="https://arxiv.org/abs/2502.04959",
    function=iso_cts,
    settings=IsoCtsSettings,
    prepare=_prepare,
    presets={"fusionbench": {"embeddings": True}, "paper": {}},
    unit=lambda settings, name, shape: matrix_unit(name, shape, embeddings=settings.embeddings),
)
