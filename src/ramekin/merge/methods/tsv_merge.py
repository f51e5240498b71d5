"""TSV-merge: the leading singular vectors of each delta, made orthogonal to those of the others, then added.

Paper: Gargiulo et al., *Task singular vectors: reducing task interference in model merging*,
https://arxiv.org/abs/2412.00081.

    U_i S_i V_i^T = SVD(tau_i), of which the first r // N are kept                r = min(out, in), N models
    U = [U_1 ... U_N], V likewise;  U' and V' = the nearest orthonormal matrices (U' = P Q^T of the SVD of U)
    tau   = U' diag(S_1 ... S_N) V'^T
    theta = theta_0 + scaling_factor * tau                default: scaling_factor 1

With a single model all is kept and tau is that delta. Iso-C and Iso-CTS level the singular values as well.

What is zero but for rounding is left out, in the deltas and in U and V. The directions that belong to a
singular value of zero are arbitrary, and the paper's code and FusionBench 0.2.33 keep them: for deltas of a
rank below r // N (LoRA) and for equal models their result depends on the library that computes it. Here
equal models give that delta, cut to its first r // N values. In all other cases the three agree to
rounding. A matrix with fewer rows or columns than there are models has no room for one vector of each and
gets the mean of the deltas (theirs: zero).

The embedding, the head and position tables are left out unless `embeddings` is set; the preset
`fusionbench` sets it, since FusionBench takes every tensor with two axes. These and all other tensors get
the mean of the deltas. FusionBench's `alpha` is the scaling factor where it is one number. mergekit has no
such method.

This module knows nothing of files or names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import summed
from ramekin.merge.matrices import by_matrix, matrix_unit
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import flag, parameter, settle
from ramekin.merge.singular import polar, triplets
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "TsvMergeSettings", "tsv_merge"]


@final
@dataclass(frozen=True, kw_only=True)
class TsvMergeSettings:
    """What `tsv_merge` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the direction."""
    embeddings: bool = False
    """Take the embedding, the head and position tables by the method too."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), embeddings=flag())


def tsv_merge(deltas: Sequence[Array]) -> Array:
    """The sum of the truncated deltas with their singular vectors made orthogonal, for one matrix.

    Args:
        deltas: tuned minus base of each model, (out, in); each is asked for once.

    Returns:
        fp32 (out, in), without a scaling factor.

    Raises:
        UsageError: no deltas.

    >>> import numpy as np
    >>> one, two = np.diag([3.0, 0.5, 0.0, 0.0]), np.diag([0.0, 0.0, 2.0, 1.0])
    >>> np.diag(tsv_merge([one, two])).round(4).tolist()
    [3.0, 0.5, 2.0, 1.0]
    """
    if not len(deltas):
        raise UsageError("there is nothing to merge", expected="at least one model")
    first = deltas[0]
    xp = namespace(first)
    count = min(first.shape) // len(deltas)
    if count == 0:
        return summed(deltas, [1 / len(deltas)] * len(deltas))
    kept = [triplets(first, count=count)]
    kept += [triplets(deltas[place], count=count) for place in range(1, len(deltas))]
    left = polar(xp.concat([each.left for each in kept], axis=1))
    right = polar(xp.concat([each.right for each in kept], axis=0))
    direction: Array = xp.astype(left * xp.concat([each.values for each in kept]) @ right, xp.float32)
    return direction


def _prepare(stream: ModelStream, settings: TsvMergeSettings) -> Prepared:
    return by_matrix(stream, tsv_merge, embeddings=settings.embeddings)


METHOD = Method(
    name="tsv_merge",
    summary="the leading singular vectors of each delta, made orthogonal to the others', added",
    paper="https://arxiv.org/abs/2412.00081",
    function=tsv_merge,
    settings=TsvMergeSettings,
    prepare=_prepare,
    presets={"fusionbench": {"embeddings": True}, "paper": {}},
    unit=lambda settings, name, shape: matrix_unit(name, shape, embeddings=settings.embeddings),
)
