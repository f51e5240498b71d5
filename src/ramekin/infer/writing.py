"""A request while it is written: which rows of the decoder are its own, and what becomes of their tokens.

Samples that have written the same so far are one row of the decoder, and part when their tokens differ: what
they have in common is computed once. What has ended leaves. Knows nothing of models or texts: whether a stop
string has come up is asked of the caller.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias, final

from ramekin.infer.beams import Candidate, Hypothesis, Search, extend
from ramekin.infer.choice import Asked, Candidates, Found, Picked
from ramekin.infer.form_states import AbstractState
from ramekin.infer.request import Alternatives, Ending, Request
from ramekin.infer.sampling import sample_key

__all__ = ["AbstractWriting", "Line", "NextRow", "Stops", "begin"]

Stops: TypeAlias = Callable[[Sequence[int]], bool]
"""Whether the text of some tokens holds a stop string."""


@final
@dataclass(slots=True)
class Line:
    """One output as it is written."""

    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)
    ending: Ending | None = None


@final
class NextRow(NamedTuple):
    """A row of the next step."""

    parent: int
    """Which of the request's rows in the present step it goes on from."""
    token: int
    """What it is fed."""


class AbstractWriting(ABC):
    """A request that is being written, step by step, from one row on, which is fed the start token."""

    @property
    @abstractmethod
    def lines(self) -> Sequence[Line]:
        """Its outputs as far as they are decided; all of them once it is over."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing more is written."""

    @abstractmethod
    def asked(self) -> Sequence[Asked]:
        """What each of its rows asks of the logits."""

    @abstractmethod
    def take(self, found: Sequence[Found]) -> Sequence[NextRow]:
        """Take what was chosen for its rows; returns the rows of the next step, none if it is over."""


def begin(
    request: Request, *, eos_id: int, stops: Stops | None, form: AbstractState | None
) -> AbstractWriting:
    """Begin to write for a request.

    Args:
        request: what is asked.
        eos_id: the token that ends an output.
        stops: of its stop strings, if it has any.
        form: what its outputs can be, if that is restricted; at its beginning.
    """
    if request.decoding.num_beams > 1:
        return _Beams(request, eos_id, stops, form)
    return _Samples(request, eos_id, stops, form)


def _forced(request: Request, position: int) -> int | None:
    """The token of the prefix that stands at a position; None behind it."""
    prefix = request.prefix_ids
    return prefix[position] if position < len(prefix) else None


@final
class _Samples(AbstractWriting):
    """Outputs that are drawn, or the most probable one."""

    def __init__(
        self, request: Request, eos_id: int, stops: Stops | None, form: AbstractState | None
    ) -> None:
        self._request, self._eos_id, self._stops = request, eos_id, stops
        decoding = request.decoding
        self._rules = replace(decoding, seed=0, num_samples=1) if decoding.is_random else decoding
        self._key = sample_key(decoding.seed, request.input_ids) if decoding.is_random else b""
        self._lines = [Line() for _ in range(decoding.num_samples)]
        self._rows: list[tuple[Sequence[int], AbstractState | None]] = [(range(decoding.num_samples), form)]
        self._position = 0

    @property
    def lines(self) -> Sequence[Line]:
        return self._lines

    @property
    def is_over(self) -> bool:
        return not self._rows

    def asked(self) -> Sequence[Asked]:
        request, position = self._request, self._position
        forced = _forced(request, position)
        return [
            Asked(
                self._rules,
                position,
                samples,
                self._key,
                forced=forced,
                allowed=None if form is None or forced is not None else form.allowed(),
                log_probs=request.log_probs,
                num_alternatives=request.num_alternatives,
            )
            for samples, form in self._rows
        ]

    def take(self, found: Sequence[Found]) -> Sequence[NextRow]:
        self._position += 1
        is_forced = self._position <= len(self._request.prefix_ids)
        next_rows: list[NextRow] = []
        rows: list[tuple[Sequence[int], AbstractState | None]] = []
        for parent, ((samples, form), picked) in enumerate(zip(self._rows, found, strict=True)):
            assert isinstance(picked, Picked)
            going: dict[int, list[int]] = {}
            for place, (number, token) in enumerate(zip(samples, picked.tokens, strict=True)):
                line = self._lines[number]
                line.tokens.append(token)
                if picked.log_probs:
                    line.log_probs.append(picked.log_probs[place])
                if picked.alternatives:
                    line.alternatives.append(picked.alternatives)
                line.ending = self._ending(line)
                if line.ending is None:
                    going.setdefault(token, []).append(number)
            for token, them in going.items():
                next_rows.append(NextRow(parent, token))
                rows.append((them, form if form is None or is_forced else form.after(token)))
        self._rows = rows
        return next_rows

    def _ending(self, line: Line) -> Ending | None:
        if line.tokens[-1] == self._eos_id:
            return "end"
        if self._stops is not None and self._stops(line.tokens):
            return "stop"
        return "length" if self._position == self._request.max_new_tokens else None


@final
class _Beams(AbstractWriting):
    """The outputs that beam search finds."""

    def __init__(
        self, request: Request, eos_id: int, stops: Stops | None, form: AbstractState | None
    ) -> None:
        self._request, self._eos_id, self._stops = request, eos_id, stops
        self._rules = replace(request.decoding, num_samples=1)
        self._search = Search()
        self._forms: list[AbstractState | None] = [form]
        self._position = 0

    @property
    def lines(self) -> Sequence[Line]:
        best = self._search.finished if self.is_over else ()
        return [self._line(each) for each in best[: self._request.decoding.num_samples]]

    @property
    def is_over(self) -> bool:
        return self._search.is_over

    def asked(self) -> Sequence[Asked]:
        request, position = self._request, self._position
        forced = _forced(request, position)
        return [
            Asked(
                self._rules,
                position,
                so_far=beam.score,
                forced=forced,
                allowed=None if form is None or forced is not None else form.allowed(),
                num_alternatives=request.num_alternatives,
            )
            for beam, form in zip(self._search.beams, self._forms, strict=True)
        ]

    def take(self, found: Sequence[Found]) -> Sequence[NextRow]:
        request, rules = self._request, self._rules
        self._position += 1
        candidates = sorted(self._candidates(found), key=lambda each: -each.log_prob)
        self._search = extend(
            self._search,
            candidates[: 2 * rules.num_beams],
            rules,
            ends=self._ends,
            is_last=self._position == request.max_new_tokens,
        )
        if self._search.is_over:
            return []
        forms, is_forced = self._forms, self._position <= len(request.prefix_ids)
        self._forms = [
            form if form is None or is_forced else form.after(beam.tokens[-1])
            for beam in self._search.beams
            for form in (forms[beam.parent],)
        ]
        return [NextRow(beam.parent, beam.tokens[-1]) for beam in self._search.beams]

    def _candidates(self, found: Sequence[Found]) -> Iterator[Candidate]:
        for beam, each in enumerate(found):
            assert isinstance(each, Candidates)
            alternatives = (each.alternatives,) if self._request.num_alternatives else ()
            for log_prob, token in zip(each.log_probs, each.tokens, strict=True):
                if log_prob != -math.inf:
                    yield Candidate(log_prob, beam, token, alternatives)

    def _ends(self, tokens: Sequence[int]) -> bool:
        return tokens[-1] == self._eos_id or (self._stops is not None and self._stops(tokens))

    def _line(self, best: Hypothesis) -> Line:
        steps = [after - before for before, after in pairwise((0.0, *best.sums))]
        if best.tokens[-1] == self._eos_id:
            ending: Ending = "end"
        else:
            ending = "stop" if self._ends(best.tokens) else "length"
        return Line(
            list(best.tokens),
            steps if self._request.log_probs else [],
            list(best.alternatives),
            ending,
        )
