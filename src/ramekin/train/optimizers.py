"""Optimizers by name, and their state as tensors and numbers that need no pickle.

AdamW: Loshchilov & Hutter 2019, arXiv 1711.05101. Adafactor: Shazeer & Stern 2018, arXiv 1804.04235, in the
two meanings in use. T5X multiplies the rate by each tensor's root mean square (`torch.optim.Adafactor`,
which also never takes a rate above 1/√t); the Hugging Face Trainer does not, and 1e-3 there is twenty times
more on a kernel of RMS 0.05. AdamWScale is in `adamwscale`. This module knows nothing of schedules or files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError, WeightsError
from ramekin.train.adamwscale import AdamWScale
from ramekin.train.recipe import Recipe

__all__ = [
    "OptimizerState",
    "build_optimizer",
    "memory_key",
    "other_model",
    "owner_and_entry",
    "read_state",
    "trainable_parameters",
    "write_state",
]

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
    """The recipe's optimizer over the trainable parameters.

    Weight decay stays off norms, biases and IA3's vectors.
    """
    parameters = trainable_parameters(model)
    decayed = [p for name, p in parameters.items() if not _is_scale(name, p)]
    kept = [p for name, p in parameters.items() if _is_scale(name, p)]
    groups = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((decayed, recipe.weight_decay), (kept, 0.0))
        if group
    ]
    return _BUILDERS[recipe.optimizer](groups, recipe)


def _is_scale(name: str, parameter: nn.Parameter) -> bool:
    """Whether a tensor scales or shifts features one by one, as norms, biases and IA3's vectors do."""
    return parameter.ndim < 2 or ".ia3_l." in name  # PEFT keeps these as (features, 1) or (1, features)


def _adamw(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    build = partial(
        torch.optim.AdamW,
        groups,
        lr=recipe.learning_rate,
        betas=_betas(recipe),
        eps=_or(recipe.epsilon, 1e-8),
    )
    try:
        return build(fused=True)
    except RuntimeError:  # no fused kernel for the device or the type
        return build()


def _adamwscale(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    return AdamWScale(groups, lr=recipe.learning_rate, betas=_betas(recipe), eps=_or(recipe.epsilon, 1e-6))


def _adafactor(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    decay = -_or(recipe.decay_rate, 0.8)
    if recipe.scale_parameter:
        return torch.optim.Adafactor(
            groups, lr=recipe.learning_rate, beta2_decay=decay, eps=(_SMALLEST, 1e-3), foreach=True
        )
    from transformers.optimization import Adafactor

    unscaled: torch.optim.Optimizer = Adafactor(
        groups,
        lr=recipe.learning_rate,
        decay_rate=decay,
        scale_parameter=False,
        relative_step=False,
        warmup_init=False,
    )
    return unscaled


def _betas(recipe: Recipe) -> tuple[float, float]:
    return _or(recipe.beta1, 0.9), _or(recipe.beta2, 0.999)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


_BUILDERS: dict[str, Callable[[list[dict[str, Any]], Recipe], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adamwscale": _adamwscale,
    "adafactor": _adafactor,
}


def read_state(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> OptimizerState:
    """The optimizer's memory as plain values (tensors are not copied)."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float | int] = {}
    for name, parameter in parameters.items():
        for entry, value in optimizer.state.get(parameter, {}).items():
            key = memory_key(name, entry)
            if isinstance(value, Tensor):
                tensors[key] = value.detach()
            elif value is not None:
                numbers[key] = value
    return OptimizerState(tensors, numbers)


def memory_key(parameter: str, entry: str) -> str:
    """What a piece of memory is called: `parameter::entry`."""
    return f"{parameter}{_SEPARATOR}{entry}"


def owner_and_entry(key: str) -> tuple[str, str]:
    """The parameter that a piece of memory belongs to, and what the optimizer calls it."""
    name, _, entry = key.rpartition(_SEPARATOR)
    return name, entry


def other_model(name: str) -> WeightsError:
    """The error of a memory that holds a parameter which the model lacks."""
    return WeightsError("the saved optimizer is of another model", where=name, fix="start a new run")


def write_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], state: OptimizerState
) -> None:
    """Give the optimizer the memory `read_state` took.

    Raises:
        WeightsError: the state is of another model.
    """
    fused = {id(p): bool(group.get("fused")) for group in optimizer.param_groups for p in group["params"]}
    for key, value in (*state.tensors.items(), *state.numbers.items()):
        name, entry = owner_and_entry(key)
        parameter = parameters.get(name)
        if parameter is None:
            raise other_model(name)
        if isinstance(value, Tensor):
            # An unfused step counter must stay on the CPU, or every update waits for the device.
            stays = entry == "step" and not fused[id(parameter)]
            value = value.clone() if stays else value.to(parameter.device, copy=True)
        optimizer.state[parameter][entry] = value
