"""What a mixture's YAML file says, before its names and patterns are looked up in a catalogue.

    description: what it is
    tasks:                  # names, patterns, or mappings with more to say of them
      - glue/rte
      - mmlu/*
      - {collection: flan_2021, clusters: [sentiment]}
      - {task: sentiment/imdb, floor_examples: 5000}     # in place of what the collection says of it
      - {task: ni/*, listed_in: splits/default/train_tasks.txt}
    mixtures: {muffin: 0.52, t0_sf: 0.15}     # with their rates, or a list: each brings its own weights
    exclude: [mmlu/virology]
    mixing: {kind: proportional, cap_examples: 3000}
    limit_examples: 30000   # for every task that says nothing else, as the next three and floor_examples are
    templates: plain        # all, plain, first, or a list of names
    templates_per_task: 4
    split: train
    forms: [{share: 0.5, shots: 2}, {share: 0.5, options: none, words: {yes: agree, no: disagree}}]
    missing: {race: why the catalogue lacks it}

Every problem is found at once, with its line and the nearest right name. Knows nothing of which tasks exist.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, final, get_args, get_type_hints

from ramekin.errors import DataError
from ramekin.registry import unknown_name
from ramekin.text.checked_yaml import YamlChecker
from ramekin.text.mixing.form import PLAIN_FORM, LabelWords, PromptForm
from ramekin.text.mixing.mixture import ALL_TEMPLATES, PROPORTIONAL, Missing, Mixing, TaskPart, Templates
from ramekin.text.strict_yaml import Document

__all__ = ["MixtureFile", "NamedMixture", "Selection", "is_pattern", "parse_mixture"]


@final
@dataclass(frozen=True, slots=True)
class Selection:
    """One entry of `tasks`: which tasks, and what holds for each of them."""

    line: int | None
    task: str = ""
    """A name or a pattern; empty where a collection is meant."""
    collection: str = ""
    clusters: tuple[str, ...] = ()
    """Of the collection, only these."""
    listed_in: str = ""
    """Only those that a file of the collection's clone lists, such as `splits/default/train_tasks.txt`."""
    rate: float | None = None
    limit_examples: int | None = None
    floor_examples: int | None = None
    templates: Templates = ALL_TEMPLATES
    split: str = "train"
    templates_line: int | None = field(default=None, compare=False)
    """Where its templates are said, in the entry or for the whole file."""

    @property
    def is_name(self) -> bool:
        """Whether it means one task, by its name."""
        return bool(self.task) and not is_pattern(self.task)


def is_pattern(name: str) -> bool:
    """Whether a name stands for all that match it, such as `mmlu/*`."""
    return any(sign in name for sign in "*?[")


@final
@dataclass(frozen=True, slots=True)
class NamedMixture:
    """One entry of `mixtures`."""

    line: int | None
    name: str
    """Of a mixture that is built in, or a path from the file's own folder."""
    rate: float | None = None


@final
@dataclass(frozen=True, slots=True)
class MixtureFile:
    """What a file says."""

    where: str
    description: str = ""
    selections: tuple[Selection, ...] = ()
    mixtures: tuple[NamedMixture, ...] = ()
    exclude: tuple[tuple[int | None, str], ...] = ()
    """Names and patterns, each with its line."""
    mixing: Mixing = PROPORTIONAL
    forms: tuple[PromptForm, ...] = (PLAIN_FORM,)
    missing: tuple[Missing, ...] = ()
    document: Document = field(default=Document(None, {}), compare=False, repr=False)

    def place(self, *path: str | int) -> str:
        """The file, and the line of a key or of what is around it."""
        return self.at(self.document.line(*path))

    def at(self, line: int | None) -> str:
        """The file, and a line of it."""
        return self.where if line is None else f"{self.where}:{line}"


_TEXTS: Final = list[str]
_OF_A_TASK: Final[Mapping[str, Any]] = {
    "limit_examples": int,
    "floor_examples": int,
    "templates": str | _TEXTS,
    "templates_per_task": int,
    "split": str,
}
_KEYS: Final[Mapping[str, Any]] = {
    "description": str,
    "tasks": list,
    "mixtures": list[str] | dict,
    "exclude": _TEXTS,
    "mixing": dict,
    "forms": list,
    "missing": dict,
    **_OF_A_TASK,
}
_OF_TASKS: Final = ("exclude", "mixing", "forms", *_OF_A_TASK)
"""Keys that mean the file's own tasks alone."""
_ENTRY_KEYS: Final[Mapping[str, Any]] = {
    "task": str,
    "collection": str,
    "clusters": _TEXTS,
    "listed_in": str,
    "rate": float,
    **_OF_A_TASK,
}
_NUMBERS = ("rate", "limit_examples", "floor_examples")


def parse_mixture(document: Document, *, where: str) -> MixtureFile:
    """Read a mixture's document.

    Raises:
        DataError: a key is unknown, or a value is of the wrong kind or out of range; all are listed at once.
    """
    checker = YamlChecker(document)
    reader = _Reader(checker)
    data = document.value
    if not isinstance(data, dict):
        raise DataError(
            "the mixture is not well formed",
            where=where,
            expected="a mapping with tasks or mixtures",
            got=type(data).__name__,
        )
    data = checker.sound(data, _KEYS, ())
    if not data.get("tasks") and not data.get("mixtures"):
        checker.add(None, "'tasks' or 'mixtures' must say what is mixed")
    elif not data.get("tasks"):
        checker.problems += [
            (document.line(key), f"'{key}' says nothing of 'mixtures', which have their own")
            for key in data
            if key in _OF_TASKS
        ]
    checker.problems += [(document.line(*path), said) for path, said in _idle(data)]
    file = MixtureFile(
        where,
        data.get("description", ""),
        tuple(reader.selections(data)),
        tuple(reader.mixtures(data.get("mixtures", ()))),
        tuple((document.line("exclude", place), text) for place, text in enumerate(data.get("exclude", ()))),
        checker.made(Mixing, data.get("mixing", {}), ("mixing",)) or PROPORTIONAL,
        tuple(reader.forms(data.get("forms"))),
        tuple(reader.missing(data.get("missing", {}))),
        document,
    )
    checker.refuse("the mixture is not well formed", where=where)
    return file


def _idle(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The keys that would change nothing, as where rates are given, or all weights are equal."""
    entries = {place: each for place, each in enumerate(data.get("tasks", ())) if isinstance(each, dict)}
    floors: list[tuple[str | int, ...]] = [("floor_examples",)] if "floor_examples" in data else []
    floors += [
        ("tasks", place, "floor_examples") for place, each in entries.items() if "floor_examples" in each
    ]
    mixing = data.get("mixing", {})
    if any("rate" in each for each in entries.values()):
        for path in [*([("mixing",)] if mixing else []), *floors]:
            yield path, f"'{path[-1]}' would weigh nothing: the tasks' rates are given"
    elif mixing.get("kind") == "equal":
        for path in [*(("mixing", key) for key in mixing if key != "kind"), *floors]:
            yield path, f"'{path[-1]}' would weigh nothing: the tasks are mixed equally"


@final
class _Reader:
    """Reads the parts of a mixture's document."""

    def __init__(self, checker: YamlChecker) -> None:
        self.checker = checker
        self.line = checker.line

    def selections(self, data: Mapping[str, Any]) -> Iterator[Selection]:
        common = {key: data[key] for key in _OF_A_TASK if key in data}
        for place, entry in enumerate(data.get("tasks", ())):
            line = self.line("tasks", place)
            if isinstance(entry, str):
                entry = {"task": entry}
            elif not isinstance(entry, dict):
                self.checker.add(line, f"a task must be a name, a pattern or a mapping, not {entry!r}")
                continue
            before = len(self.checker.problems)
            own = self.checker.sound(entry, _ENTRY_KEYS, ("tasks", place))
            if ("task" in own) == ("collection" in own) and len(self.checker.problems) == before:
                self.checker.add(line, "an entry of 'tasks' needs either 'task' or 'collection'")
            for key, needed in (("clusters", "collection"), ("listed_in", "task")):
                if key in own and needed not in own:
                    self.checker.add(line, f"'{key}' goes with '{needed}'")
            if "listed_in" in own and not is_pattern(own.get("task", "*")):
                self.checker.add(line, "'listed_in' goes with a pattern: a task that is named is taken")
            values = {**common, **own}
            within = ("tasks", place) if own.keys() & {"templates", "templates_per_task"} else ()
            templates_line = self.line(*within, "templates")
            values["templates"] = self.templates(values, line)
            values.pop("templates_per_task", None)
            values["clusters"] = tuple(values.get("clusters", ()))
            part = {key: values[key] for key in _NUMBERS if key in values}
            self.checker.checked(TaskPart, {"task": own.get("task", ""), **part}, line)
            yield Selection(line, **values, templates_line=templates_line)

    def templates(self, values: Mapping[str, Any], line: int | None) -> Templates:
        which = values.get("templates", "all")
        names = get_args(get_args(get_type_hints(Templates)["which"])[0])
        if isinstance(which, str) and which not in names:
            said = unknown_name("templates", which, names) + " (or a list of names)"
            self.checker.add(line, said)
            return ALL_TEMPLATES
        chosen = which if isinstance(which, str) else tuple(which)
        found = self.checker.checked(
            Templates, {"which": chosen, "per_task": values.get("templates_per_task")}, line
        )
        return ALL_TEMPLATES if found is None else found

    def mixtures(self, data: Any) -> Iterator[NamedMixture]:
        if isinstance(data, list):
            for place, name in enumerate(data):
                line = self.line("mixtures", place)
                if name in data[:place]:
                    self.checker.add(line, f"the mixture '{name}' is named twice, and would weigh double")
                yield NamedMixture(line, name)
            return
        for name, rate in dict(data).items():
            line = self.line("mixtures", str(name))
            if not (isinstance(name, str) and _is_rate(rate)):
                self.checker.add(line, f"a mixture needs a name and a rate above 0, not {name!r}: {rate!r}")
            else:
                yield NamedMixture(line, name, rate)

    def forms(self, data: Any) -> Iterator[PromptForm]:
        if data is None:
            yield PLAIN_FORM
            return
        for place, entry in enumerate(data):
            words: tuple[LabelWords, ...] | None = ()
            if isinstance(entry, dict) and "words" in entry:
                words = self.checker.words(entry["words"], self.line("forms", place, "words"))
                entry = {key: value for key, value in entry.items() if key != "words"}
            form = self.checker.made(PromptForm, entry, ("forms", place))
            if form is not None and words is not None:
                yield replace(form, words=words)

    def missing(self, data: Mapping[Any, Any]) -> Iterator[Missing]:
        for name, reason in data.items():
            if isinstance(name, str) and isinstance(reason, str) and reason:
                yield Missing(name, reason)
            else:
                said = f"'missing' maps data sets to reasons, not {name!r}: {reason!r}"
                self.checker.add(self.line("missing", str(name)), said)


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
