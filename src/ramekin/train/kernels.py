"""Dropout, norm and GELU in fewer passes over memory than torch and transformers take on a CPU.

Each is a module in the place of another; in evaluation the other one answers, so that a model scored while
it trains gives the very numbers it gives afterwards. They know nothing of models; `faster` puts them there.
"""

from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Dropout", "Gelu", "Norm", "drop"]

_LEVELS = 1 << 16  # of a random number that decides whether a value stays


def drop(states: Tensor, rate: float) -> Tensor:
    """Dropout of a tensor on a CPU, drawn from torch's global generator.

    >>> drop(torch.ones(3), 0.0)
    tensor([1., 1., 1.])
    """
    dropped = round(rate * _LEVELS)
    if not dropped:
        return states
    words = torch.empty(-(-states.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    levels = words.view(torch.int16)[: states.numel()].view(states.shape)
    # Compared in place as floats: a comparison into bool and back takes three times as long.
    stays = levels.float().ge_(dropped - _LEVELS // 2).mul_(_LEVELS / (_LEVELS - dropped))
    return states * stays.to(states.dtype)


@final
class Dropout(nn.Dropout):
    """`drop` as a module."""

    def forward(self, states: Tensor) -> Tensor:
        """States of any shape to the same."""
        return drop(states, self.p) if self.training else states


@final
class Gelu(nn.Module):
    """The tanh approximation of GELU (Hendrycks & Gimpel 2016, arXiv 1606.08415) as one kernel of torch's."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self._plain = (plain,)  # in a tuple it is no part of the model

    def forward(self, states: Tensor) -> Tensor:
        """States of any shape to the same."""
        if self.training:
            return nn.functional.gelu(states, approximate="tanh")
        return cast(Tensor, self._plain[0](states))


@final
class Norm(nn.Module):
    """T5's norm (Zhang & Sennrich 2019, arXiv 1910.07467) over the weight of the one it replaces."""

    def __init__(self, plain: Any) -> None:
        super().__init__()
        self.weight, self._plain = plain.weight, (plain,)

    def forward(self, states: Tensor) -> Tensor:
        """States (..., d_model) to the same, in fp32 or the weight's type."""
        (plain,) = self._plain
        if not self.training:
            return cast(Tensor, plain(states))
        return cast(Tensor, _NormFunction.apply(states, self.weight, plain.variance_epsilon))  # type: ignore[no-untyped-call]


@final
class _NormFunction(torch.autograd.Function):
    """y = w u with u = x / sqrt(mean(x^2) + epsilon), and its gradient by hand."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Keeps u and the scale, and nothing in between."""
        states = states.float()
        norms = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
        scale = norms.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
        units = states * scale
        ctx.save_for_backward(units, weight, scale)
        return cast(Tensor, units.to(weight.dtype) * weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """The gradient g becomes dx = scale (g w - u mean(g w u)) and dw = the sum of g u."""
        units, weight, scale = ctx.saved_tensors
        products = (gradient * units).flatten(0, -2)
        of_weight = products.sum(0) if ctx.needs_input_grad[1] else None
        means = torch.mv(products, weight).view(scale.shape).div_(-weight.numel())
        of_states = (gradient * weight).addcmul_(units, means).mul_(scale)
        return of_states, of_weight, None
