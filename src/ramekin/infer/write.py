"""Outputs written token by token, each from the one before: what greedy decoding and sampling share.

Samples of an input that have written the same so far are one row of the decoder, and part when their tokens
differ: what they have in common is computed once. Who has ended leaves. How a token is chosen is the
caller's.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from ramekin.infer.decoder import Decoder

__all__ = ["HEAD_ROWS", "SHRINK_BELOW", "Choose", "Sample", "write"]

HEAD_ROWS = 256
"""Rows whose logits are held at one time: with T5's vocabulary 33 MB in fp32."""
SHRINK_BELOW = 0.75
"""Rows that have ended leave once no more than this part goes on: moving the others has its price."""


@final
class Sample(NamedTuple):
    """One of the outputs that are being written."""

    input: int
    """The place of its input in the batch."""
    number: int
    """Which of the input's outputs it is."""


Choose: TypeAlias = Callable[[Tensor, Sequence[Sequence[Sample]], int], list[list[int]]]
"""(logits (rows, vocab), the samples of each row, position) -> a token for each sample of each row."""

_Row: TypeAlias = tuple[int, int, list[Sample]]
"""The row it comes from, its last token, and its samples; none if they have ended."""


def write(
    decoder: Decoder, choose: Choose, *, num_samples: int, max_new_tokens: int, start_id: int, eos_id: int
) -> list[tuple[tuple[int, ...], ...]]:
    """Write `num_samples` outputs for each input of the batch.

    Args:
        decoder: of the batch, at its beginning.
        choose: chooses the tokens.
        num_samples: outputs an input.
        max_new_tokens: at most so many tokens are written, `eos_id` among them.
        start_id: the decoder's first token.
        eos_id: the token that ends an output.

    Returns:
        For each input its outputs, up to and with `eos_id` if it was written.
    """
    outputs: list[list[list[int]]] = [[[] for _ in range(num_samples)] for _ in range(decoder.num_inputs)]
    rows: list[_Row] = [
        (place, start_id, [Sample(place, number) for number in range(num_samples)])
        for place in range(decoder.num_inputs)
    ]
    for position in range(max_new_tokens):
        hidden = decoder.advance(torch.tensor([token for _, token, _ in rows], device=decoder.device))
        samples = [own for *_, own in rows]
        chosen: list[list[int]] = []
        for start in range(0, len(rows), HEAD_ROWS):
            part = slice(start, start + HEAD_ROWS)
            chosen += choose(decoder.logits(hidden[part]), samples[part], position)
        for own, tokens in zip(samples, chosen, strict=True):
            for sample, token in zip(own, tokens, strict=True):
                outputs[sample.input][sample.number].append(token)
        rows = _next_rows(samples, chosen, eos_id)
        if not rows:
            break
        parents = [parent for parent, *_ in rows]
        if parents != list(range(len(samples))):
            decoder.keep(torch.tensor(parents, device=decoder.device))
    return [tuple(map(tuple, own)) for own in outputs]


def _next_rows(
    samples: Sequence[Sequence[Sample]], chosen: Sequence[Sequence[int]], eos_id: int
) -> list[_Row]:
    """A row for each different token after a row, and for each ended one while leaving is not worth it."""
    rows: list[_Row] = []
    for parent, (own, tokens) in enumerate(zip(samples, chosen, strict=True)):
        going: dict[int, list[Sample]] = {}
        for sample, token in zip(own, tokens, strict=True):
            if token != eos_id:
                going.setdefault(token, []).append(sample)
        rows += [(parent, token, them) for token, them in going.items()] or [(parent, eos_id, [])]
    alive = [row for row in rows if row[2]]
    return alive if len(alive) <= SHRINK_BELOW * len(rows) else rows
