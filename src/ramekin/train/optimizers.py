"""Optimizers by name, and their state as tensors and numbers that need no pickle.

AdamW: Loshchilov & Hutter 2019, arXiv 1711.05101. Adafactor: Shazeer & Stern 2018, arXiv 1804.04235, in the
two meanings in use. T5X multiplies the rate by each tensor's root mean square (`torch.optim.Adafactor`);
the Hugging Face Trainer does not, and 1e-3 there is twenty times more on a kernel of RMS 0.05. This module
knows nothing of schedules or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError, WeightsError
from ramekin.train.recipe import Recipe

__all__ = ["OptimizerState", "build_optimizer", "read_state", "trainable_parameters", "write_state"]

_SEPARATOR = "::"
_SMALLEST = 1e-18
# What torch's Adafactor takes for the least mean of squared gradients, and squared for the least of each. Its
# own default, 1.2e-7, is more than those of a large model: clipped to norm 1, the gradient of 77 million
# parameters has an RMS of 1e-4, and at 1e-5 the factors divide nothing any more: what is left is the gradient
# itself. T5X and transformers add 1e-30. Squared, this is still a normal number of fp32.


@final
@dataclass(frozen=True, slots=True)
class OptimizerState:
    """What an optimizer remembers, by parameter name."""

    tensors: Mapping[str, Tensor]
    """`parameter::entry` to tensor."""
    numbers: Mapping[str, float | int]
    """`parameter::entry` to number."""


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, each tensor once, in the model's order.

    Raises:
        UsageError: there are none.
    """
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise UsageError(
            "the model has no trainable parameters", fix="attach an adapter, or unfreeze the model"
        )
    return found


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over the trainable parameters; weight decay stays off norms and biases."""
    parameters = trainable_parameters(model)
    # T5's norm scales and any bias are its only one-dimensional tensors.
    decayed = [p for p in parameters.values() if p.ndim >= 2]
    kept = [p for p in parameters.values() if p.ndim < 2]
    groups = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((decayed, recipe.weight_decay), (kept, 0.0))
        if group
    ]
    if recipe.optimizer == "adamw":
        return _adamw(groups, recipe.learning_rate)
    if recipe.scale_parameter:
        return torch.optim.Adafactor(groups, lr=recipe.learning_rate, eps=(_SMALLEST, 1e-3), foreach=True)
    from transformers.optimization import Adafactor

    unscaled: torch.optim.Optimizer = Adafactor(
        groups, lr=recipe.learning_rate, scale_parameter=False, relative_step=False, warmup_init=False
    )
    return unscaled


def _adamw(groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.AdamW:
    try:
        return torch.optim.AdamW(groups, lr=learning_rate, fused=True)
    except RuntimeError:  # no fused kernel for the device or the type
        return torch.optim.AdamW(groups, lr=learning_rate)


def read_state(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> OptimizerState:
    """The optimizer's memory as plain values (tensors are not copied)."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float | int] = {}
    for name, parameter in parameters.items():
        for entry, value in optimizer.state.get(parameter, {}).items():
            key = f"{name}{_SEPARATOR}{entry}"
            if isinstance(value, Tensor):
                tensors[key] = value.detach()
            elif value is not None:
                numbers[key] = value
    return OptimizerState(tensors, numbers)


def write_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], state: OptimizerState
) -> None:
    """Give the optimizer the memory `read_state` took.

    Raises:
        WeightsError: the state is of another model.
    """
    fused = {id(p): bool(group.get("fused")) for group in optimizer.param_groups for p in group["params"]}
    for key, value in (*state.tensors.items(), *state.numbers.items()):
        name, _, entry = key.rpartition(_SEPARATOR)
        parameter = parameters.get(name)
        if parameter is None:
            raise WeightsError("the saved optimizer is of another model", where=name, fix="start a new run")
        if isinstance(value, Tensor):
            # An unfused step counter must stay on the CPU, or every update waits for the device.
            stays = entry == "step" and not fused[id(parameter)]
            value = value.clone() if stays else value.to(parameter.device, copy=True)
        optimizer.state[parameter][entry] = value
