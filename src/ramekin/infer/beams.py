"""Beam search: the best of the k most probable beginnings of an input, length by length.

The rules are those of transformers' `generate(num_beams=k, do_sample=False, early_stopping=False)`, written
for one input at a time, so that a result cannot depend on what shares its batch:

- Of all one-token continuations of the k beams, the 2k most probable are looked at. Those of the first k
  that end are finished; one that ends further down is dropped. The first k that do not end are the next
  beams.
- A finished hypothesis of n tokens, `</s>` counted and the start token not, scores its log-probability over
  n ** length_penalty. The k best are kept; at `max_new_tokens` the first k count as finished, ended or not.
- The search is over when k are finished and the best beam, scored at its present length, does not beat the
  worst of them. With a positive length penalty that is a guess: a longer continuation could still have won.

The outputs are the finished hypotheses of the highest scores. One ends where it ends: transformers fills what
follows with `</s>` where padding has id 0. With the true attention mask its search does not depend on padding
either; which of two exactly equal scores it takes is not defined, here it is the one that came first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, final

from ramekin.infer.decoding import Decoding
from ramekin.infer.request import Alternatives

__all__ = ["Candidate", "Ends", "Hypothesis", "Search", "extend"]

Ends: TypeAlias = Callable[[Sequence[int]], bool]
"""Whether an output ends with these tokens."""


@final
class Hypothesis(NamedTuple):
    """A beginning, or a whole output."""

    score: float
    """Its log-probability; once it is finished, over its length to the penalty."""
    tokens: tuple[int, ...]
    parent: int = 0
    """Which of the beams before it continues."""
    sums: tuple[float, ...] = ()
    """Its log-probability up to and with each token."""
    alternatives: tuple[Alternatives, ...] = ()
    """What was the most probable at each position, where that is asked for."""


@final
class Candidate(NamedTuple):
    """A beam with one token more."""

    log_prob: float
    beam: int
    token: int
    alternatives: tuple[Alternatives, ...] = ()
    """Those of the position, one or none."""


@final
class Search(NamedTuple):
    """The search for one input."""

    beams: tuple[Hypothesis, ...] = (Hypothesis(0.0, ()),)
    """What is continued, most probable first; one in the beginning, then `num_beams`."""
    finished: tuple[Hypothesis, ...] = ()
    """At most `num_beams`, best first."""
    is_over: bool = False


def extend(
    search: Search, candidates: Sequence[Candidate], decoding: Decoding, *, ends: Ends, is_last: bool
) -> Search:
    """Take one step of the search.

    Args:
        search: not over.
        candidates: the `2 * num_beams` most probable continuations of its beams, best first; fewer where
            outputs have a form.
        decoding: the number of beams and the length penalty.
        ends: whether an output ends, by `</s>` or otherwise.
        is_last: whether no token can follow.

    >>> start, both = Search(), [Candidate(-0.5, 0, 7), Candidate(-1.0, 0, 1), Candidate(-1.2, 0, 8)]
    >>> after = extend(start, both, Decoding(num_beams=2), ends=lambda ids: ids[-1] == 1, is_last=False)
    >>> [beam.tokens for beam in after.beams], after.finished[0].tokens, after.is_over
    ([(7,), (8,)], (1,), False)
    """
    width, length = decoding.num_beams, len(search.beams[0].tokens) + 1
    scale = float(length**decoding.length_penalty)
    beams: list[Hypothesis] = []
    finished = list(search.finished)
    for place, (log_prob, beam, token, alternatives) in enumerate(candidates):
        before = search.beams[beam]
        longer = Hypothesis(
            log_prob,
            (*before.tokens, token),
            beam,
            (*before.sums, log_prob),
            (*before.alternatives, *alternatives),
        )
        if not is_last and not ends(longer.tokens):
            beams.append(longer)
        elif place < width:
            finished.append(longer._replace(score=log_prob / scale))
    best = sorted(finished, key=lambda each: -each.score)[:width]
    hopeless = len(best) == width and beams and beams[0].score / scale <= best[-1].score
    is_over = is_last or not beams or bool(hopeless)
    return Search(tuple(beams[:width]), tuple(best), is_over)
