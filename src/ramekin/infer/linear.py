"""Linear maps and small functions of a layer, each by the fastest routine that computes the same.

What torch does by default for fp32 on a CPU is two to four times slower on some machines (MKL on processors
that Intel did not make) than oneDNN, which torch carries too; oneDNN is fastest where weights are laid out
for it beforehand. A module that is more than its weights, such as one that an adapter stands in, is called as
it is. Knows nothing of layers or models.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, rms_norm

__all__ = ["Map", "activation", "joined", "layer_norm", "projection"]

Map: TypeAlias = Callable[[Tensor], Tensor]
"""(…, in) -> (…, out)"""

_NORMS: Final = frozenset({"MT5LayerNorm", "T5LayerNorm", "UMT5LayerNorm"})
"""Those of transformers; a model that is trained has others."""
_FEW_ROWS: Final = 16
"""Weights are laid out for about so many rows; for thousands the layout is as good as any."""


def projection(module: nn.Module, *, packs: bool = False) -> Map:
    """What a linear layer does.

    Args:
        module: of a model; if it is a plain linear layer, its weights are read at each call, so that a change
            of them counts.
        packs: whether the weights are copied once into the layout that is fastest for a few rows: four times
            faster than torch's default, and as much memory again.
    """
    weight = _weight(module)
    if weight is None:
        return module
    if not _has_onednn(weight):
        return lambda x: linear(x, weight)
    return _onednn(_packed(weight) if packs else weight)


def joined(modules: Sequence[nn.Module], *, packs: bool = False) -> Callable[[Tensor], Sequence[Tensor]]:
    """What several linear layers make of one input: a single product where weights are copied."""
    weights = [weight for weight in map(_weight, modules) if weight is not None]
    if packs and len(weights) == len(modules) and all(map(_has_onednn, weights)):
        sizes, whole = [len(weight) for weight in weights], _onednn(_packed(torch.cat(weights)))
        return lambda x: torch.split(whole(x), sizes, dim=-1)
    each = [projection(module, packs=packs) for module in modules]
    return lambda x: [one(x) for one in each]


def layer_norm(module: Any) -> Map:
    """What T5's normalisation does: x over its root mean square, times the weights."""
    if type(module).__name__ not in _NORMS or _has_hooks(module):
        return module  # type: ignore[no-any-return]
    weight, epsilon = module.weight.detach(), module.variance_epsilon
    if weight.dtype != torch.float32:
        return module  # type: ignore[no-any-return]
    return lambda x: rms_norm(x, weight.shape, weight, epsilon)


def activation(module: Any) -> Map:
    """What an activation does; that of T5 1.1 (`gelu_new`) in one pass over memory instead of eight."""
    from transformers.activations import NewGELUActivation

    if type(module) is NewGELUActivation:
        return lambda x: gelu(x, approximate="tanh")
    return module  # type: ignore[no-any-return]


def _weight(module: nn.Module) -> Tensor | None:
    """What a plain linear layer multiplies with; None if the module is something more."""
    if type(module) is not nn.Linear or module.bias is not None or _has_hooks(module):
        return None
    return module.weight.detach()


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _has_onednn(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def _packed(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _FEW_ROWS)
    return packed


def _onednn(weight: Tensor) -> Map:
    product: Any = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: product(x, weight, None, "none", [], "")
