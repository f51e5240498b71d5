"""Simple average: the mean of the tuned models, a "model soup".

Paper: Wortsman et al., *Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time*, https://arxiv.org/abs/2203.05482.

    theta = sum_i(weight_i * theta_i) / sum_i(weight_i)          default: every weight 1

Needs no base; where one is given it is not averaged in, only its configuration and tokenizer are used.
With N models and equal weights it is task arithmetic with scaling_factor 1/N. Elements are added in fp32
in the order of the models and then divided, which for fp32 checkpoints is bit for bit what FusionBench
0.2.33 computes; that tool adds bf16 checkpoints in bf16, this one in fp32. mergekit calls it `linear`.

This module knows nothing of files or names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.combine import shares, summed
from ramekin.merge.method import Method, Prepared, check_weights, weights_at
from ramekin.merge.parameters import PerModel
from ramekin.merge.settings import flag, per_model, settle
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "SimpleAverageSettings", "simple_average"]


@final
@dataclass(frozen=True, kw_only=True)
class SimpleAverageSettings:
    """What `simple_average` can be told."""

    weights: PerModel | None = None
    """How much each model counts; None counts each once."""
    normalize: bool = True
    """Divide by the sum of the weights."""

    def __post_init__(self) -> None:
        settle(self, weights=per_model(optional=True), normalize=flag())


def simple_average(
    tensors: Sequence[Array], *, weights: Sequence[float] | None = None, normalize: bool = True
) -> Array:
    """The (weighted) mean of one tensor of several models.

    Args:
        tensors: the same tensor of each model, all of one shape.
        weights: one number a model; None counts each once.
        normalize: divide by the sum of the weights; otherwise `weights` are used as they are.

    Returns:
        The mean, in the shape of the tensors.

    Raises:
        UsageError: no tensors, a wrong number of weights, or weights that add to zero.

    >>> import numpy as np
    >>> simple_average([np.asarray([1.0, 4.0]), np.asarray([3.0, 0.0])])
    array([2., 2.])
    >>> simple_average([np.asarray([1.0, 4.0]), np.asarray([3.0, 0.0])], weights=[3, 1])
    array([1.5, 3. ])
    """
    if weights is None:
        return summed(tensors) / len(tensors)
    if len(weights) != len(tensors):
        raise UsageError(
            "weights must name one number a model", expected=f"{len(tensors)} weights", got=str(len(weights))
        )
    return summed(tensors, shares(weights) if normalize else weights)


def _prepare(stream: ModelStream, settings: SimpleAverageSettings) -> Prepared:
    def combine(chunk: Chunk) -> Array:
        weights = weights_at(settings.weights, chunk)
        return simple_average(chunk.tuned, weights=weights, normalize=settings.normalize)

    return Prepared(combine)


def _check(settings: SimpleAverageSettings, num_models: int) -> None:
    check_weights(settings.weights, num_models)
    constants = [each.constant for each in settings.weights or ()]
    if settings.normalize and len(constants) > 1 and all(each is not None for each in constants):
        shares([each for each in constants if each is not None])


METHOD = Method(
    name="simple_average",
    summary="the (weighted) mean of the models",
    paper="https://arxiv.org/abs/2203.05482",
    function=simple_average,
    settings=SimpleAverageSettings,
    prepare=_prepare,
    needs_base=False,
    check=_check,
    of_deltas=lambda settings: settings.weights is None or settings.normalize,
    linear=lambda settings: True,
)
