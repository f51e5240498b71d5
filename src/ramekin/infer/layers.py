"""The encoder and decoder of T5 models, layer by layer, for computing without gradients.

They are run here, not by transformers, whose time at small sizes goes mostly into making position biases and
masks anew in every layer and call. Weights stay the model's own, but for those that are laid out anew for
speed; adapters in a model keep working. How the decoder's tokens see each other is the caller's: a step of
decoding looks into a cache, a tree of options at its ancestors. What they see of the inputs is `inputs`'s.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, final

import torch
from torch import Tensor, nn

from ramekin.errors import WeightsError
from ramekin.infer.cross_cache import CrossCache, additive_mask
from ramekin.infer.linear import Map, Packed, activation, joined, layer_norm, projection
from ramekin.infer.relative_attention import RelativeAttention
from ramekin.weights.config import SUPPORTED
from ramekin.weights.seq2seq import tie_state
from ramekin.weights.soft_prompt import covering

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["CrossAttend", "Layers", "SelfAttend"]

SelfAttend: TypeAlias = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Self-attention of one layer: (layer, queries, keys, values) -> mixed values, each (rows, heads, length,
d_kv)."""

CrossAttend: TypeAlias = Callable[[int, Tensor], Tensor]
"""Attention to the inputs in a layer: (layer, queries) -> mixed values, each (rows, heads, length, d_kv)."""


@final
class Layers:
    """The layers of a model (T5: Raffel et al. 2020, arXiv 1910.10683).

    Attention is not scaled. In self-attention position enters as a learned bias, of the first layer for all
    (in UMT5 each layer has its own); cross-attention has none.

    Args:
        model: an encoder-decoder of the T5 family in evaluation mode, or one wrapped by adapters.
        packed: where copies of the decoder's weights are kept, in the layout that is fastest for a few rows:
            worth it before many steps. None: none are made, as for one pass.

    Raises:
        WeightsError: the model is not of the T5 family.
    """

    def __init__(self, model: "PreTrainedModel", *, packed: Packed | None = None) -> None:
        self._model = seq2seq = _unwrapped(model)
        self._scale = seq2seq.config.d_model**-0.5 if tie_state(seq2seq).scaled else None
        self.heads: int = seq2seq.config.num_heads
        self.width: int = seq2seq.config.d_kv
        self.dtype: torch.dtype = seq2seq.dtype
        self.device: torch.device = seq2seq.device
        self.vocab_size: int = seq2seq.config.vocab_size
        self._encoder = [_EncoderBlock(block) for block in seq2seq.encoder.block]
        self._decoder = [_DecoderBlock(block, packed=packed) for block in seq2seq.decoder.block]
        self._encoder_norm = layer_norm(seq2seq.encoder.final_layer_norm)
        self._decoder_norm = layer_norm(seq2seq.decoder.final_layer_norm)
        self._head = projection(seq2seq.lm_head, packed=packed)

    @property
    def num_layers(self) -> int:
        """Of the decoder."""
        return len(self._decoder)

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> CrossCache:
        """Run the encoder, and make the decoder's keys and values of what it returns.

        Args:
            input_ids: (batch, input_length)
            attention_mask: (batch, input_length), 1 where there is a token.
        """
        hidden = self._encode(input_ids, attention_mask)
        states = hidden.new_empty((self.num_layers, 2, len(hidden), self.heads, hidden.shape[1], self.width))
        for index, block in enumerate(self._decoder):
            for kind, f in enumerate((block.cross_key, block.cross_value)):
                states[index, kind] = self._split(f(hidden))
        mask = additive_mask(covering(attention_mask, hidden), hidden.dtype)
        return CrossCache(states, mask)

    def decode(self, tokens: Tensor, attend: SelfAttend, cross_attend: CrossAttend) -> Tensor:
        """Run the decoder: tokens (rows, length) -> what its head reads (rows, length, d_model)."""
        hidden: Tensor = self._model.decoder.embed_tokens(tokens)
        for index, block in enumerate(self._decoder):
            own = block.attention
            queries, keys, values = map(self._split, own.query_key_value(hidden))
            hidden = hidden + own.output(self._join(attend(index, queries, keys, values)))
            queries = self._split(block.cross_query(block.cross_norm(hidden)))
            hidden = hidden + block.cross_output(self._join(cross_attend(index, queries)))
            hidden = hidden + block.feed_forward(hidden)
        hidden = self._decoder_norm(hidden)
        return hidden if self._scale is None else hidden * self._scale

    def logits(self, hidden: Tensor) -> Tensor:
        """The head: (…, d_model) -> (…, vocab)."""
        return self._head(hidden)

    def distance_biases(self, length: int) -> list[Tensor]:
        """The decoder's biases by how far back a token lies: (heads, length) a layer, farthest first.

        A token with n before it adds the last n + 1 columns to its scores.
        """
        biases: list[Tensor] = []
        for block in self._decoder:
            if block.attention.has_bias:
                biases.append(block.attention.distances(length)[:, :length].contiguous())
            else:
                biases.append(biases[-1])
        return biases

    def _encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, length) -> (batch, length, d_model), longer by a soft prompt if there is one."""
        encoder = self._model.encoder
        if encoder._forward_pre_hooks or encoder._forward_hooks:  # a soft prompt, for one
            found: Tensor = encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return found
        hidden: Tensor = encoder.embed_tokens(input_ids)
        mask = additive_mask(attention_mask, hidden.dtype)
        attends: list[RelativeAttention] = []
        for block in self._encoder:
            own = block.attention
            if own.has_bias:
                attends = [RelativeAttention(own.distances(input_ids.shape[1]), mask)]
            queries, keys, values = map(self._split, own.query_key_value(hidden))
            hidden = hidden + own.output(self._join(attends[0].attend(queries, keys, values)))
            hidden = hidden + block.feed_forward(hidden)
        return self._encoder_norm(hidden)

    def _split(self, x: Tensor) -> Tensor:
        """(rows, length, heads * width) -> (rows, heads, length, width)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        """(rows, heads, length, width) -> (rows, length, heads * width)."""
        return x.transpose(1, 2).flatten(2)


@final
class _SelfAttention:
    """The parts of a layer of self-attention."""

    def __init__(self, layer: Any, *, packed: Packed | None) -> None:
        self._attention = attention = layer.SelfAttention
        self._norm = layer_norm(layer.layer_norm)
        self._maps = joined([attention.q, attention.k, attention.v], packed=packed)
        self.output = projection(attention.o, packed=packed)
        self.has_bias: bool = attention.has_relative_attention_bias

    def query_key_value(self, hidden: Tensor) -> Sequence[Tensor]:
        """(rows, length, d_model) -> three of (rows, length, heads * d_kv)."""
        return self._maps(self._norm(hidden))

    def distances(self, length: int) -> Tensor:
        """The biases by where a token lies: (heads, 2 * length - 1), from the farthest before to the farthest
        behind; the token itself is in the middle.
        """
        compute = self._attention.compute_bias
        before = compute(1, length, past_seen_tokens=length - 1)[0, :, 0]
        behind = compute(1, length)[0, :, 0]
        return torch.cat([before, behind[:, 1:]], dim=1)


@final
class _EncoderBlock:
    def __init__(self, block: Any) -> None:
        attention, feed_forward = block.layer
        self.attention = _SelfAttention(attention, packed=None)
        self.feed_forward = _feed_forward(feed_forward, packed=None)


@final
class _DecoderBlock:
    def __init__(self, block: Any, *, packed: Packed | None) -> None:
        attention, cross_layer, feed_forward = block.layer
        cross = cross_layer.EncDecAttention
        self.attention = _SelfAttention(attention, packed=packed)
        self.cross_norm = layer_norm(cross_layer.layer_norm)
        self.cross_query = projection(cross.q, packed=packed)
        self.cross_key = projection(cross.k)
        self.cross_value = projection(cross.v)
        self.cross_output = projection(cross.o, packed=packed)
        self.feed_forward = _feed_forward(feed_forward, packed=packed)


def _feed_forward(layer: Any, *, packed: Packed | None) -> Map:
    """Normalisation and feed-forward network of a layer; what it reads is not added."""
    dense, norm = layer.DenseReluDense, layer_norm(layer.layer_norm)
    act, down = activation(dense.act), _in_its_dtype(dense.wo, packed=packed)
    if isinstance(getattr(dense, "wi_0", None), nn.Module):
        up = joined([dense.wi_0, dense.wi_1], packed=packed)

        def gated(x: Tensor) -> Tensor:
            gate, value = up(norm(x))
            return down(act(gate) * value)

        return gated
    wide = projection(dense.wi, packed=packed)
    return lambda x: down(act(wide(norm(x))))


def _in_its_dtype(module: nn.Module, *, packed: Packed | None) -> Map:
    """A linear layer that may be held more precisely than the others."""
    f, weight = projection(module, packed=packed), getattr(module, "weight", None)
    dtype = weight.dtype if isinstance(weight, Tensor) else None
    return lambda x: f(x if dtype is None or x.dtype == dtype else x.to(dtype))


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
