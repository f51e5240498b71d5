"""Tokens drawn from a model's distribution, so that a draw depends on what is asked alone.

The draw of token t of sample j of an input is a function of (seed, the input's token ids, j, t) and of the
logits: never of the batch, the order, or what else is drawn. Filters are applied as in transformers:
temperature, then top_k, then top_p, then typical_p; nothing is applied that was not asked for. Knows nothing
of how a row's logits come about.
"""

import hashlib
import struct
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ramekin.infer.decoding import Decoding
from ramekin.infer.ready import require_finite

__all__ = ["draw", "num_bits", "sample_key", "token_weights", "uniforms"]

_TOP = 512
"""So many of the most probable tokens mostly hold top_p; summing them is cheaper than summing all."""


def sample_key(seed: int, input_ids: Sequence[int]) -> bytes:
    """What all draws of an input have in common, 32 bytes."""
    return hashlib.sha256(f"{seed}:{','.join(map(str, input_ids))}".encode()).digest()


def uniforms(key: bytes, draws: Sequence[tuple[int, int]], count: int) -> Tensor:
    """The uniform numbers in [0, 1) of some draws, from a hash of the key, the sample and the position.

    Args:
        key: of the input.
        draws: (sample, position) of each.
        count: how many numbers each draw needs.

    Returns:
        (draws, count), float64.

    >>> bool(uniforms(sample_key(0, [5, 1]), [(3, 2)], 4).equal(uniforms(sample_key(0, [5, 1]), [(3, 2)], 4)))
    True
    """
    digests = [hashlib.shake_128(key + struct.pack("<QQ", *each)).digest(8 * count) for each in draws]
    words = np.frombuffer(b"".join(digests), dtype="<u8").reshape(len(draws), count)
    # 52 bits, not 53: the largest number times a sum in float64 is then below that sum.
    return torch.from_numpy((words >> np.uint64(12)).astype(np.float64) * 2.0**-52)


def token_weights(logits: Tensor, decoding: Decoding) -> Tensor:
    """Numbers in proportion to which tokens are drawn: (rows, vocab) -> (rows, vocab), fp32, 0 or more.

    Temperature: softmax(logits / temperature). top_k: tokens below the k-th logit are left out, all that
    equal it stay. top_p (Holtzman et al. 2020, arXiv 1904.09751): of what is left, the smallest set of most
    probable tokens whose share is `top_p` or more; among equals the smaller ids (transformers takes those
    that a sort happens to put last). typical_p (Meister et al. 2023, arXiv 2202.00666): of what is left then,
    renormalised, the smallest set of tokens whose information lies nearest to the entropy and whose share is
    `typical_p` or more; among equals the smaller ids.

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
    if decoding.top_p < 1:
        weights = _nucleus(weights, decoding.top_p)
    return _typical(weights, decoding.typical_p) if decoding.typical_p < 1 else weights


def draw(weights: Tensor, numbers: Tensor) -> Tensor:
    """Draw tokens bit by bit: each bit of the id by the share of those that have it, given the bits below.

    By the chain rule that is the whole distribution. One number against the cumulated shares of all tokens
    would do too, but there rounding moves every border between two tokens by what it did to all before them,
    so that another batch changes more draws: seven times as many where a model is sure, a hundred times where
    all tokens are about as probable.

    Args:
        weights: (rows, vocab), in proportion to the probabilities.
        numbers: (rows, draws, bits) in [0, 1), float64; `num_bits(vocab)` bits, the lowest first.

    Returns:
        (rows, draws), the tokens; none has weight 0.

    >>> numbers = torch.tensor([[[0.2, 0.7], [0.2, 0.3]]], dtype=torch.float64)
    >>> draw(torch.tensor([[1.0, 0.5, 1.0]]), numbers).tolist()  # 0.2 < 2 / 2.5: even; 0.7 > 1 / 2: 2
    [[2, 0]]
    """
    levels = [pad(weights, (0, 2 ** num_bits(weights.shape[-1]) - weights.shape[-1]))]
    while levels[-1].shape[-1] > 2:
        levels.append(levels[-1].view(len(weights), 2, -1).sum(dim=1))
    tokens = torch.zeros(numbers.shape[:2], dtype=torch.long, device=weights.device)
    for bit, level in enumerate(reversed(levels)):
        without, having = (level.gather(-1, tokens + extra).double() for extra in (0, 2**bit))
        tokens += 2**bit * (numbers[..., bit] * (without + having) >= without)
    return tokens


def num_bits(vocab: int) -> int:
    """How many bits an id has, one at least.

    >>> num_bits(32128), num_bits(32768), num_bits(32769)
    (15, 15, 16)
    """
    return max(1, (vocab - 1).bit_length())


def _nucleus(weights: Tensor, top_p: float) -> Tensor:
    """The weights with 0 for what is not among the fewest that hold `top_p` of them."""
    wanted = top_p * weights.sum(dim=-1, keepdim=True, dtype=torch.float64)
    ordered = _ordered(weights)
    largest = ordered[:, :_TOP].double()
    if bool((largest.sum(dim=-1, keepdim=True) < wanted).any()):
        largest = ordered.double()
    before = largest.cumsum(dim=-1) - largest
    kept = (before < wanted).sum(dim=-1, keepdim=True)
    last = largest.gather(-1, kept - 1)
    weights = weights.masked_fill(weights < last, 0.0)
    equal = weights == last
    room = kept - (largest > last).sum(dim=-1, keepdim=True)
    if bool((equal.sum(dim=-1, keepdim=True) > room).any()):
        weights = weights.masked_fill(equal & (equal.cumsum(dim=-1) > room), 0.0)
    return weights


def _ordered(weights: Tensor) -> Tensor:
    """The weights of each row, the largest first."""
    if weights.device.type == "cpu":  # numpy sorts ten times as fast as torch, 16 rows of 32,128 in 1.4 ms
        return torch.from_numpy(np.sort(weights.numpy(), axis=-1)).flip(-1)
    return weights.sort(dim=-1, descending=True).values


def _ascending(numbers: Tensor) -> Tensor:
    """Where each row's numbers, of 0 or more, come in order: smallest first, the first of equals first."""
    if numbers.device.type != "cpu":
        return numbers.sort(dim=-1, stable=True).indices
    # The bits of such floats are in the order of their values; below them the place makes each key another,
    # so that a sort of whole numbers will do, which takes numpy a quarter of torch's time for a stable one.
    keys = numbers.numpy().view(np.uint32).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(numbers.shape[-1], dtype=np.uint64)
    keys.sort(axis=-1)
    return torch.from_numpy((keys & np.uint64(0xFFFFFFFF)).astype(np.int64))


def _typical(weights: Tensor, typical_p: float) -> Tensor:
    """The weights with 0 for what is not among those nearest to the entropy that hold `typical_p`."""
    shares = weights / weights.sum(dim=-1, keepdim=True)
    information = -shares.log()  # infinite for what was left out before
    entropy = (shares * information).nan_to_num_(0.0).sum(dim=-1, keepdim=True)
    order = _ascending((information - entropy).abs())
    sorted_shares = shares.gather(-1, order).double()
    before = sorted_shares.cumsum(dim=-1) - sorted_shares
    kept = torch.zeros_like(weights, dtype=torch.bool).scatter_(-1, order, before < typical_p)
    return weights.masked_fill(~kept, 0.0)
