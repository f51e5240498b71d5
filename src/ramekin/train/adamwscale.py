"""AdamWScale: AdamW whose update is multiplied by the size of the tensor that it changes.

    m ← β₁ m + (1 - β₁) g,    v ← β₂ v + (1 - β₂) g²
    p ← p - lr · max(1e-3, RMS(p)) · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)
    p ← p - lr · λ · p

nanoT5's (Nawrot 2023, arXiv 2309.02373, https://github.com/PiotrNawrot/nanoT5), for training T5 with the
relative rates of its Adafactor and the moments of AdamW. As there, RMS(p) is taken before the update, the
weight decay λ is not scaled, and ε is added to √v before its correction (torch's AdamW adds it after). This
module knows nothing of recipes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final, overload

import torch
from torch import Tensor

from ramekin.errors import UsageError

__all__ = ["AdamWScale"]

_LEAST_RMS = 1e-3


@final
class AdamWScale(torch.optim.Optimizer):
    """See the module; all tensors of a group are updated together, and nothing waits for the device.

    Args:
        params: tensors, or groups of them with settings of their own.
        lr: the rate, relative to each tensor's root mean square.
        betas: β₁ and β₂, each in [0, 1).
        eps: ε, above 0.
        weight_decay: λ, from 0.

    Raises:
        UsageError: a setting is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        checks = (
            ("lr", lr >= 0, ">= 0", lr),
            ("betas", all(0 <= beta < 1 for beta in betas), "two numbers in [0, 1)", betas),
            ("eps", eps > 0, "> 0", eps),
            ("weight_decay", weight_decay >= 0, ">= 0", weight_decay),
        )
        for key, right, expected, got in checks:
            if not right:
                raise UsageError(
                    "an optimizer's setting cannot be", where=key, expected=expected, got=f"{got}"
                )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.root_mean_squares: Callable[[Sequence[Tensor]], list[Tensor]] = _root_mean_squares
        """Of tensors, scalars; set anew where they are parts of larger ones."""

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every tensor that has a gradient; with a closure, compute the gradients by it first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        states = [self._state_of(p) for p in parameters]
        gradients = [p.grad for p in parameters]
        (beta1, beta2), rate = group["betas"], group["lr"]
        means, squares = [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta2)
        updates = torch._foreach_sqrt(squares)
        torch._foreach_add_(updates, group["eps"])
        torch._foreach_reciprocal_(updates)
        torch._foreach_mul_(updates, means)
        factors = self.root_mean_squares(parameters)
        torch._foreach_clamp_min_(factors, _LEAST_RMS)
        torch._foreach_mul_(factors, [-rate * _correction(beta1, beta2, s["step"]) for s in states])
        torch._foreach_mul_(updates, factors)
        torch._foreach_add_(parameters, updates)
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        """The parameter's memory, with this step counted."""
        state: dict[str, Any] = self.state[parameter]
        if not state:
            zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state |= {"step": 0, "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
        state["step"] += 1
        return state


def _root_mean_squares(tensors: Sequence[Tensor]) -> list[Tensor]:
    norms = list(torch._foreach_norm(list(tensors)))
    torch._foreach_div_(norms, [math.sqrt(tensor.numel()) for tensor in tensors])
    return norms


def _correction(beta1: float, beta2: float, step: int) -> float:
    """What undoes that both means began at zero."""
    return math.sqrt(1 - beta2**step) / (1 - beta1**step)
