"""The decoder of T5 models over one encoded batch, layer by layer.

It runs the layers of a T5, mT5 or UMT5 model itself: the encoder once, cross-attention's keys and values
once, position biases once, since at small sizes most of transformers' time goes into making those anew at
every call. It calls the model's own modules, so adapters in them keep working. Rows of one input, such as its
samples, read one copy of its cross-attention's keys and values. How the decoder's tokens see each other is
the caller's: a step of decoding looks into a cache, a tree of options at its ancestors.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ramekin.errors import WeightsError
from ramekin.infer.fold import fold_of
from ramekin.weights.config import SUPPORTED
from ramekin.weights.seq2seq import tie_state
from ramekin.weights.soft_prompt import covering

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["DecoderLayers", "SelfAttend"]

SelfAttend: TypeAlias = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Self-attention of one layer: (layer, queries, keys, values) -> mixed values, each (rows, heads, length,
d_kv)."""


@final
class DecoderLayers:
    """The decoder over one batch of inputs (T5: Raffel et al. 2020, arXiv 1910.10683).

    Attention is not scaled. In self-attention position enters as a learned bias, of the first layer for all
    (in UMT5 each layer has its own); cross-attention has none.

    Args:
        model: an encoder-decoder of the T5 family in evaluation mode, or one wrapped by adapters.
        input_ids: (batch, input_length)
        attention_mask: (batch, input_length), 1 where there is a token.

    Raises:
        WeightsError: the model is not of the T5 family.
    """

    def __init__(self, model: "PreTrainedModel", input_ids: Tensor, attention_mask: Tensor) -> None:
        self._model = seq2seq = _unwrapped(model)
        self._scale = seq2seq.config.d_model**-0.5 if tie_state(seq2seq).scaled else None
        self._heads: int = seq2seq.config.num_heads
        hidden = seq2seq.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        self._mask = _additive_mask(covering(attention_mask, hidden), hidden.dtype)
        self._blocks = [tuple(block.layer) for block in seq2seq.decoder.block]
        cross = [layers[1].EncDecAttention for layers in self._blocks]
        self._cross = [(self._split(a.k(hidden)), self._split(a.v(hidden))) for a in cross]
        self._owners = list(range(len(input_ids)))
        self._fold = fold_of(self._owners, device=hidden.device)

    @property
    def cross_bytes(self) -> int:
        """The memory that the stored keys and values of cross-attention take, however many rows read them."""
        storages = [each.untyped_storage() for pair in self._cross for each in pair]
        return sum({each.data_ptr(): each.nbytes() for each in storages}.values())

    def forward(self, tokens: Tensor, attend: SelfAttend) -> Tensor:
        """Run the decoder: tokens (rows, length) -> what its head reads (rows, length, d_model)."""
        hidden: Tensor = self._model.decoder.embed_tokens(tokens)
        for index, (layer, cross_layer, feed_forward) in enumerate(self._blocks):
            attention, normed = layer.SelfAttention, layer.layer_norm(hidden)
            queries, keys, values = (self._split(f(normed)) for f in (attention.q, attention.k, attention.v))
            hidden = hidden + attention.o(self._join(attend(index, queries, keys, values)))
            hidden = self._cross_attention(index, cross_layer, hidden)
            hidden = feed_forward(hidden)
        hidden = self._model.decoder.final_layer_norm(hidden)
        return hidden if self._scale is None else hidden * self._scale

    def logits(self, hidden: Tensor) -> Tensor:
        """The head: (…, d_model) -> (…, vocab)."""
        logits: Tensor = self._model.lm_head(hidden)
        return logits

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows, or several of one: rows (kept,), their places in the present batch.

        An input whose rows are all gone leaves with its keys and values; one that has more rows than before
        is stored once, as before.
        """
        owners = [self._owners[row] for row in rows.tolist()]
        inputs = list(dict.fromkeys(owners))
        if inputs != list(range(self._fold.num_inputs)):
            kept = torch.tensor(inputs, device=rows.device)
            for index, (keys, values) in enumerate(self._cross):
                self._cross[index] = keys[kept], values[kept]
            self._mask = None if self._mask is None else self._mask[kept]
            number = {owner: place for place, owner in enumerate(inputs)}
            owners = [number[owner] for owner in owners]
        if owners != self._owners:
            self._owners, self._fold = owners, fold_of(owners, device=rows.device)

    def distance_biases(self, length: int) -> list[Tensor]:
        """Self-attention's biases by how far back a token lies: (heads, length) a layer, farthest first.

        A token with n before it adds the last n + 1 columns to its scores.
        """
        biases: list[Tensor] = []
        for layer, *_ in self._blocks:
            attention = layer.SelfAttention
            if attention.has_relative_attention_bias:
                biases.append(attention.compute_bias(length, length)[0, :, -1].contiguous())
            else:
                biases.append(biases[-1])
        return biases

    def empty_caches(self, length: int) -> list[tuple[Tensor, Tensor]]:
        """Room for keys and values of so many tokens a row: (rows, heads, length, d_kv), a pair a layer."""
        rows, heads, _, width = self._cross[0][0].shape
        new = self._cross[0][0].new_empty
        shape = (rows, heads, length, width)
        return [(new(shape), new(shape)) for _ in self._blocks]

    def _cross_attention(self, index: int, layer: Any, hidden: Tensor) -> Tensor:
        attention, (keys, values) = layer.EncDecAttention, self._cross[index]
        queries = self._fold.fold(self._split(attention.q(layer.layer_norm(hidden))))
        mixed = scaled_dot_product_attention(queries, keys, values, attn_mask=self._mask, scale=1.0)
        return hidden + attention.o(self._join(self._fold.unfold(mixed)))  # type: ignore[no-any-return]

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


def _additive_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """(batch, length) of 0 and 1 -> (batch, 1, 1, length) of the least number and 0; None if all are 1."""
    if bool(attention_mask.all()):
        return None
    hidden = attention_mask[:, None, None, :] == 0
    zeros = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    return zeros.masked_fill_(hidden, torch.finfo(dtype).min)
