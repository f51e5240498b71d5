"""Simple average: the mean of the tuned models, a "model soup".

Paper: Wortsman et al., *Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time*, https://arxiv.org/abs/2203.05482.

    theta = sum_i(weight_i * theta_i) / sum_i(weight_i)          default: every weight 1

Needs no base; where one is given it is not averaged in, only its configuration and tokenizer are used.
With N models and equal weights it is task arithmetic with scaling_factor 1/N. Elements are added in fp32
in the order of the models and then divided, which for fp32 checkpoints is bit for bit what FusionBench
0.2.33 computes; that tool adds bf16 checkpoints in bf16, this one in fp32.

This module knows nothing of files or names.
"""

from collections.abc import Sequence

import torch

from ramekin.errors import UsageError

__all__ = ["shares", "simple_average"]


def simple_average(
    tensors: Sequence[torch.Tensor], *, weights: Sequence[float] | None = None, normalize: bool = True
) -> torch.Tensor:
    """The (weighted) mean of one tensor of several models.

    Args:
        tensors: the same tensor of each model, all of one shape.
        weights: one number a model; None counts each once.
        normalize: divide by the sum of the weights; otherwise `weights` are used as they are.

    Returns:
        The mean, in the shape of the tensors.

    Raises:
        UsageError: no tensors, a wrong number of weights, or weights that add to zero.

    >>> simple_average([torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])])
    tensor([2., 2.])
    >>> simple_average([torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])], weights=[3, 1])
    tensor([1.5000, 3.0000])
    """
    if not tensors:
        raise UsageError("there is nothing to average", expected="at least one model")
    if weights is None:
        total = tensors[0].clone()
        for tensor in tensors[1:]:
            total += tensor
        return total.div_(len(tensors))
    factors = shares(weights, len(tensors), normalize=normalize)
    total = tensors[0] * factors[0]
    for tensor, factor in zip(tensors[1:], factors[1:], strict=True):
        total += tensor * factor
    return total


def shares(weights: Sequence[float], models: int, *, normalize: bool) -> tuple[float, ...]:
    """The factor of each model: its weight, divided by the sum of all if `normalize`.

    Raises:
        UsageError: not one weight a model, or weights that add to zero.
    """
    if len(weights) != models:
        raise UsageError(
            "weights must name one number a model", expected=f"{models} weights", got=str(len(weights))
        )
    if not normalize:
        return tuple(float(weight) for weight in weights)
    total = sum(weights)
    if total == 0:
        raise UsageError(
            "the weights add to zero", got=", ".join(map(str, weights)), fix="or set normalize=false"
        )
    return tuple(weight / total for weight in weights)
