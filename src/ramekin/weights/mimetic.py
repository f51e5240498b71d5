"""A start for small encoders from which comparing two sentences is learned in minutes.

A T5 of random weights takes very long to discover that equal words in two sentences belong together, and
that neighbours make phrases. Here half of the encoder's heads start out matching equal tokens and looking
away from the token itself; the others start out on the tokens before and after it, in turn:

    matching heads:    W_k ~ N(0, 1/d_model),  W_q = W_k / sqrt(d_kv),  bias(0) = -5
    neighbour heads:   bias(distance) = -distance on one side, -8 on the other, bias(0) = -2

after mimetic initialisation (Trockman and Kolter 2023, https://arxiv.org/abs/2305.09828), which shapes
W_q W_kᵀ towards the identity as it is found in trained models. For models trained from nothing; knows
nothing of checkpoints.
"""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["start_matching"]


_SELF_OF_MATCHING = -5.0
_SELF_OF_NEIGHBOURS = -2.0
_FARTHEST = 8.0


@torch.no_grad()
def start_matching(model: "PreTrainedModel", *, seed: int) -> None:
    """Set the encoder's query and key weights and its relative position biases, in place.

    Args:
        model: a T5 fresh from `build_model`.
        seed: of the key weights; the global random state is left as it was.
    """
    generator = torch.Generator().manual_seed(seed)
    d_model, d_kv, num_heads = model.config.d_model, model.config.d_kv, model.config.num_heads
    matching = num_heads // 2
    rows = slice(0, matching * d_kv)
    for block in model.encoder.block:
        attention = block.layer[0].SelfAttention
        shape = attention.k.weight[rows].shape
        attention.k.weight[rows] = torch.randn(shape, generator=generator) * d_model**-0.5
        # T5 does not divide its scores by sqrt(d_kv), so the weights must.
        attention.q.weight[rows] = attention.k.weight[rows] / d_kv**0.5
    # The first block's biases serve all blocks: (buckets, heads), bucket 0 being the token itself.
    biases = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    biases[0, :matching] = _SELF_OF_MATCHING
    half = model.config.relative_attention_num_buckets // 2
    near = -_bucket_distances(half, model.config.relative_attention_max_distance).clamp(max=_FARTHEST)
    for position, head in enumerate(range(matching, num_heads)):
        before = position % 2 == 0
        # The first half of the buckets is for tokens before, the second for tokens after.
        biases[:half, head] = near if before else -_FARTHEST
        biases[half:, head] = -_FARTHEST if before else near
        biases[0, head] = _SELF_OF_NEIGHBOURS


def _bucket_distances(half: int, max_distance: int) -> torch.Tensor:
    """The smallest distance of each bucket of one side: exact up to half of them, then growing: (half,)."""
    exact = half // 2
    growth = (max_distance / exact) ** (1 / (half - exact))
    return torch.tensor([float(i) if i < exact else exact * growth ** (i - exact) for i in range(half)])
