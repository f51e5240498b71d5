"""Put everything to a model at once and keep what it answers: batches, kept answers, progress and time.

How tokens are chosen or texts scored is `infer`'s; what is asked, and what becomes of it, the runner's.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, final

from ramekin.evaluate.journal import Found, Journal, Request
from ramekin.infer.decoding import Decoding
from ramekin.infer.kept import fingerprint, versions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Asked", "OnProgress", "Progress", "answered"]


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and whose it is."""

    request: Request
    example: int
    """The example's place among all that are asked."""
    part: int
    """The place of the example's set."""

    @property
    def tokens(self) -> int:
        """Tokens that are computed, roughly: the prompt's, and what is scored or written."""
        outputs = self.request.max_new_tokens
        if self.request.decoding is not None:
            outputs *= self.request.decoding.num_samples
        return len(self.request.input_ids) + outputs + sum(map(len, self.request.scored))


@final
@dataclass(frozen=True, slots=True)
class Progress:
    """How far an evaluation is."""

    answered: int
    """Examples that are answered."""
    total: int
    share: float
    """Of the work, by tokens."""
    sets: tuple[tuple[int, int], ...]
    """(answered examples, all examples) of each set."""


OnProgress: TypeAlias = Callable[[Progress], None]
"""Told after each batch."""


def answered(
    model: "PreTrainedModel",
    asked: Sequence[Asked],
    *,
    batch_tokens: int,
    journal: Path | None = None,
    weights: str = "",
    on_progress: OnProgress | None = None,
) -> tuple[list[Found], Mapping[int, float]]:
    """The answer to every request, and the seconds of each set.

    Requests that are equal are one: batches depend on the different requests alone, so that what a kill left
    of them changes no bit of what comes after it.

    Args:
        model: an encoder-decoder.
        asked: what is asked.
        batch_tokens: padded tokens in a batch.
        journal: the folder where answers are kept.
        weights: the model's `fingerprint`, where it is known; it takes a moment to find.
        on_progress: told after each batch.
    """
    indices: dict[Request, list[int]] = {}
    for index, each in enumerate(asked):
        indices.setdefault(each.request, []).append(index)
    requests = list(indices)
    answers: list[Found] = [()] * len(requests)
    with _journal(model, journal, weights) as kept:
        known: dict[int, Found] = {}
        if kept is not None:
            found = ((place, kept.found(each)) for place, each in enumerate(requests))
            known = {place: each for place, each in found if each is not None}
        watch = _Watch(asked, {index for place in known for index in indices[requests[place]]}, on_progress)

        def finished(places: Sequence[int], found: Sequence[Found]) -> None:
            if kept is not None:
                pairs = zip(places, found, strict=True)
                kept.add((requests[place], each) for place, each in pairs if place not in known)
            watch.finished([index for place in places for index in indices[requests[place]]])

        for places, how in _by_way(requests):
            part = how(
                model,
                [requests[place] for place in places],
                batch_tokens,
                {position: known[place] for position, place in enumerate(places) if place in known},
                _at(places, finished),
            )
            for place, found_one in zip(places, part, strict=True):
                answers[place] = found_one
    told = dict(zip(requests, answers, strict=True))
    return [told[each.request] for each in asked], watch.seconds


_OnFound: TypeAlias = Callable[[Sequence[int], Sequence[Found]], None]
_Way: TypeAlias = "Callable[[Any, Sequence[Request], int, Mapping[int, Found], _OnFound], list[Found]]"


def _by_way(requests: Sequence[Request]) -> Iterator[tuple[list[int], _Way]]:
    """The places of the requests that are answered in one way, and the way: scored first, then written."""
    scored = [place for place, each in enumerate(requests) if each.decoding is None]
    if scored:
        yield scored, _scored
    written: dict[tuple[int, Decoding], list[int]] = {}
    for place, each in enumerate(requests):
        if each.decoding is not None:
            written.setdefault((each.max_new_tokens, each.decoding), []).append(place)
    yield from ((places, _written) for places in written.values())


def _scored(
    model: "PreTrainedModel",
    requests: Sequence[Request],
    batch_tokens: int,
    known: Mapping[int, Found],
    on_found: _OnFound,
) -> list[Found]:
    from ramekin.infer.rank import rank

    ranked = rank(
        model,
        [each.input_ids for each in requests],
        [each.scored for each in requests],
        batch_tokens=batch_tokens,
        known={place: each[0] for place, each in known.items()},
        on_batch=lambda batch: on_found(batch.indices, [(values,) for values in batch.log_probs]),
    )
    return [(tuple(values),) for values in ranked]


def _written(
    model: "PreTrainedModel",
    requests: Sequence[Request],
    batch_tokens: int,
    known: Mapping[int, Found],
    on_found: _OnFound,
) -> list[Found]:
    from ramekin.infer.generate import decode

    decoding = requests[0].decoding
    assert decoding is not None
    outputs = decode(
        model,
        [each.input_ids for each in requests],
        decoding=decoding,
        max_new_tokens=requests[0].max_new_tokens,
        batch_tokens=batch_tokens,
        known={place: tuple(tuple(map(int, ids)) for ids in each) for place, each in known.items()},
        on_batch=lambda batch: on_found(batch.indices, batch.outputs),
    )
    return list(outputs)


def _at(places: Sequence[int], told: _OnFound) -> _OnFound:
    """Tells by their places what is known by its place among these."""
    return lambda batch, found: told([places[each] for each in batch], found)


@contextmanager
def _journal(model: "PreTrainedModel", folder: Path | None, weights: str) -> Iterator[Journal | None]:
    if folder is None:
        yield None
        return
    with Journal(folder, weights=weights or fingerprint(model), versions=versions()) as opened:
        yield opened


@final
class _Watch:
    """Tells how many examples are answered, and shares out the time of each batch among the sets."""

    def __init__(
        self, asked: Sequence[Asked], known: Collection[int], on_progress: OnProgress | None
    ) -> None:
        self._asked = asked
        self._on_progress = on_progress
        self._open = Counter(each.example for index, each in enumerate(asked) if index not in known)
        self._left = {index for index in range(len(asked)) if index not in known}
        parts = {each.example: each.part for each in asked}
        self._totals = Counter(parts.values())
        self._unanswered = Counter(parts[example] for example in self._open)
        self._work = self._todo = sum(asked[index].tokens for index in self._left)
        self._last = time.perf_counter()
        self.seconds: dict[int, float] = {part: 0.0 for part in self._totals}

    def finished(self, indices: Sequence[int]) -> None:
        """A batch that answers these positions is done; an example is, once all its requests are."""
        now = time.perf_counter()
        self._share(now - self._last, indices)
        self._last = now
        for index in self._left.intersection(indices):
            self._left.discard(index)
            one = self._asked[index]
            self._todo -= one.tokens
            self._open[one.example] -= 1
            if not self._open[one.example]:
                self._unanswered[one.part] -= 1
        if self._on_progress is not None:
            self._on_progress(self._progress())

    def _progress(self) -> Progress:
        sets = tuple(
            (self._totals[part] - self._unanswered[part], self._totals[part]) for part in sorted(self._totals)
        )
        done, total = (sum(column) for column in zip(*sets, strict=True))
        return Progress(done, total, 1 - self._todo / self._work if self._work else 1.0, sets)

    def _share(self, elapsed: float, indices: Sequence[int]) -> None:
        """Add a batch's time to its sets, by their share of its tokens."""
        tokens = Counter[int]()
        for index in indices:
            tokens[self._asked[index].part] += self._asked[index].tokens
        whole = tokens.total()
        for part, share in tokens.items():
            self.seconds[part] += elapsed * share / whole
