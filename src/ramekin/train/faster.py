"""Parts of a T5 in forms that a CPU computes faster or in less memory, in their place while the model trains.

Each is the function that transformers writes (to rounding), put together from fewer passes over memory:

- the root mean square norm with its gradient in closed form, and the tanh GELU as torch's one kernel instead
  of eight: a fifth less is kept for the backward pass (they save no time worth speaking of);
- attention that adds position bias and mask in place, without a mask of its own for every layer;
- dropout from sixteen random bits a number instead of a double: rates are rounded to 1/65536, and the
  numbers that stay are divided by exactly the share of those that do;
- the gradient of the input embedding as the rows that were looked up, added into the whole where they belong,
  instead of a table of zeros with a few rows for each look-up.

`benchmarks/train_profile.py --parts` measures each. In evaluation, and on other devices, nothing is changed
(a GPU's kernels fuse or hide these passes). Names of parameters and a model's files are as they were. This
module knows nothing of steps, objectives or optimizers.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from ramekin.train.kernels import Dropout, Gelu, Norm, drop

__all__ = ["faster_on_cpu", "prepare_row_gradients"]

_ATTENTION = "ramekin_cpu"


@contextlib.contextmanager
def faster_on_cpu(model: Any, device: torch.device) -> Iterator[None]:
    """While open, the model's slow parts are replaced, if it is on a CPU.

    Args:
        model: a model of the T5 family, or a PEFT model around one.
        device: where it computes.
    """
    if device.type != "cpu":
        yield
        return
    with contextlib.ExitStack() as undo:
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                other = _faster(child)
                if other is not None:
                    setattr(parent, name, other)
                    undo.callback(setattr, parent, name, child)
        for module in _embeddings(model):
            undo.callback(setattr, module, "sparse", module.sparse)
            module.sparse = True
        _register_attention()
        undo.callback(model.set_attn_implementation, model.config._attn_implementation)
        model.set_attn_implementation(_ATTENTION)
        yield


def prepare_row_gradients(model: Any) -> None:
    """Give an embedding whose gradients are rows a whole gradient for them to be added to.

    Without one the rows of all micro-batches would pile up, and be no tensor to take a norm of.
    """
    for module in _embeddings(model):
        if module.sparse and module.weight.grad is None:
            module.weight.grad = torch.zeros_like(module.weight)


def _embeddings(model: Any) -> Iterator[nn.Embedding]:
    """The places of the input embedding, if it is trained."""
    weight = model.get_input_embeddings().weight
    for module in model.modules():
        if type(module) is nn.Embedding and module.weight is weight and weight.requires_grad:
            yield module


def _faster(module: nn.Module) -> nn.Module | None:
    from transformers.activations import NewGELUActivation

    if type(module) is nn.Dropout:
        return Dropout(module.p).train(module.training)
    if isinstance(module, NewGELUActivation):
        return Gelu(module).train(module.training)
    if type(module).__name__ in ("T5LayerNorm", "MT5LayerNorm", "UMT5LayerNorm"):
        return Norm(module).train(module.training)
    return None


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Softmax attention as transformers calls it; outside of training its `sdpa` answers.

    Args:
        module: the attention layer.
        query: (batch, heads, queries, width).
        key: (batch, heads, keys, width).
        value: like the keys.
        attention_mask: (batch, 1, queries, keys), added to the scores, or false where nothing is to be seen.
        settings: `dropout` of the weights, `scaling` of the scores, and what is added to them,
            `position_bias`: (1, heads, queries, keys).

    Returns:
        (batch, queries, heads, width), and no weights.
    """
    if not module.training or (attention_mask is None and module.is_causal):
        from transformers import AttentionInterface

        answer = AttentionInterface()["sdpa"](module, query, key, value, attention_mask, **settings)
        return cast(tuple[Tensor, None], answer)
    scores = torch.matmul(query, key.transpose(2, 3))
    if settings["scaling"] != 1.0:
        scores.mul_(settings["scaling"])
    scores.add_(settings["position_bias"])
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores.add_(attention_mask)
    weights = drop(torch.softmax(scores, -1), settings["dropout"])
    return torch.matmul(weights.to(value.dtype), value).transpose(1, 2).contiguous(), None


def _register_attention() -> None:
    """Make the attention known to transformers, with masks that are added to the scores."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(_ATTENTION, _attention)
    AttentionMaskInterface.register(_ATTENTION, eager_mask)
