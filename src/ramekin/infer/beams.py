"""Beam search: the best of the k most probable beginnings of an input, length by length.

The rules are those of transformers' `generate(num_beams=k, do_sample=False, early_stopping=False)`, written
for one input at a time (`extend`), so that a result cannot depend on what shares its batch:

- Of all one-token continuations of the k beams, the 2k most probable are looked at. Those of the first k
  that end are finished; one that ends further down is dropped. The first k that do not end are the next
  beams.
- A finished hypothesis of n tokens, `</s>` counted and the start token not, scores its log-probability over
  n ** length_penalty. The k best are kept; at `max_new_tokens` the first k count as finished, ended or not.
- The search is over when k are finished and the best beam, scored at its present length, does not beat the
  worst of them. With a positive length penalty that is a guess: a longer continuation could still have won.

The output is the finished hypothesis of the highest score, and ends where it ends: transformers fills what
follows with `</s>` where padding has id 0. With the true attention mask its search does not depend on padding
either; which of two exactly equal scores it takes is not defined, here it is the one that came first.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from ramekin.infer.decoder import Decoder
from ramekin.infer.decoding import Decoding
from ramekin.infer.ready import require_finite
from ramekin.infer.write import HEAD_ROWS, SHRINK_BELOW

__all__ = ["Candidate", "Hypothesis", "Search", "extend", "search_beams"]


@final
class Hypothesis(NamedTuple):
    """A beginning, or a whole output."""

    score: float
    """Its log-probability; once it is finished, over its length to the penalty."""
    tokens: tuple[int, ...]
    parent: int = 0
    """Which of the beams before it continues."""


@final
class Candidate(NamedTuple):
    """A beam with one token more."""

    log_prob: float
    beam: int
    token: int


@final
class Search(NamedTuple):
    """The search for one input."""

    beams: tuple[Hypothesis, ...] = (Hypothesis(0.0, ()),)
    """What is continued, most probable first; one in the beginning, then `num_beams`."""
    finished: tuple[Hypothesis, ...] = ()
    """At most `num_beams`, best first."""
    is_over: bool = False


_Row: TypeAlias = tuple[int, float, int]
"""The row it comes from, its log-probability so far and its last token."""


def extend(
    search: Search, candidates: Sequence[Candidate], decoding: Decoding, *, eos_id: int, is_last: bool
) -> Search:
    """Take one step of the search.

    Args:
        search: not over.
        candidates: the `2 * num_beams` most probable continuations of its beams, best first.
        decoding: the number of beams and the length penalty.
        eos_id: the token that ends an output.
        is_last: whether no token can follow.

    >>> start, both = Search(), [Candidate(-0.5, 0, 7), Candidate(-1.0, 0, 1), Candidate(-1.2, 0, 8)]
    >>> after = extend(start, both, Decoding(num_beams=2), eos_id=1, is_last=False)
    >>> [beam.tokens for beam in after.beams], after.finished[0].tokens, after.is_over
    ([(7,), (8,)], (1,), False)
    """
    width, length = decoding.num_beams, len(search.beams[0].tokens) + 1
    scale = float(length**decoding.length_penalty)
    beams: list[Hypothesis] = []
    finished = list(search.finished)
    for place, (log_prob, beam, token) in enumerate(candidates):
        tokens = (*search.beams[beam].tokens, token)
        if not is_last and token != eos_id:
            beams.append(Hypothesis(log_prob, tokens, beam))
        elif place < width:
            finished.append(Hypothesis(log_prob / scale, tokens, beam))
    best = sorted(finished, key=lambda each: -each.score)[:width]
    hopeless = len(best) == width and beams and beams[0].score / scale <= best[-1].score
    return Search(tuple(beams[:width]), tuple(best), is_last or bool(hopeless))


def search_beams(
    decoder: Decoder, decoding: Decoding, *, max_new_tokens: int, start_id: int, eos_id: int
) -> list[tuple[tuple[int, ...], ...]]:
    """Search for the output of each input of the batch.

    Args:
        decoder: of the batch, at its beginning.
        decoding: the number of beams and the length penalty.
        max_new_tokens: at most so many tokens are written, `eos_id` among them.
        start_id: the decoder's first token.
        eos_id: the token that ends an output.

    Returns:
        For each input its one output, up to and with `eos_id` if it was written.

    Raises:
        WeightsError: the logits are not finite.
    """
    searches = [Search() for _ in range(decoder.num_inputs)]
    places = list(range(decoder.num_inputs))  # whose rows the decoder has, in its order
    rows: list[_Row] = [(place, 0.0, start_id) for place in places]
    for position in range(max_new_tokens):
        for place, found in zip(places, _candidates(decoder, rows, len(places), decoding), strict=True):
            if not searches[place].is_over:
                searches[place] = extend(
                    searches[place],
                    found,
                    decoding,
                    eos_id=eos_id,
                    is_last=position + 1 == max_new_tokens,
                )
        going = [place for place in places if not searches[place].is_over]
        if not going:
            break
        kept = going if len(going) <= SHRINK_BELOW * len(places) else places
        before = len(rows)
        rows = _next_rows(searches, places, kept, before // len(places), decoding.num_beams)
        places = kept
        parents = [parent for parent, *_ in rows]
        if parents != list(range(before)):
            decoder.keep(torch.tensor(parents, device=decoder.device))
    return [(search.finished[0].tokens,) for search in searches]


def _next_rows(
    searches: Sequence[Search], places: Sequence[int], kept: Sequence[int], had: int, width: int
) -> list[_Row]:
    """The rows of the next step: `had` rows an input before, `width` now; an ended search's are any."""
    first = {place: number * had for number, place in enumerate(places)}
    rows: list[_Row] = []
    for place in kept:
        if searches[place].is_over:
            rows += [(first[place] + number % had, 0.0, 0) for number in range(width)]
        else:
            rows += [
                (first[place] + beam.parent, beam.score, beam.tokens[-1]) for beam in searches[place].beams
            ]
    return rows


def _candidates(
    decoder: Decoder, rows: Sequence[_Row], num_inputs: int, decoding: Decoding
) -> list[list[Candidate]]:
    """The most probable continuations of each input's beams, best first."""
    device, count = decoder.device, 2 * decoding.num_beams
    hidden = decoder.advance(torch.tensor([token for *_, token in rows], device=device))
    so_far = torch.tensor([score for _, score, _ in rows], device=device)
    best: list[Tensor] = []
    tokens: list[Tensor] = []
    for start in range(0, len(rows), HEAD_ROWS):
        part = slice(start, start + HEAD_ROWS)
        log_probs = torch.log_softmax(decoder.logits(hidden[part]).float(), dim=-1)
        found = (log_probs + so_far[part, None]).topk(count, dim=-1)
        best.append(found.values)
        tokens.append(found.indices)
    values, ids = (torch.cat(each).view(num_inputs, -1) for each in (best, tokens))
    require_finite(values)
    order = values.topk(count, dim=-1)
    return [
        [Candidate(*each) for each in zip(scores, (at // count for at in where), own, strict=True)]
        for scores, where, own in zip(
            order.values.tolist(),
            order.indices.tolist(),
            ids.gather(1, order.indices).tolist(),
            strict=True,
        )
    ]
