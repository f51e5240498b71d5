"""Put everything to a model at once and keep what it answers: batches, journal, progress and time.

How tokens are chosen or options scored is `infer`'s; what is asked, and what becomes of it, the runner's.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final

from ramekin.evaluate.choices import Ids, Question
from ramekin.evaluate.journal import Journal, fingerprint
from ramekin.evaluate.mode import Mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ramekin.infer.generate import Finished
    from ramekin.infer.rank import Ranked

__all__ = ["Asked", "How", "OnProgress", "log_probs_of", "versions", "written_for"]

OnProgress: TypeAlias = Callable[[int, int], None]
"""Told (answered examples, all examples) after each batch."""


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """One input, and whose it is."""

    question: Question
    example: int
    """The example's place among all that are asked."""
    name: str
    """The example's id."""
    part: int
    """The place of the example's set."""


@final
@dataclass(frozen=True, slots=True)
class How:
    """By which rules answers are found, in which batches, and who is told."""

    mode: Mode
    batch_tokens: int
    on_progress: OnProgress | None = None
    journal: Path | None = None


def written_for(
    model: "PreTrainedModel", asked: Sequence[Asked], how: How
) -> tuple[list[Ids], Mapping[int, float]]:
    """What the model writes for each input, and the seconds of each set."""
    from ramekin.infer.generate import generate

    inputs = [each.question.input_ids for each in asked]
    with _journal(model, how) as journal:
        known: dict[int, Ids] = {}
        if journal is not None:
            found = (journal.answer(each.name, each.question.input_ids) for each in asked)
            known = {index: ids for index, ids in enumerate(found) if ids is not None}
        watch = _Watch(asked, known, how.on_progress)

        def finished(batch: "Finished") -> None:
            if journal is not None:
                journal.add(
                    (asked[index].name, inputs[index], ids)
                    for index, ids in zip(batch.indices, batch.outputs, strict=True)
                    if index not in known
                )
            watch.finished(batch.indices)

        written = generate(
            model,
            inputs,
            max_new_tokens=how.mode.max_new_tokens,
            batch_tokens=how.batch_tokens,
            known=known,
            on_batch=finished,
        )
    return [tuple(ids) for ids in written], watch.seconds


def log_probs_of(
    model: "PreTrainedModel", asked: Sequence[Asked], how: How
) -> tuple[list[list[float]], Mapping[int, float]]:
    """The log-probabilities of what is scored given each input, and the seconds of each set."""
    from ramekin.infer.rank import rank

    questions = [each.question for each in asked]
    with _journal(model, how) as journal:
        known: dict[int, tuple[float, ...]] = {}
        if journal is not None:
            found = (journal.log_probs(e.name, e.question.input_ids, e.question.scored) for e in asked)
            known = {index: values for index, values in enumerate(found) if values is not None}
        watch = _Watch(asked, known, how.on_progress)

        def finished(batch: "Ranked") -> None:
            if journal is not None:
                journal.add_log_probs(
                    (asked[index].name, questions[index].input_ids, questions[index].scored, values)
                    for index, values in zip(batch.indices, batch.log_probs, strict=True)
                    if index not in known
                )
            watch.finished(batch.indices)

        ranked = rank(
            model,
            [each.input_ids for each in questions],
            [each.scored for each in questions],
            batch_tokens=how.batch_tokens,
            known=known,
            on_batch=finished,
        )
    return ranked, watch.seconds


def versions() -> dict[str, str]:
    """The versions that an answer depends on."""
    import platform
    from importlib.metadata import version

    names = ("ramekin", "torch", "transformers", "tokenizers")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


@contextmanager
def _journal(model: "PreTrainedModel", how: How) -> Iterator[Journal | None]:
    if how.journal is None:
        yield None
        return
    with Journal(how.journal, weights=fingerprint(model), mode=how.mode, versions=versions()) as opened:
        yield opened


@final
class _Watch:
    """Tells how many examples are answered, and shares out the time of each batch among the sets."""

    def __init__(
        self, asked: Sequence[Asked], known: Mapping[int, object], on_progress: OnProgress | None
    ) -> None:
        self._asked = asked
        self._on_progress = on_progress
        self._open = Counter(each.example for index, each in enumerate(asked) if index not in known)
        self._answered = set(known)
        self._total = len({each.example for each in asked})
        self._left = len(self._open)
        self._last = time.perf_counter()
        self.seconds: dict[int, float] = {each.part: 0.0 for each in asked}

    def finished(self, indices: Sequence[int]) -> None:
        """A batch that answers these positions is done; an example is, once all its inputs are."""
        now = time.perf_counter()
        self._share(now - self._last, indices)
        self._last = now
        for index in indices:
            if index not in self._answered:
                self._answered.add(index)
                example = self._asked[index].example
                self._open[example] -= 1
                self._left -= not self._open[example]
        if self._on_progress is not None:
            self._on_progress(self._total - self._left, self._total)

    def _share(self, elapsed: float, indices: Sequence[int]) -> None:
        """Add a batch's time to its sets, by their share of its input tokens."""
        lengths = {index: len(self._asked[index].question.input_ids) for index in indices}
        tokens = sum(lengths.values())
        for index, length in lengths.items():
            self.seconds[self._asked[index].part] += elapsed * length / tokens
