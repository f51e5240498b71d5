"""The decoder of T5 models one step at a time: encode a batch once, feed a token a row, get the next logits.

It runs the layers of a T5, mT5 or UMT5 model itself, with position biases computed once, preallocated
caches and one mask, since at small sizes most of transformers' time goes into making those anew at every
step. It calls the model's own modules, so adapters in them keep working. It does not choose tokens.
"""

from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ramekin.errors import WeightsError
from ramekin.weights.config import SUPPORTED
from ramekin.weights.seq2seq import tie_state

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Decoder"]


@final
class Decoder:
    """The state of one batch that is being decoded (T5: Raffel et al. 2020, arXiv 1910.10683).

    Attention is not scaled. In self-attention position enters as a learned bias, of the first layer for all
    (in UMT5 each layer has its own); cross-attention has none.

    Args:
        model: an encoder-decoder of the T5 family in evaluation mode, or one wrapped by adapters.
        input_ids: (batch, input_length)
        attention_mask: (batch, input_length), 1 where there is a token.
        max_new_tokens: how many steps there can be.

    Raises:
        WeightsError: the model is not of the T5 family.
    """

    def __init__(
        self, model: "PreTrainedModel", input_ids: Tensor, attention_mask: Tensor, *, max_new_tokens: int
    ) -> None:
        self._model = seq2seq = _unwrapped(model)
        self._scale = seq2seq.config.d_model**-0.5 if tie_state(seq2seq).scaled else None
        self._heads: int = seq2seq.config.num_heads
        hidden = seq2seq.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        self._mask = _additive_mask(attention_mask, hidden.dtype)
        self._blocks = [tuple(block.layer) for block in seq2seq.decoder.block]
        self._biases = _position_biases([layers[0].SelfAttention for layers in self._blocks], max_new_tokens)
        cross = [layers[1].EncDecAttention for layers in self._blocks]
        self._cross = [(self._split(a.k(hidden)), self._split(a.v(hidden))) for a in cross]
        cache = hidden.new_empty((len(input_ids), self._heads, max_new_tokens, seq2seq.config.d_kv))
        self._past = [(torch.empty_like(cache), torch.empty_like(cache)) for _ in self._blocks]
        self._position = 0

    def step(self, tokens: Tensor) -> Tensor:
        """Feed the last token of each row: tokens (rows,) -> logits (rows, vocab) of the next."""
        model = self._model
        hidden = model.decoder.embed_tokens(tokens[:, None])
        for index, (attend, cross_attend, feed_forward) in enumerate(self._blocks):
            hidden = self._self_attention(index, attend, hidden)
            hidden = self._cross_attention(index, cross_attend, hidden)
            hidden = feed_forward(hidden)
        self._position += 1
        hidden = model.decoder.final_layer_norm(hidden)
        logits: Tensor = model.lm_head(hidden if self._scale is None else hidden * self._scale)
        return logits[:, 0]

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows only: rows (kept,), their places in the present batch."""
        self._cross = [(keys[rows], values[rows]) for keys, values in self._cross]
        self._past = [(keys[rows], values[rows]) for keys, values in self._past]
        self._mask = None if self._mask is None else self._mask[rows]

    def _self_attention(self, index: int, layer: Any, hidden: Tensor) -> Tensor:
        attention, (keys, values) = layer.SelfAttention, self._past[index]
        here, end = self._position, self._position + 1
        normed = layer.layer_norm(hidden)
        keys[:, :, here] = self._split(attention.k(normed))[:, :, 0]
        values[:, :, here] = self._split(attention.v(normed))[:, :, 0]
        mixed = scaled_dot_product_attention(
            self._split(attention.q(normed)),
            keys[:, :, :end],
            values[:, :, :end],
            attn_mask=self._biases[index][:, :, here:end, :end],
            scale=1.0,
        )
        return hidden + attention.o(self._join(mixed))  # type: ignore[no-any-return]

    def _cross_attention(self, index: int, layer: Any, hidden: Tensor) -> Tensor:
        attention, (keys, values) = layer.EncDecAttention, self._cross[index]
        query = self._split(attention.q(layer.layer_norm(hidden)))
        mixed = scaled_dot_product_attention(query, keys, values, attn_mask=self._mask, scale=1.0)
        return hidden + attention.o(self._join(mixed))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        """(rows, length, heads * width) -> (rows, heads, length, width)."""
        return x.view(*x.shape[:2], self._heads, -1).transpose(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        """(rows, heads, length, width) -> (rows, length, heads * width)."""
        return x.transpose(1, 2).flatten(2)


def _unwrapped(model: "PreTrainedModel") -> Any:
    """The model of the T5 family inside its wrappers, found without importing any of them."""
    for module in model.modules():
        if type(module).__name__ in SUPPORTED.values():
            return module
    raise WeightsError(
        "the model cannot be decoded",
        where=type(model).__name__,
        expected=f"one of {', '.join(sorted(SUPPORTED.values()))}",
    )


def _position_biases(attentions: list[Any], length: int) -> list[Tensor]:
    """Each layer's own biases, or those of the layer before it: (1, heads, length, length) a layer."""
    biases: list[Tensor] = []
    for attention in attentions:
        own = attention.has_relative_attention_bias
        biases.append(attention.compute_bias(length, length) if own else biases[-1])
    return biases


def _additive_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """(batch, length) of 0 and 1 -> (batch, 1, 1, length) of the least number and 0; None if all are 1."""
    if bool(attention_mask.all()):
        return None
    hidden = attention_mask[:, None, None, :] == 0
    zeros = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    return zeros.masked_fill_(hidden, torch.finfo(dtype).min)
