"""A start for small encoders from which comparing two sentences is learned in minutes.

A T5 of random weights takes very long to discover that equal words in two sentences belong together. Here the
encoder's attention starts out matching equal tokens, and looking away from the token itself:

    W_k ~ N(0, 1/d_model),   W_q = W_k / sqrt(d_kv),   bias(same position) = self_bias

after mimetic initialisation (Trockman and Kolter 2023, https://arxiv.org/abs/2305.09828), which shapes
W_q W_kᵀ towards the identity as it is found in trained models. For models trained from nothing; knows
nothing of checkpoints.
"""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["start_matching"]


@torch.no_grad()
def start_matching(model: "PreTrainedModel", *, seed: int, self_bias: float = -5.0) -> None:
    """Set the encoder's query and key weights and the bias of the same position, in place.

    Args:
        model: a T5 fresh from `build_model`.
        seed: of the key weights; the global random state is left as it was.
        self_bias: added to the attention of a position to itself, in every head.
    """
    generator = torch.Generator().manual_seed(seed)
    d_model, d_kv = model.config.d_model, model.config.d_kv
    for block in model.encoder.block:
        attention = block.layer[0].SelfAttention
        shape = attention.k.weight.shape
        attention.k.weight.copy_(torch.randn(shape, generator=generator) * d_model**-0.5)
        # T5 does not divide its scores by sqrt(d_kv), so the weights must.
        attention.q.weight.copy_(attention.k.weight / d_kv**0.5)
    # Bucket 0 is the distance 0; the first block's biases serve all blocks.
    model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight[0] = self_bias
