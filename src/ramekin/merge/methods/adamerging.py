"""AdaMerging: task arithmetic with a weight for each model and layer, learned from inputs without labels.

Paper: Yang et al., *AdaMerging: adaptive model merging for multi-task learning*, ICLR 2024,
https://arxiv.org/abs/2310.02575.

    delta_i = theta_i - theta_0
    theta_l = theta_0l + scaling_factor * sum_i(weight_il * delta_il)      l: a layer, i: a model
    default: scaling_factor 1, no weights

The weights minimise the entropy of what the merged model would answer to inputs of each task: one for each
model and layer, or one for each model. `train.adamerging` learns them where rows are named; they then stand
in the output's lineage, and given as `weights` they make the same merge without rows. There is no default:
with one weight for all it would be `task_arithmetic`, which is where learning begins, at 0.3.

This module knows nothing of how weights are learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.combine import summed
from ramekin.merge.method import Method, Prepared, check_weights, weights_at
from ramekin.merge.parameters import Parameter, PerModel
from ramekin.merge.settings import parameter, per_model, settle
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "AdaMergingSettings", "adamerging"]


@final
@dataclass(frozen=True, kw_only=True)
class AdaMergingSettings:
    """What `adamerging` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the weighted sum of the deltas."""
    weights: PerModel | None = None
    """How much each model's delta counts; None learns it."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), weights=per_model(optional=True))


def adamerging(
    base: Array, tuned: Sequence[Array], *, weights: Sequence[float], scaling_factor: float = 1.0
) -> Array:
    """The base plus the weighted sum of the deltas, for one tensor.

    Args:
        base: the tensor of the model all others were tuned from.
        tuned: the same tensor of each tuned model.
        weights: how much each delta counts.
        scaling_factor: how far to go along their sum.

    Returns:
        The merged tensor, in the shape of `base`.

    Raises:
        UsageError: no tuned tensors, or weights that are not as many.

    >>> import numpy as np
    >>> adamerging(np.asarray([1.0, 1.0]), [np.asarray([3.0, 1.0]), np.asarray([1.0, 0.0])], weights=[0.5, 1])
    array([2., 0.])
    """
    return base + summed([each - base for each in tuned], weights) * scaling_factor


def _prepare(stream: ModelStream, settings: AdaMergingSettings) -> Prepared:
    if settings.weights is None:
        raise UsageError(
            "adamerging has no weights yet",
            expected="rows to learn them from, or weights that were learned before",
            fix="add tasks=[…], one for each model, or method.weights=[…]",
        )

    def combine(chunk: Chunk) -> Array:
        return summed(chunk.deltas, weights_at(settings.weights, chunk))

    return Prepared(combine)


METHOD = Method(
    name="adamerging",
    summary="task arithmetic with weights by model and layer, learned by the entropy of answers",
    paper="https://arxiv.org/abs/2310.02575",
    function=adamerging,
    settings=AdaMergingSettings,
    prepare=_prepare,
    check=lambda settings, num_models: check_weights(settings.weights, num_models),
    linear=lambda settings: True,
    learns=lambda settings: settings.weights is None,
)
