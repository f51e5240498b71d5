"""Task arithmetic: the base plus a scaled sum of what each model learned.

Paper: Ilharco et al., *Editing models with task arithmetic*, https://arxiv.org/abs/2212.04089.

    delta_i = theta_i - theta_0
    theta   = theta_0 + scaling_factor * sum_i(weight_i * delta_i)      default: scaling_factor 0.3, weights 1

scaling_factor 0 is the base, 1/N is the average of N models, 1 with one model is that model (up to
rounding); a negative one unlearns (`task_negation`). TIES-merging is the same with the deltas trimmed and
their signs reconciled first, LiNeS with a scaling factor that grows with depth, MetaGPT with one that follows
from the lengths of the deltas. Without weights, deltas are added in the order of the models, multiplied, then
added to the base: for fp32 checkpoints bit for bit what FusionBench 0.2.33 computes. mergekit's default
scaling factor is 1.

This module knows nothing of files or names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array
from ramekin.merge.combine import shares, summed
from ramekin.merge.method import Method, Prepared, check_weights, weights_at
from ramekin.merge.parameters import Parameter, PerModel
from ramekin.merge.settings import flag, parameter, per_model, settle
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "TaskArithmeticSettings", "task_arithmetic"]


@final
@dataclass(frozen=True, kw_only=True)
class TaskArithmeticSettings:
    """What `task_arithmetic` can be told."""

    scaling_factor: Parameter = Parameter.of(0.3)
    """How far to go along the summed deltas."""
    weights: PerModel | None = None
    """How much each model's delta counts in the sum; None counts each once."""
    normalize: bool = False
    """Divide by the sum of the weights: the mean of the deltas instead of their sum."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), weights=per_model(optional=True), normalize=flag())


def task_arithmetic(
    base: Array,
    tuned: Sequence[Array],
    *,
    scaling_factor: float = 0.3,
    weights: Sequence[float] | None = None,
    normalize: bool = False,
) -> Array:
    """The base plus `scaling_factor` times the sum of the deltas, for one tensor.

    Args:
        base: the tensor of the model all others were tuned from.
        tuned: the same tensor of each tuned model.
        scaling_factor: how far to go along the sum of the deltas.
        weights: how much each delta counts; None counts each once.
        normalize: divide by the sum of the weights.

    Returns:
        The merged tensor, in the shape of `base`.

    Raises:
        UsageError: no tuned tensors, or weights that are not as many or add to zero.

    >>> import numpy as np
    >>> base, tuned = np.asarray([1.0, 1.0]), [np.asarray([3.0, 1.0]), np.asarray([1.0, 0.0])]
    >>> task_arithmetic(base, tuned, scaling_factor=0.5)
    array([2. , 0.5])
    """
    if normalize:
        weights = shares(weights or [1.0] * len(tuned))
    # Two operations, not one add with alpha: a fused multiply-add rounds once and would differ.
    return base + summed([each - base for each in tuned], weights) * scaling_factor


def _prepare(stream: ModelStream, settings: TaskArithmeticSettings) -> Prepared:
    def combine(chunk: Chunk) -> Array:
        return summed(chunk.deltas, weights_at(settings.weights, chunk, normalize=settings.normalize))

    return Prepared(combine)


METHOD = Method(
    name="task_arithmetic",
    summary="the base plus a scaled sum of the deltas",
    paper="https://arxiv.org/abs/2212.04089",
    function=task_arithmetic,
    settings=TaskArithmeticSettings,
    prepare=_prepare,
    presets={"fusionbench": {}, "mergekit": {"scaling_factor": 1.0}, "paper": {}},
    check=lambda settings, num_models: check_weights(settings.weights, num_models),
    linear=lambda settings: True,
)
