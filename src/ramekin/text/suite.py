"""A suite: tasks with the settings to evaluate them by, and how their scores become one number.

A suite is data (`catalog/suites/NAME.yaml`, read by `catalog.suites`); this module holds its form, takes it
apart into entries, which are what is answered, and says what share each has in the headline. Knows nothing of
models, modes, rows or scores.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, final

from ramekin.errors import UsageError
from ramekin.registry import unknown_name
from ramekin.text.metrics import METRICS
from ramekin.text.mixing.form import LabelWords
from ramekin.text.options import OptionsAs
from ramekin.text.prompting.few_shot import ShotForm
from ramekin.text.prompting.prompt import Thought
from ramekin.text.task import Kind, Task

__all__ = [
    "UNNAMED",
    "Average",
    "Suite",
    "SuiteEntry",
    "SuitePart",
    "SuiteSettings",
    "SuiteTask",
    "changed",
    "suite_entries",
    "suite_shares",
]

Average: TypeAlias = Literal["sets", "parts"]
"""What counts once in a suite's headline: each data set of all parts, or each part."""

UNNAMED: Final = "tasks"
"""What tasks are called together that no suite names."""

_FREE: frozenset[Kind] = frozenset(("text", "number"))


@final
@dataclass(frozen=True, slots=True)
class SuiteSettings:
    """How a task of a suite is put to a model and scored.

    Raises:
        UsageError: a number is out of range, no split is named, or there is no such metric.
    """

    mode: str = "generate"
    """The scoring rules by name, such as `t0`; which there are, `evaluate.mode` knows."""
    text_mode: str | None = None
    """The rules for answers that are free text or a number, where `mode` ranks options; None: `mode`."""
    templates: str = "first"
    """`first`, `all` (those that ask for the task's own answer), or the name of one."""
    over_templates: Literal["mean", "median"] = "mean"
    """What of the scores under several templates, or label words, is the task's."""
    splits: tuple[str, ...] = ("validation", "test")
    """In order of preference: the first that the task has and whose rows are there is answered."""
    shots: int = 0
    """How many exemplars stand before the question."""
    exemplars: Literal["split", "published"] = "split"
    """Exemplars are rows of a split, or those that were published with the benchmark."""
    exemplar_split: str = "train"
    exemplar_rows: Literal["drawn", "first"] = "drawn"
    """Which rows of that split: drawn for each question, or the first ones, in their order, for all."""
    shot_form: ShotForm = "flan_2022"
    thought: Thought = "none"
    """`trigger`: a phrase asks for the reasoning. `rationale`: the exemplars show theirs."""
    options: OptionsAs = "dashes"
    words: tuple[LabelWords, ...] = ()
    """Other words for the options; of several sets of words each is answered."""
    metric: str | None = None
    """The score, in place of the task's or the mode's own."""
    limit: int | None = None
    """At most so many rows; None: all of them."""
    max_input_tokens: int | None = None
    """In place of the run's."""
    max_new_tokens: int | None = None
    """In place of the mode's, where answers are written."""

    def __post_init__(self) -> None:
        if self.shots < 0:
            raise UsageError("shots must be 0 or more", got=str(self.shots))
        for name in ("limit", "max_input_tokens", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be 1 or more", got=str(value))
        for name in ("mode", "text_mode", "templates", "exemplar_split"):
            if getattr(self, name) == "":
                raise UsageError(f"{name} is empty", fix="name one, or leave it out")
        if not self.splits or "" in self.splits:
            raise UsageError("splits must name at least one split", got=str(list(self.splits)))
        if self.metric is not None and self.metric not in METRICS:
            raise UsageError(unknown_name("metric", self.metric, METRICS))

    def mode_for(self, kind: Kind) -> str:
        """The scoring rules for a task of that kind.

        >>> SuiteSettings("flan", text_mode="generate").mode_for("text")
        'generate'
        """
        return self.text_mode if self.text_mode is not None and kind in _FREE else self.mode

    def splits_of(self, task: Task) -> tuple[str, ...]:
        """Those of `splits` that a task has, in order."""
        return tuple(split for split in self.splits if task.source.has_split(split))


@final
@dataclass(frozen=True, slots=True)
class SuiteTask:
    """A task as a part's."""

    task: str
    settings: SuiteSettings = SuiteSettings()
    title: str = ""
    """What it is called, where a task stands twice; empty: by its name."""

    @property
    def name(self) -> str:
        """The title, or the task's name."""
        return self.title or self.task


@final
@dataclass(frozen=True, slots=True)
class SuitePart:
    """A part of a suite: data sets, or another suite whole.

    Raises:
        UsageError: it is neither or both, a data set has no task, or two tasks are called the same.
    """

    title: str
    sets: tuple[tuple[SuiteTask, ...], ...] = ()
    """Data sets: each one task, or several that count as one together."""
    suite: "Suite | None" = None
    """The other suite, which counts as one number."""

    def __post_init__(self) -> None:
        if bool(self.sets) == (self.suite is not None) or not all(self.sets):
            raise UsageError("a part is either data sets or a suite", where=self.title)
        names = [each.name for each in self.tasks]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(
                f"the task '{twice}' stands twice in a part", where=self.title, fix="give one a title"
            )

    @property
    def tasks(self) -> tuple[SuiteTask, ...]:
        """The tasks of all its data sets; none where it is a suite."""
        return tuple(each for one in self.sets for each in one)


@final
@dataclass(frozen=True, slots=True)
class Suite:
    """Tasks and the settings to evaluate them by.

    Raises:
        UsageError: it has no parts, or two of the same title.
    """

    name: str
    parts: tuple[SuitePart, ...]
    description: str = ""
    source: str = ""
    """Where its tasks and settings are from, such as a paper."""
    average: Average = "sets"
    """What the headline is the plain mean of; a suite within counts as one data set."""
    normalised: bool = False
    """Whether the headline is of each task's 100·(x - chance)/(100 - chance) instead of its score x, as in
    Flan 2022 (arXiv 2210.11416, appendix). The outermost suite's word holds for those within."""
    where: str = ""
    """The file that it was read from."""

    def __post_init__(self) -> None:
        titles = [part.title for part in self.parts]
        if not titles:
            raise UsageError("a suite needs at least one part", where=self.name)
        if twice := next((title for title in titles if titles.count(title) > 1), None):
            raise UsageError(f"two parts are called '{twice}'", where=self.name, fix="give one a title")


@final
@dataclass(frozen=True, slots=True)
class SuiteEntry:
    """One task within a whole suite: what is answered under one group of settings."""

    path: tuple[str, ...]
    """The titles of the parts that it is in, from the outermost."""
    task: str
    settings: SuiteSettings
    title: str = ""

    @property
    def name(self) -> str:
        """The title, or the task's name; with `path` it is the only one of its suite."""
        return self.title or self.task


def suite_entries(suite: Suite) -> tuple[SuiteEntry, ...]:
    """All entries, those of suites within too, in order.

    >>> inner = Suite("inner", (SuitePart("one", ((SuiteTask("a/b"),),)),))
    >>> [each.path for each in suite_entries(Suite("outer", (SuitePart("in", suite=inner),)))]
    [('in', 'one')]
    """
    return tuple(entry for part in suite.parts for unit in _units(part, ()) for entry in unit.entries)


def suite_shares(suite: Suite, present: Collection[SuiteEntry] | None = None) -> dict[SuiteEntry, float]:
    """What share each entry has in the headline: it is the sum of share times score.

    The tasks of a data set share alike, and so do the data sets, or the parts, of a suite; within a part that
    counts once, its data sets share alike. For scores that are independent the square of the headline's
    standard error is the sum of share² times standard error².

    Args:
        suite: whose headline.
        present: the entries that have a score, which share alone; None: all of them.

    Returns:
        The entries present, in order, with shares that sum to 1; empty where none is present.

    >>> two, one = (SuiteTask("a/b"), SuiteTask("a/c")), (SuiteTask("a/d"),)
    >>> list(suite_shares(Suite("s", (SuitePart("p", (two, one)),))).values())
    [0.25, 0.25, 0.5]
    """
    there = frozenset(suite_entries(suite) if present is None else present)
    return dict(_shares(suite, (), there, 1.0))


def changed(suite: Suite, **settings: Any) -> Suite:
    """The suite with some settings replaced for every task, those of suites within too.

    >>> suite = Suite("s", (SuitePart("p", ((SuiteTask("a/b"),),)),))
    >>> changed(suite, limit=5).parts[0].tasks[0].settings.limit
    5

    Raises:
        UsageError: there is no such setting, or a value is out of range.
    """
    known = {field.name for field in dataclasses.fields(SuiteSettings)}
    for name in settings:
        if name not in known:
            raise UsageError(unknown_name("setting of a suite", name, known))
    return dataclasses.replace(suite, parts=tuple(_changed_part(part, settings) for part in suite.parts))


def _changed_part(part: SuitePart, settings: Mapping[str, Any]) -> SuitePart:
    if part.suite is not None:
        return dataclasses.replace(part, suite=changed(part.suite, **settings))
    sets = tuple(
        tuple(
            dataclasses.replace(each, settings=dataclasses.replace(each.settings, **settings)) for each in one
        )
        for one in part.sets
    )
    return dataclasses.replace(part, sets=sets)


@final
@dataclass(frozen=True, slots=True)
class _Unit:
    """What counts once within its part: a data set, or a suite."""

    path: tuple[str, ...]
    entries: tuple[SuiteEntry, ...]
    suite: Suite | None = None


def _units(part: SuitePart, above: tuple[str, ...]) -> Iterator[_Unit]:
    path = (*above, part.title)
    if part.suite is not None:
        within = (unit for each in part.suite.parts for unit in _units(each, path))
        yield _Unit(path, tuple(entry for unit in within for entry in unit.entries), part.suite)
        return
    for one in part.sets:
        yield _Unit(path, tuple(SuiteEntry(path, each.task, each.settings, each.title) for each in one))


def _shares(
    suite: Suite, above: tuple[str, ...], there: frozenset[SuiteEntry], whole: float
) -> Iterator[tuple[SuiteEntry, float]]:
    found = (
        [unit for unit in _units(part, above) if not there.isdisjoint(unit.entries)] for part in suite.parts
    )
    parts = [units for units in found if units]
    num_sets = sum(map(len, parts))
    for units in parts:
        counted = num_sets if suite.average == "sets" else len(parts) * len(units)
        for unit in units:
            share = whole / counted
            if unit.suite is not None:
                yield from _shares(unit.suite, unit.path, there, share)
                continue
            entries = [entry for entry in unit.entries if entry in there]
            yield from ((entry, share / len(entries)) for entry in entries)
