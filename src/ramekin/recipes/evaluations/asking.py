"""The entries of a suite as what is asked: rows found, exemplars put before them, a set a template.

What is drawn for a row (its exemplars) depends on (seed, task, row) alone. A task whose data is not there is
told, with its reason. Knows nothing of models; of tokens only how many a text has.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from ramekin.catalog import Catalog
from ramekin.errors import MISSING_DATA, NO_ROWS, DataError, UsageError
from ramekin.evaluate.choices import check_rankable
from ramekin.evaluate.mode import MODES, Mode
from ramekin.evaluate.sets import EvalSet
from ramekin.recipes.data import Prepare, Prepared, TaskExamples, rendered, template_names
from ramekin.recipes.exemplars import ExemplarPool, read_published
from ramekin.recipes.places import Places
from ramekin.recipes.rows import TaskRows, read_rows
from ramekin.text.example import Record
from ramekin.text.flip import flipped
from ramekin.text.prompting.few_shot import SHOT_FORMS
from ramekin.text.prompting.prompt import Exemplar, Prompting, prompt_spans
from ramekin.text.prompting.published import published_prompt
from ramekin.text.prompting.thought import TRIGGER
from ramekin.text.render import Style, asks_about, render_or_skip, render_spans
from ramekin.text.substitution import check_words
from ramekin.text.suite import SuiteEntry, SuiteSettings
from ramekin.text.task import Task

__all__ = ["AskedEntry", "AskedSet", "CountTokens", "Missing", "ask", "mode_of"]

CountTokens = Callable[[str], int]
"""The tokens of a text."""


@final
@dataclass(frozen=True)
class AskedSet:
    """One task under one template and one set of label words."""

    rows: TaskExamples
    mode: Mode
    settings: SuiteSettings
    label: str = ""
    """What tells it from another set of the same task, template and split."""

    @property
    def eval_set(self) -> EvalSet:
        """As `evaluate` takes it."""
        rows = self.rows
        return EvalSet(
            rows.task,
            rows.template,
            rows.split,
            rows.examples,
            rows.records.origin,
            rows.skipped,
            rows.flipped,
            rows.words,
            mode=self.mode,
            metric=self.settings.metric or "",
            shots=self.settings.shots,
            pruned_exemplars=rows.pruned_exemplars,
            label=self.label,
            max_input_tokens=self.settings.max_input_tokens,
        )


@final
@dataclass(frozen=True)
class AskedEntry:
    """An entry of a suite, and all that is asked for it."""

    entry: SuiteEntry
    sets: tuple[AskedSet, ...]


@final
@dataclass(frozen=True, slots=True)
class Missing:
    """An entry of a suite whose data is not there."""

    entry: SuiteEntry
    reason: str

    def __str__(self) -> str:
        return f"{self.entry.name}: {self.reason}"


def ask(
    entries: Sequence[SuiteEntry],
    *,
    places: Places,
    rules: Mapping[str, Any],
    seed: int,
    max_input_tokens: int,
    count_tokens: CountTokens | None,
    strict: bool,
) -> tuple[tuple[AskedEntry, ...], tuple[Missing, ...]]:
    """Read and render everything that the entries name.

    Sets that would have one name, such as those of a task that two suites within ask under other settings,
    are labelled with the titles of the parts that they are in.

    Args:
        entries: of a suite.
        places: where data is.
        rules: what is changed of every mode.
        seed: of the exemplars that are drawn.
        max_input_tokens: that exemplars are pruned to, where an entry does not say.
        count_tokens: of a text; needed where there are exemplars.
        strict: data that is missing is an error.

    Raises:
        DataError: a row cannot be used, or data is missing and `strict`.
        UsageError: settings do not go together.
    """
    catalog = Catalog(places.tasks_root)
    asked, missing = [], []
    for entry in entries:
        asking = _Asking(catalog[entry.task], entry, places, rules, seed, max_input_tokens, count_tokens)
        try:
            asked.append(AskedEntry(entry, tuple(asking.sets())))
        except DataError as error:
            if strict or error.kind != MISSING_DATA:
                raise
            missing.append(Missing(entry, str(error)))
    return _told_apart(asked), tuple(missing)


def _told_apart(asked: Sequence[AskedEntry]) -> tuple[AskedEntry, ...]:
    """The same, no two sets of one name: a suite has each path and name of an entry once."""
    names = Counter(each.eval_set.name for one in asked for each in one.sets)

    def labelled(each: AskedSet, path: Sequence[str]) -> AskedSet:
        if names[each.eval_set.name] == 1:
            return each
        return dataclasses.replace(each, label=", ".join(filter(None, (*path, each.label))))

    return tuple(
        AskedEntry(one.entry, tuple(labelled(each, one.entry.path) for each in one.sets)) for one in asked
    )


def mode_of(task: Task, settings: SuiteSettings, rules: Mapping[str, Any]) -> Mode:
    """The rules by which a task of a suite is scored."""
    mode = MODES[settings.mode_for(task.kind)]
    writes = settings.max_new_tokens is not None and mode.max_new_tokens
    own = {"max_new_tokens": settings.max_new_tokens} if writes else {}
    return mode.changed(**{**own, **rules})


@final
class _Asking:
    """One entry."""

    def __init__(
        self,
        task: Task,
        entry: SuiteEntry,
        places: Places,
        rules: Mapping[str, Any],
        seed: int,
        max_input_tokens: int,
        count_tokens: CountTokens | None,
    ) -> None:
        self.task, self.settings, self.places, self.seed = task, entry.settings, places, seed
        self.mode = mode_of(task, entry.settings, rules)
        self.max_tokens = (entry.settings.max_input_tokens or max_input_tokens) - 1  # and the end mark
        self.count_tokens = count_tokens
        self.title = entry.title
        _check_fit(task, self.settings, self.mode)

    def sets(self) -> Iterator[AskedSet]:
        """A set a template and set of label words."""
        split, rows = self._rows()
        if self.settings.shots and self.settings.exemplars == "published":
            yield self._published(split, rows)
            return
        exemplars = self._exemplars(split)
        unasked: list[DataError] = []
        found_any = False
        for words in self.settings.words or ((),):
            style = Style(options=self.settings.options, words=dict(words), mark_fields=True)
            told = ", ".join(f"{option}={word}" for option, word in words)
            several = told if len(self.settings.words) > 1 else ""
            for template in template_names(self.task, self.settings.templates):
                prepare = self._prepare(split, style, exemplars)
                try:
                    found = rendered(
                        self.task, split, template, [template], rows, self.places, prepare, words=style.words
                    )
                except DataError as error:
                    if error.kind != NO_ROWS:
                        raise
                    unasked.append(error)  # a template of P3's may have nothing to ask about any row
                    continue
                found_any = True
                label = ", ".join(filter(None, (self.title, several)))
                yield AskedSet(found, self.mode, self.settings, label)
        if not found_any:
            raise unasked[0]

    def _published(self, split: str, rows: TaskRows) -> AskedSet:
        """The question behind the exemplars that its benchmark was published with, in their layout."""
        task, settings = self.task, self.settings
        exemplars = read_published(task, self.places)
        lacking = max(0, settings.shots - len(exemplars.shots))
        reasons = settings.thought != "none" or bool(self.mode.trigger)

        def prepare(record: Record, _: str, row: int) -> Prepared | None:
            shot = published_prompt(
                task,
                record,
                exemplars,
                split=split,
                row=row,
                thought="rationale" if reasons else "none",
                shots=settings.shots,
                style=Style(mark_fields=True),
                max_tokens=None if self.count_tokens is None else self.max_tokens,
                count_tokens=self.count_tokens,
            )
            if self.mode.ranks and self.mode.otherwise == "refuse":
                check_rankable([shot.example], self.mode)
            return Prepared(shot.example, None, shot.pruned + lacking)

        found = rendered(task, split, "published", (), rows, self.places, prepare)
        return AskedSet(found, self.mode, settings, self.title)

    def _rows(self) -> tuple[str, TaskRows]:
        """The first of the splits whose rows are there."""
        splits = self.settings.splits_of(self.task)
        if not splits:
            self.task.check_split(self.settings.splits[0])
        missing: list[DataError] = []
        for split in splits:
            try:
                return split, read_rows(self.task, split, self.settings.limit, self.places)
            except DataError as error:
                if error.kind != MISSING_DATA:
                    raise
                missing.append(error)
        raise missing[0]

    def _exemplars(self, split: str) -> "_Exemplars | None":
        if not self.settings.shots:
            return None
        own = self.settings.exemplar_split
        rows = read_rows(self.task, own, None, self.places)
        theirs = self.task.source.splits
        is_same = theirs.get(own, own) == theirs.get(split, split)
        return _Exemplars(self.task, self.settings, rows, self.seed, is_same=is_same)

    def _prepare(self, split: str, style: Style, exemplars: "_Exemplars | None") -> Prepare:
        task, mode, settings = self.task, self.mode, self.settings
        thought = settings.thought
        if thought == "none" and mode.trigger:
            thought = "trigger"
        how = Prompting(
            style=style,
            thought="trigger" if thought == "rationale" else thought,
            exemplar_thought=thought,
            trigger=mode.trigger or TRIGGER,
            form=SHOT_FORMS[settings.shot_form],
            exemplar_split=settings.exemplar_split,
            max_tokens=None if self.count_tokens is None else self.max_tokens,
        )
        is_plain = exemplars is None and thought == "none"

        def prepare(record: Record, template: str, row: int) -> Prepared | None:
            plain = render_or_skip(task, record, template=template, split=split, row=row, style=style)
            if plain is None:
                return None
            if mode.ranks and mode.otherwise == "refuse":
                check_rankable([plain], mode)
            if mode.direction == "flipped":
                spans, _ = render_spans(task, record, template=template, split=split, row=row, style=style)
                return Prepared(plain, flipped(spans, plain))
            if is_plain:
                return Prepared(plain)
            shown = [] if exemplars is None else exemplars.of(row, template, style)
            _, shot = prompt_spans(
                task,
                record,
                template=template,
                split=split,
                row=row,
                how=how if not task.template(template).turned else dataclasses.replace(how, thought="none"),
                exemplars=shown,
                count_tokens=self.count_tokens,
            )
            return Prepared(shot.example, None, settings.shots - shot.used)

        return prepare


def _check_fit(task: Task, settings: SuiteSettings, mode: Mode) -> None:
    """Refuse settings that a task cannot follow.

    Raises:
        UsageError: they do not go together, or speak of what the task lacks.
    """
    if settings.shots and mode.direction in ("flipped", "channel"):
        raise UsageError(
            f"mode '{mode.name}' scores a prompt, which has no room for exemplars",
            where=task.name,
            fix="shots=0, or another mode",
        )
    if settings.metric is not None and (settings.metric == "perplexity") != (mode.direction == "perplexity"):
        raise UsageError(
            f"mode '{mode.name}' and the metric '{settings.metric}' do not go together",
            where=task.name,
            expected="perplexity with mode=perplexity, and there alone",
        )
    for words in settings.words:
        check_words(dict(words), task.options, where=task.name)
    if settings.shots and settings.exemplars == "published" and any(settings.words):
        raise UsageError(
            "published exemplars have the task's own options, which other words would deny", where=task.name
        )
    shows_rows = settings.shots and settings.exemplars == "split"
    if shows_rows and settings.thought == "rationale" and task.rationale is None:
        raise UsageError(
            "the task's rows have no reasoning to show",
            where=task.name,
            fix="exemplars=published, or thought=trigger",
        )


@final
class _Exemplars:
    """The exemplars of each question: rows of a split."""

    def __init__(
        self, task: Task, settings: SuiteSettings, rows: TaskRows, seed: int, *, is_same: bool
    ) -> None:
        self._task, self._settings, self._rows, self._seed = task, settings, rows, seed
        self._is_same = is_same
        self._pool = ExemplarPool(rows)

    def of(self, row: int, template: str, style: Style) -> list[Exemplar]:
        """Those of the question in one row."""
        never = row if self._is_same else None
        if self._settings.exemplar_rows == "drawn":
            return self._pool.drawn(
                self._settings.shots,
                *(self._seed, self._task.name, row, 0),
                never=never,
                usable=lambda place, record: self._is_usable(place, record, template, style),
            )
        pairs = zip(self._rows.positions, self._rows.records.rows, strict=True)
        found = (pair for pair in pairs if pair[0] != never and self._is_usable(*pair, template, style))
        return [pair for _, pair in zip(range(self._settings.shots), found, strict=False)]

    def _is_usable(self, place: int, record: Record, template: str, style: Style) -> bool:
        split = self._settings.exemplar_split
        if self._settings.thought != "rationale":
            return asks_about(self._task, record, template=template, split=split, row=place, style=style)
        example = render_or_skip(self._task, record, template=template, split=split, row=place, style=style)
        return example is not None and bool(example.rationale.strip())
