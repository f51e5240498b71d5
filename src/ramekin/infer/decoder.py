"""The decoder of T5 models one step at a time: encode a batch once, feed a token a row, get the next logits.

The layers are `layers`'; this module holds what they have seen so far, in preallocated caches. It does not
choose tokens.
"""

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ramekin.infer.layers import DecoderLayers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Decoder"]


@final
class Decoder:
    """The state of one batch that is being decoded; it begins with a row an input.

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
        self._layers = DecoderLayers(model, input_ids, attention_mask)
        self._biases = self._layers.distance_biases(max_new_tokens)
        self._past = self._layers.empty_caches(max_new_tokens)
        self._position = 0
        self.num_inputs = len(input_ids)
        """How many inputs it began with."""
        self.device = input_ids.device
        """Where tokens and rows are expected."""

    @property
    def cross_bytes(self) -> int:
        """The memory of cross-attention's keys and values: one copy an input."""
        return self._layers.cross_bytes

    @property
    def cache_bytes(self) -> int:
        """The memory of self-attention's caches: one a row."""
        return sum(each.untyped_storage().nbytes() for pair in self._past for each in pair)

    def step(self, tokens: Tensor) -> Tensor:
        """Feed the last token of each row: tokens (rows,) -> logits (rows, vocab) of the next."""
        return self.logits(self.advance(tokens))

    def advance(self, tokens: Tensor) -> Tensor:
        """As `step`, up to the head: tokens (rows,) -> what it reads (rows, d_model)."""
        hidden = self._layers.forward(tokens[:, None], self._attend)
        self._position += 1
        return hidden[:, 0]

    def logits(self, hidden: Tensor) -> Tensor:
        """The head, on all or some rows: (rows, d_model) -> (rows, vocab)."""
        return self._layers.logits(hidden)

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows, or several of one: rows (kept,), their places in the present batch."""
        self._layers.keep(rows)
        for index, (keys, values) in enumerate(self._past):
            self._past[index] = self._moved(keys, rows), self._moved(values, rows)

    def _moved(self, cache: Tensor, rows: Tensor) -> Tensor:
        """The cache of the kept rows; only what has been written is copied."""
        end = self._position
        if len(rows) == len(cache):
            changed = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
            cache[changed, :, :end] = cache[rows[changed], :, :end]
            return cache
        moved = cache.new_empty((len(rows), *cache.shape[1:]))
        moved[:, :, :end] = cache[rows, :, :end]
        return moved

    def _attend(self, index: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Put the token's key and value into the cache, and look at all that are there."""
        (past_keys, past_values), end = self._past[index], self._position + 1
        past_keys[:, :, self._position] = keys[:, :, 0]
        past_values[:, :, self._position] = values[:, :, 0]
        return scaled_dot_product_attention(
            queries,
            past_keys[:, :, :end],
            past_values[:, :, :end],
            attn_mask=self._biases[index][None, :, None, -end:],
            scale=1.0,
        )
