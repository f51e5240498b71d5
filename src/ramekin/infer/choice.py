"""The next token of every row, by the rules of each row's request.

Rows of all requests are chosen for together; which rows share a step does not change a choice. Knows nothing
of how logits come about or of what becomes of a token.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from ramekin.infer.decoding import Decoding
from ramekin.infer.ready import require_finite
from ramekin.infer.request import Alternatives
from ramekin.infer.sampling import draw, num_bits, token_weights, uniforms

__all__ = ["Asked", "Candidates", "Found", "Picked", "choose"]


@final
class Asked(NamedTuple):
    """What one row asks of its logits."""

    rules: Decoding
    """How tokens are chosen; its seed has no say, `key` has."""
    position: int
    """How many tokens come before."""
    samples: Sequence[int] = (0,)
    """The numbers of the samples that the row writes; each gets a token of its own."""
    key: bytes = b""
    """What decides the draws, with the numbers and the position."""
    so_far: float = 0.0
    """For a beam, its log-probability."""
    forced: int | None = None
    """The token that it has to be."""
    allowed: Tensor | None = None
    """(vocab,), true where a token may be chosen; None: all."""
    log_probs: bool = False
    """Whether the log-probability of what is chosen is asked for."""
    num_alternatives: int = 0
    """How many of the most probable tokens are asked for."""


@final
class Picked(NamedTuple):
    """A token for each of a row's samples."""

    tokens: list[int]
    log_probs: list[float]
    """Of each token, by the model alone; none if not asked for."""
    alternatives: Alternatives
    """Those of the row, if asked for."""


@final
class Candidates(NamedTuple):
    """The most probable continuations of a beam, best first, twice as many as there are beams."""

    log_probs: list[float]
    """Of the whole beam with the token."""
    tokens: list[int]
    alternatives: Alternatives


Found: TypeAlias = Picked | Candidates


def choose(logits: Tensor, asked: Sequence[Asked]) -> list[Found]:
    """Choose for every row: logits (rows, vocab), one of `asked` a row.

    Raises:
        WeightsError: the logits are not finite.
    """
    groups: dict[Decoding, list[int]] = defaultdict(list)
    for row, each in enumerate(asked):
        groups[each.rules].append(row)
    found: dict[int, Found] = {}
    for rules, rows in groups.items():
        own = logits if len(groups) == 1 else logits[torch.tensor(rows, device=logits.device)]
        of_group = [asked[row] for row in rows]
        picked = _candidates(own, of_group, rules) if rules.num_beams > 1 else _tokens(own, of_group, rules)
        found.update(zip(rows, picked, strict=True))
    return [found[row] for row in range(len(asked))]


def _tokens(logits: Tensor, asked: Sequence[Asked], rules: Decoding) -> Sequence[Found]:
    open_to = _allowed(logits, asked)
    if rules.is_random:
        tokens = _drawn(open_to, asked, rules)
    else:
        highest, best = open_to.max(dim=-1)
        require_finite(highest)
        tokens = [[token] * len(each.samples) for token, each in zip(best.tolist(), asked, strict=True)]
    for own, each in zip(tokens, asked, strict=True):
        if each.forced is not None:
            own[:] = [each.forced] * len(own)
    log_probs = _log_probs(logits, asked, tokens)
    alternatives = _alternatives(logits, asked)
    return [Picked(*each) for each in zip(tokens, log_probs, alternatives, strict=True)]


def _drawn(logits: Tensor, asked: Sequence[Asked], rules: Decoding) -> list[list[int]]:
    count = num_bits(logits.shape[-1])
    numbers = torch.zeros(len(asked), max(len(each.samples) for each in asked), count, dtype=torch.float64)
    for row, each in enumerate(asked):
        draws = [(number, each.position) for number in each.samples]
        numbers[row, : len(draws)] = uniforms(each.key, draws, count)
    tokens: list[list[int]] = draw(token_weights(logits, rules), numbers.to(logits.device)).tolist()
    return [row[: len(each.samples)] for row, each in zip(tokens, asked, strict=True)]


def _candidates(logits: Tensor, asked: Sequence[Asked], rules: Decoding) -> Sequence[Found]:
    count = 2 * rules.num_beams
    log_probs = torch.log_softmax(logits.float(), dim=-1)
    require_finite(log_probs.amax(dim=-1))
    for row, each in enumerate(asked):
        if each.forced is not None:
            only = log_probs[row, each.forced].clone()
            log_probs[row] = -torch.inf
            log_probs[row, each.forced] = only
    so_far = torch.tensor([each.so_far for each in asked], device=logits.device)
    found = (_allowed(log_probs, asked) + so_far[:, None]).topk(count, dim=-1)
    alternatives = _alternatives(logits, asked)
    return [
        Candidates(*each)
        for each in zip(found.values.tolist(), found.indices.tolist(), alternatives, strict=True)
    ]


def _allowed(logits: Tensor, asked: Sequence[Asked]) -> Tensor:
    """The logits with what may not be chosen at minus infinity."""
    rows = [row for row, each in enumerate(asked) if each.allowed is not None]
    if not rows:
        return logits
    logits = logits.clone()
    for row in rows:
        logits[row].masked_fill_(~asked[row].allowed, -torch.inf)  # type: ignore[operator]
    return logits


def _log_probs(
    logits: Tensor, asked: Sequence[Asked], tokens: Sequence[Sequence[int]]
) -> Sequence[list[float]]:
    """Of what was chosen, for the rows that ask for it."""
    rows = [row for row, each in enumerate(asked) if each.log_probs]
    if not rows:
        return [[]] * len(asked)
    own = logits[torch.tensor(rows, device=logits.device)].float()
    totals = own.logsumexp(dim=-1).tolist()
    found: list[list[float]] = [[] for _ in asked]
    for place, row in enumerate(rows):
        ids = torch.tensor(tokens[row], device=logits.device, dtype=torch.long)
        found[row] = [value - totals[place] for value in own[place, ids].tolist()]
    return found


def _alternatives(logits: Tensor, asked: Sequence[Asked]) -> Sequence[Alternatives]:
    found: list[Alternatives] = [()] * len(asked)
    for row, each in enumerate(asked):
        if each.num_alternatives:
            best = torch.log_softmax(logits[row].float(), dim=-1).topk(each.num_alternatives)
            found[row] = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return found
