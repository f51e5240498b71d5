"""Tokens drawn from a model's distribution, so that a draw depends on what is asked alone.

The draw of token t of sample j of an input is a function of (seed, the input's token ids, j, t) and of the
logits: never of the batch, the order, or what else is drawn. Filters are applied as in transformers:
temperature, then top_k, then top_p; nothing is applied that was not asked for. Knows nothing of how a row's
logits come about.
"""

import hashlib
import struct
from collections.abc import Sequence

import torch
from torch import Tensor

from ramekin.infer.decoding import Decoding
from ramekin.infer.ready import require_finite
from ramekin.infer.write import Choose, Sample

__all__ = ["draw", "drawing", "sample_key", "token_weights", "uniform"]

_TOP = 512
"""So many of the most probable tokens mostly hold top_p; sorting them is cheaper than sorting all."""


def sample_key(seed: int, input_ids: Sequence[int]) -> bytes:
    """What all draws of an input have in common, 32 bytes."""
    return hashlib.sha256(f"{seed}:{','.join(map(str, input_ids))}".encode()).digest()


def uniform(key: bytes, sample: int, position: int) -> float:
    """The uniform number in [0, 1) of one draw: a keyed hash of (sample, position).

    >>> uniform(sample_key(0, [5, 1]), 3, 2) == uniform(sample_key(0, [5, 1]), 3, 2)
    True
    """
    digest = hashlib.blake2b(struct.pack("<QQ", sample, position), key=key, digest_size=8).digest()
    # 52 bits, not 53: the largest times any sum of weights is then below that sum in float64.
    return (int.from_bytes(digest, "little") >> 12) * 2.0**-52


def token_weights(logits: Tensor, decoding: Decoding) -> Tensor:
    """Numbers in proportion to which tokens are drawn: (rows, vocab) -> (rows, vocab), fp32, 0 or more.

    Temperature: softmax(logits / temperature). top_k: tokens below the k-th logit are left out, all that
    equal it stay. top_p (Holtzman et al. 2020, arXiv 1904.09751): of what is left, the smallest set of most
    probable tokens whose share is `top_p` or more; among equals the smaller ids (transformers takes those
    that a sort happens to put last).

    Raises:
        WeightsError: the logits are not finite.

    >>> weights = token_weights(torch.tensor([[0.0, 2.0, 1.0]]), Decoding(sampling_temperature=0.5, top_k=2))
    >>> [round(float(p), 4) for p in (weights / weights.sum())[0]]
    [0.0, 0.8808, 0.1192]
    """
    logits = logits.float()
    highest = logits.amax(dim=-1, keepdim=True)
    require_finite(highest)
    weights = (logits - highest).div_(decoding.sampling_temperature).exp_()
    if 0 < decoding.top_k < logits.shape[-1]:
        last = logits.topk(decoding.top_k, dim=-1).values[:, -1:]
        weights.masked_fill_(logits < last, 0.0)
    return _nucleus(weights, decoding.top_p) if decoding.top_p < 1 else weights


def draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Inverse distribution function, tokens in the order of their ids.

    In that order two tokens of almost equal probability keep their places when rounding swaps them.

    Args:
        weights: (rows, vocab), in proportion to the probabilities.
        uniforms: (rows, draws) in [0, 1), float64.

    Returns:
        (rows, draws), the tokens; none has weight 0.

    >>> draw(torch.tensor([[1.0, 0.0, 3.0]]), torch.tensor([[0.0, 0.24, 0.25]], dtype=torch.float64)).tolist()
    [[0, 0, 2]]
    """
    heights = weights.cumsum(dim=-1, dtype=torch.float64)
    return torch.searchsorted(heights, uniforms * heights[:, -1:], right=True)


def drawing(inputs: Sequence[Sequence[int]], decoding: Decoding) -> Choose:
    """Choose tokens by drawing them; the inputs are those of the batch, in its order."""
    keys = [sample_key(decoding.seed, ids) for ids in inputs]

    def choose(logits: Tensor, samples: Sequence[Sequence[Sample]], position: int) -> list[list[int]]:
        numbers = [[uniform(keys[place], number, position) for place, number in own] for own in samples]
        width = max(1, *map(len, numbers))
        uniforms = torch.tensor(
            [[*own, *(0.0,) * (width - len(own))] for own in numbers],
            dtype=torch.float64,
            device=logits.device,
        )
        tokens: list[list[int]] = draw(token_weights(logits, decoding), uniforms).tolist()
        return [row[: len(own)] for row, own in zip(tokens, samples, strict=True)]

    return choose


def _nucleus(weights: Tensor, top_p: float) -> Tensor:
    """The weights with 0 for what is not among the fewest that hold `top_p` of them."""
    wanted = top_p * weights.sum(dim=-1, keepdim=True, dtype=torch.float64)
    largest = weights.topk(min(_TOP, weights.shape[-1]), dim=-1).values.double()
    if bool((largest.sum(dim=-1, keepdim=True) < wanted).any()):
        largest = weights.sort(dim=-1, descending=True).values.double()
    before = largest.cumsum(dim=-1) - largest
    kept = (before < wanted).sum(dim=-1, keepdim=True)
    last = largest.gather(-1, kept - 1)
    weights = weights.masked_fill(weights < last, 0.0)
    equal = weights == last
    room = kept - (largest > last).sum(dim=-1, keepdim=True)
    if bool((equal.sum(dim=-1, keepdim=True) > room).any()):
        weights = weights.masked_fill(equal & (equal.cumsum(dim=-1) > room), 0.0)
    return weights
