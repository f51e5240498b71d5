"""What a suite's YAML file says, before its names and patterns are looked up in a catalogue.

    description: what it is
    source: the paper
    average: sets             # or parts: what counts once in the headline
    normalised: false
    mode: t0                  # this and what follows: settings, for every task that says nothing else
    templates: all
    splits: [test, validation]
    parts:                    # or tasks at the top, where there is but one part
      - title: natural language inference
        shots: 2              # settings of the part
        tasks:
          - super_glue/rte                              # a name or a pattern
          - [nli/anli_r1, nli/anli_r2]                  # tasks that count as one data set
          - {collection: flan_2021, clusters: [sentiment]}
          - {cluster: paraphrase}                       # every task of the catalogue's that is of it
          - {mixture: glue}
          - {task: mmlu/*, having: {area: STEM}}
          - {task: super_glue/wsc, words: [{yes: agree, no: disagree}]}    # settings of the entry
        exclude: [glue/wnli]
      - {title: chains of thought, suite: mmlu_cot}     # another suite, with its own settings

Every problem is found at once, with its line and the nearest right name. Knows nothing of which tasks exist.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final, get_type_hints

from ramekin.errors import DataError
from ramekin.text.checked_yaml import YamlChecker
from ramekin.text.strict_yaml import Document, KeyPath
from ramekin.text.suite import Average, SuiteSettings

__all__ = ["SuiteFile", "SuiteFilePart", "SuiteSelection", "parse_suite"]


@final
@dataclass(frozen=True, slots=True)
class SuiteSelection:
    """One entry of `tasks`: which tasks, and their settings."""

    path: KeyPath
    """Where it stands in the file."""
    settings: SuiteSettings
    task: str = ""
    """A name or a pattern."""
    tasks: tuple[str, ...] = ()
    """Names that are one data set."""
    collection: str = ""
    clusters: tuple[str, ...] = ()
    """Of the collection, only these."""
    cluster: str = ""
    """Every task of the catalogue's that is of this cluster."""
    mixture: str = ""
    """Every task of this mixture."""
    having: tuple[tuple[str, Any], ...] = ()
    """Only tasks whose constants have these values."""
    title: str = ""


@final
@dataclass(frozen=True, slots=True)
class SuiteFilePart:
    """One of a suite's parts: selections, or another suite."""

    path: KeyPath
    title: str = ""
    """Empty where the file gives none."""
    selections: tuple[SuiteSelection, ...] = ()
    exclude: tuple[str, ...] = ()
    """Names and patterns."""
    suite: str = ""
    """The name of a suite, or a path from the file's own folder."""


@final
@dataclass(frozen=True, slots=True)
class SuiteFile:
    """What a file says."""

    where: str
    parts: tuple[SuiteFilePart, ...] = ()
    description: str = ""
    source: str = ""
    average: Average = "sets"
    normalised: bool = False
    document: Document = field(default=Document(None, {}), compare=False, repr=False)

    def place(self, *path: str | int) -> str:
        """The file, and the line of a key or of what is around it."""
        line = self.document.line(*path)
        return self.where if line is None else f"{self.where}:{line}"


_SETTINGS: Final[Mapping[str, Any]] = {
    **get_type_hints(SuiteSettings),
    "splits": str | list[str],
    "words": list | dict,
}
_KEYS: Final[Mapping[str, Any]] = {
    "description": str,
    "source": str,
    "average": Average,
    "normalised": bool,
    "parts": list,
    "tasks": list,
    "exclude": list[str],
    **_SETTINGS,
}
_PART_KEYS: Final[Mapping[str, Any]] = {
    "title": str,
    "tasks": list,
    "exclude": list[str],
    "suite": str,
    **_SETTINGS,
}
_ONE_OF: Final = ("task", "tasks", "collection", "cluster", "mixture")
_ENTRY_KEYS: Final[Mapping[str, Any]] = {
    "task": str,
    "tasks": list[str],
    "collection": str,
    "clusters": list[str],
    "cluster": str,
    "mixture": str,
    "having": dict,
    "title": str,
    **_SETTINGS,
}
_OF_SHOTS: Final = ("exemplars", "exemplar_split", "exemplar_rows", "shot_form")
"""Settings that mean nothing without exemplars."""
_OF_SPLIT: Final = ("exemplar_split", "exemplar_rows")
"""Settings that mean nothing where exemplars are published."""


def parse_suite(document: Document, *, where: str) -> SuiteFile:
    """Read a suite's document.

    Raises:
        DataError: a key is unknown, or a value is of the wrong kind or out of range; all are listed at once.
    """
    checker = YamlChecker(document)
    data = document.value
    if not isinstance(data, dict):
        raise DataError(
            "the suite is not well formed",
            where=where,
            expected="a mapping with tasks or parts",
            got=type(data).__name__,
        )
    data = checker.sound(data, _KEYS, ())
    reader = _Reader(checker)
    if bool(data.get("tasks")) == bool(data.get("parts")):
        checker.add(None, "either 'tasks' or 'parts' must say what is evaluated")
    common = reader.settings(data, ())
    parts = tuple(reader.parts(data, common))
    reader.unused(data, parts)
    checker.refuse("the suite is not well formed", where=where)
    return SuiteFile(
        where,
        parts,
        data.get("description", ""),
        data.get("source", ""),
        data.get("average", "sets"),
        data.get("normalised", False),
        document,
    )


@final
class _Reader:
    """Reads the parts of a suite's document."""

    def __init__(self, checker: YamlChecker) -> None:
        self.checker = checker

    def settings(self, data: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
        """The settings among the keys; each is checked by itself, where it stands."""
        found: dict[str, Any] = {}
        for key, value in data.items():
            if key not in _SETTINGS:
                continue
            line = self.checker.line(*path, key)
            if key == "words" and (value := self.checker.words(value, line)) is None:
                continue
            if key == "splits":
                value = (value,) if isinstance(value, str) else tuple(value)
            if self.checker.checked(SuiteSettings, {key: value}, line) is not None:
                found[key] = value
        return found

    def parts(self, data: Mapping[str, Any], common: Mapping[str, Any]) -> Iterator[SuiteFilePart]:
        if data.get("tasks"):
            yield self.part_of_tasks(data, (), common, "")
        elif "exclude" in data:
            line = self.checker.line("exclude")
            self.checker.add(line, "'exclude' goes with 'tasks': say it in each part that it is of")
        for place, entry in enumerate(data.get("parts", ())):
            path: KeyPath = ("parts", place)
            line = self.checker.line(*path)
            if not isinstance(entry, dict):
                self.checker.add(line, f"a part must be a mapping, not {entry!r}")
                continue
            before = len(self.checker.problems)
            own = self.checker.sound(entry, _PART_KEYS, path)
            if bool(own.get("tasks")) == bool(own.get("suite")) and len(self.checker.problems) == before:
                self.checker.add(line, "a part needs either 'tasks' or 'suite'")
            if own.get("suite"):
                for key in own:
                    if key not in ("title", "suite", "tasks"):
                        said = f"'{key}' says nothing of a suite, which has its own"
                        self.checker.add(self.checker.line(*path, key), said)
                yield SuiteFilePart(path, own.get("title", ""), suite=own["suite"])
                continue
            if not own.get("title"):
                self.checker.add(line, "a part of tasks needs a 'title'")
            yield self.part_of_tasks(own, path, {**common, **self.settings(own, path)}, own.get("title", ""))

    def part_of_tasks(
        self, data: Mapping[str, Any], path: KeyPath, common: Mapping[str, Any], title: str
    ) -> SuiteFilePart:
        selections = tuple(self.selections(data.get("tasks", ()), (*path, "tasks"), common))
        return SuiteFilePart(path, title, selections, tuple(data.get("exclude", ())))

    def selections(
        self, entries: list[Any], above: KeyPath, common: Mapping[str, Any]
    ) -> Iterator[SuiteSelection]:
        for place, entry in enumerate(entries):
            path: KeyPath = (*above, place)
            line = self.checker.line(*path)
            if isinstance(entry, str):
                entry = {"task": entry}
            elif isinstance(entry, list):
                entry = {"tasks": entry}
            elif not isinstance(entry, dict):
                said = f"a task must be a name, a pattern, a list of names or a mapping, not {entry!r}"
                self.checker.add(line, said)
                continue
            before = len(self.checker.problems)
            own = self.checker.sound(entry, _ENTRY_KEYS, path)
            chosen = {key for key in _ONE_OF if own.get(key)}
            if len(chosen) != 1 and len(self.checker.problems) == before:
                self.checker.add(line, f"an entry of 'tasks' needs one of {', '.join(_ONE_OF)}")
            if "clusters" in own and "collection" not in own:
                self.checker.add(line, "'clusters' goes with 'collection'")
            if "title" in own and "task" not in own:
                self.checker.add(line, "'title' goes with 'task'")
            yield SuiteSelection(
                path,
                SuiteSettings(**{**common, **self.settings(own, path)}),
                task=own.get("task", ""),
                tasks=tuple(own.get("tasks", ())),
                collection=own.get("collection", ""),
                clusters=tuple(own.get("clusters", ())),
                cluster=own.get("cluster", ""),
                mixture=own.get("mixture", ""),
                having=tuple(own.get("having", {}).items()),
                title=own.get("title", ""),
            )

    def unused(self, data: Mapping[str, Any], parts: tuple[SuiteFilePart, ...]) -> None:
        """Settings that mean nothing: of a file of suites, or of exemplars where there are none."""
        selections = [each for part in parts for each in part.selections]
        for key in data:
            if key in _SETTINGS and not selections and parts:
                said = f"'{key}' says nothing of suites, which have their own"
                self.checker.add(self.checker.line(key), said)
        for key in _OF_SHOTS:
            default = getattr(SuiteSettings(), key)
            said_of = [each for each in selections if getattr(each.settings, key) != default]
            if said_of and not any(_means(key, each.settings) for each in said_of):
                why = "published exemplars" if said_of[0].settings.shots else "no exemplars: shots is 0"
                line = self.checker.line(*said_of[0].path)
                self.checker.add(line, f"'{key}' says nothing of {why}")
        for each in selections:
            if each.settings.thought == "rationale" and not each.settings.shots:
                said = "'thought: rationale' shows the reasoning of exemplars, and shots is 0"
                self.checker.add(self.checker.line(*each.path), said)


def _means(key: str, settings: SuiteSettings) -> bool:
    """Whether a setting of exemplars changes anything."""
    return bool(settings.shots) and not (settings.exemplars == "published" and key in _OF_SPLIT)
