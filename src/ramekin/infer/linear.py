"""Linear maps and small functions of a layer, each by the fastest routine that computes the same.

What torch does by default for fp32 on a CPU is two to four times slower on some machines (MKL on processors
that Intel did not make) than oneDNN, which torch carries too; oneDNN is fastest where weights are laid out
for it beforehand. A module that is more than its weights, such as one that an adapter stands in, is called as
it is. Knows nothing of layers or models.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, final

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, pad, rms_norm

__all__ = ["Map", "Packed", "activation", "joined", "layer_norm", "projection"]

Map: TypeAlias = Callable[[Tensor], Tensor]
"""(…, in) -> (…, out)"""

_NORMS: Final = frozenset({"MT5LayerNorm", "T5LayerNorm", "UMT5LayerNorm"})
"""Those of transformers; a model that is trained has others."""
_FEW_ROWS: Final = 16
"""Weights are laid out for about so many rows; for thousands the layout is as good as any."""


@final
class Packed:
    """Copies of weights in the layout that is fastest for a few rows; the same weights are copied once.

    They take as much memory again, and do not follow the weights when these change. Models that share tensors
    share the copies, if they are given the same `Packed`.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], Tensor] = {}

    def of(self, weights: Sequence[Tensor]) -> Tensor:
        """A copy of weights (out, in), one below the other."""
        key = tuple(weight.data_ptr() for weight in weights)
        if key not in self._made:
            whole = weights[0] if len(weights) == 1 else torch.cat(list(weights))
            self._made[key] = torch.ops.mkldnn._reorder_linear_weight(whole, _FEW_ROWS)
        return self._made[key]


def projection(module: nn.Module, *, packed: Packed | None = None) -> Map:
    """What a linear layer does.

    Args:
        module: of a model; if it is a plain linear layer, its weights are read at each call, so that a change
            of them counts.
        packed: where a copy of them is kept, from which it is up to four times faster; None: no copy.
    """
    weight = _weight(module)
    if weight is None:
        return module
    if not _has_onednn(weight):
        return lambda x: linear(x, weight)
    return _onednn(weight if packed is None else packed.of([weight]))


def joined(
    modules: Sequence[nn.Module], *, packed: Packed | None = None
) -> Callable[[Tensor], Sequence[Tensor]]:
    """What several linear layers make of one input: a single product where weights are copied."""
    weights = [weight for weight in map(_weight, modules) if weight is not None]
    if packed is not None and len(weights) == len(modules) and all(map(_has_onednn, weights)):
        sizes, whole = [len(weight) for weight in weights], _onednn(packed.of(weights))
        return lambda x: torch.split(whole(x), sizes, dim=-1)
    each = [projection(module, packed=packed) for module in modules]
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


def _onednn(weight: Tensor) -> Map:
    """The product by oneDNN, with few different numbers of rows.

    It compiles a routine for each number and keeps a thousand of them: hundreds of megabytes where
    requests come and go, and with them rows (`benchmarks/row_counts.py`).
    """
    product: Any = torch.ops.mkldnn._linear_pointwise.default

    def run(x: Tensor) -> Tensor:
        rows = x.numel() // x.shape[-1]
        more = _round_rows(rows) - rows
        if not more:
            return product(x, weight, None, "none", [], "")  # type: ignore[no-any-return]
        flat = pad(x.reshape(rows, -1), (0, 0, 0, more))
        y: Tensor = product(flat, weight, None, "none", [], "")
        return y[:rows].view(*x.shape[:-1], -1)

    return run


def _round_rows(rows: int) -> int:
    """The next of eight numbers from one power of two to the next.

    >>> [_round_rows(rows) for rows in (0, 1, 15, 16, 17, 100, 1000)]
    [0, 1, 15, 16, 18, 104, 1024]
    """
    step = 1 << max(0, (rows - 1).bit_length() - 4)
    return -(-rows // step) * step
