"""Suites by name: what published systems were evaluated on, and files of the user's.

`catalog/suites/NAME.yaml` is the suite `NAME`; a name that ends in `.yaml` is a file of the user's; a task,
a pattern of tasks or a mixture is a suite too. Looks up which tasks are meant, and whether they have the
splits, templates, options and reasoning that the settings speak of; what a suite is, `text.suite` knows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import final

from ramekin.catalog import Catalog
from ramekin.catalog.clusters import clusters, published
from ramekin.catalog.collections import CLONES
from ramekin.catalog.mixtures import load_mixture, mixture_names
from ramekin.errors import UsageError
from ramekin.registry import unknown_name
from ramekin.text.mixing.mixture import task_parts
from ramekin.text.mixing.mixture_yaml import is_pattern
from ramekin.text.strict_yaml import read_document
from ramekin.text.substitution import check_words
from ramekin.text.suite import Suite, SuitePart, SuiteSettings, SuiteTask
from ramekin.text.suite_yaml import SuiteFile, SuiteFilePart, SuiteSelection, parse_suite
from ramekin.text.task import Task

__all__ = ["load_suite", "suite_file", "suite_names"]

_PLAIN = SuiteSettings()


@lru_cache(maxsize=1)
def _built_in() -> Mapping[str, Path]:
    folder = Path(str(files("ramekin.catalog"))) / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def suite_names() -> tuple[str, ...]:
    """The names of the built-in suites, sorted."""
    return tuple(_built_in())


def suite_file(name: str | Path) -> SuiteFile:
    """What a suite's file says, without looking for its tasks.

    Raises:
        UsageError: no suite has the name; the message has the nearest.
        DataError: the file is missing or not well formed.
    """
    path = _path(str(name), Path())
    return parse_suite(read_document(path), where=str(path))


def load_suite(name: str | Path, catalog: Catalog | None = None) -> Suite:
    """A suite with its tasks.

    Args:
        name: of a built-in suite; or the path of a file that ends in `.yaml`; or a task or a pattern, such as
            `mmlu/*`, or a mixture, each with the settings that hold where nothing is said.
        catalog: where its tasks are looked for; None: among the built-in ones.

    Raises:
        UsageError: no suite, task, cluster, split, template or option has a name, a pattern matches nothing,
            a task stands twice, or a suite is within itself.
        DataError: a file is missing or not well formed.

    >>> [part.title for part in load_suite("label_generalisation").parts]
    ['unseen tasks', 'seen tasks']
    """
    resolving = _Resolving(Catalog() if catalog is None else catalog)
    text = str(name)
    if text not in _built_in() and not text.endswith((".yaml", ".yml")):
        if "/" in text:
            return resolving.of_selection(text, SuiteSelection((), _PLAIN, task=text))
        if text in mixture_names():
            return resolving.of_selection(text, SuiteSelection((), _PLAIN, mixture=text))
    path = _path(text, Path())
    return resolving.suite(path, (), str(path))


def _path(name: str, folder: Path) -> Path:
    if name.endswith((".yaml", ".yml")):
        return folder / name
    if name not in _built_in():
        raise UsageError(
            unknown_name("suite", name, _built_in()),
            fix="a file of your own is named with its .yaml; a task by its whole name, FAMILY/NAME",
        )
    return _built_in()[name]


@final
class _Resolving:
    """From files to suites; each file is read once."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.names = tuple(catalog)
        self.made: dict[Path, Suite] = {}

    def of_selection(self, name: str, selection: SuiteSelection) -> Suite:
        """The suite of what is not a suite by itself."""
        file = SuiteFile(name, (SuiteFilePart((), name, (selection,)),))
        return Suite(name, (self.part(file, file.parts[0], Path(), ()),), where=name)

    def suite(self, path: Path, above: tuple[Path, ...], place: str) -> Suite:
        """The suite of a file, which is named at a place."""
        path = path.resolve()
        if path in above:
            chain = " -> ".join(each.stem for each in (*above[above.index(path) :], path))
            raise UsageError("a suite is within itself", where=place, got=chain)
        if path not in self.made:
            file = parse_suite(read_document(path), where=str(path))
            parts = tuple(self.part(file, each, path, above) for each in file.parts)
            self.made[path] = Suite(
                path.stem,
                parts,
                file.description,
                file.source,
                file.average,
                file.normalised,
                file.where,
            )
        return self.made[path]

    def part(self, file: SuiteFile, part: SuiteFilePart, path: Path, above: tuple[Path, ...]) -> SuitePart:
        if not part.suite:
            return SuitePart(part.title or path.stem, self.sets(file, part))
        place = file.place(*part.path, "suite")
        with _at(place):
            inner = _path(part.suite, path.parent)
        suite = self.suite(inner, (*above, path), place)
        return SuitePart(part.title or suite.name, suite=suite)

    def sets(self, file: SuiteFile, part: SuiteFilePart) -> tuple[tuple[SuiteTask, ...], ...]:
        """The data sets of a part; what names a task stands in place of what means it otherwise."""
        chosen = [(each, self.selected(file, each)) for each in part.selections]
        named = {
            name for each, sets in chosen if _is_name(each) for one in sets for name in one if not each.title
        }
        excluded = self.excluded(file, part, [n for _, sets in chosen for one in sets for n in one])
        found = []
        met: dict[str, str] = {}
        for each, sets in chosen:
            place = file.place(*each.path)
            for one in sets:
                kept = [n for n in one if n not in excluded and (_is_name(each) or n not in named)]
                tasks = tuple(SuiteTask(name, each.settings, each.title) for name in kept)
                for task in tasks:
                    if task.name in met:
                        raise UsageError(
                            f"the task '{task.name}' stands twice",
                            where=place,
                            got=f"also {met[task.name]}",
                            fix="exclude it, or give one of the two a title",
                        )
                    met[task.name] = place
                    _check_task(file, each, self.catalog[task.task])
                if tasks:
                    found.append(tasks)
        if not found:
            raise UsageError("nothing is left of the part", where=file.place(*part.path, "exclude"))
        return tuple(found)

    def selected(self, file: SuiteFile, each: SuiteSelection) -> tuple[tuple[str, ...], ...]:
        """The data sets that an entry means, each with its tasks; never none."""
        place = file.place(*each.path)
        with _at(place):
            found = tuple(self.meant(each, Path(file.where).parent))
        if each.having:
            found = tuple(
                kept for one in found if (kept := tuple(n for n in one if self.has(n, dict(each.having))))
            )
        if not found:
            said = f"no task has {dict(each.having)}" if each.having else "the entry means no task"
            raise UsageError(said, where=place, fix="`ramekin tasks list` shows all of them")
        return found

    def meant(self, each: SuiteSelection, folder: Path) -> Iterator[tuple[str, ...]]:
        if each.collection:
            sets = published(each.collection, self.names)
            for cluster in each.clusters or tuple(sets):
                if cluster not in sets:
                    raise UsageError(unknown_name("cluster of the collection", cluster, sets))
                yield from sets[cluster]
        elif each.cluster:
            if each.cluster not in clusters():
                raise UsageError(unknown_name("cluster", each.cluster, clusters()))
            known = (name for name in self.names if not self.catalog.is_collected(name))
            yield from ((name,) for name in known if self.catalog[name].cluster == each.cluster)
        elif each.mixture:
            is_file = each.mixture.endswith((".yaml", ".yml"))
            mixture = load_mixture(folder / each.mixture if is_file else each.mixture, self.catalog)
            yield from ((name,) for name in dict.fromkeys(part.task for _, part in task_parts(mixture)))
        elif each.tasks:
            yield tuple(self.named(name) for name in each.tasks)
        elif is_pattern(each.task):
            found = [name for name in self.names if fnmatchcase(name, each.task)]
            if not found:
                raise self.nowhere(f"the pattern '{each.task}' matches no task", each.task)
            yield from ((name,) for name in found)
        else:
            yield (self.named(each.task),)

    def named(self, name: str) -> str:
        """The name, which a task has."""
        if name not in self.catalog:
            raise self.nowhere(unknown_name("task", name, self.names), name)
        return name

    def nowhere(self, what: str, name: str) -> UsageError:
        """The error for a task that is not there, with how to come by it."""
        family = name.partition("/")[0]
        if family in CLONES and not any(each.startswith(f"{family}/") for each in self.names):
            what = f"the suite's tasks of the family '{family}' are not there"
            return UsageError(what, got=name, fix=f"tasks_root=FOLDER with {CLONES[family]}")
        return UsageError(what, fix="`ramekin tasks list` shows all of them")

    def has(self, name: str, wanted: Mapping[str, object]) -> bool:
        """Whether a task's constants have those values."""
        constants = self.catalog[name].constants
        return all(key in constants and constants[key] == value for key, value in wanted.items())

    def excluded(self, file: SuiteFile, part: SuiteFilePart, selected: list[str]) -> frozenset[str]:
        """The selected tasks that are excluded: each name or pattern must be of one of them."""
        found: set[str] = set()
        for place, each in enumerate(part.exclude):
            meant = [name for name in selected if fnmatchcase(name, each)]
            if not meant:
                where = file.place(*part.path, "exclude", place)
                raise UsageError(unknown_name("task to exclude", each, selected), where=where)
            found.update(meant)
        return frozenset(found)


def _is_name(selection: SuiteSelection) -> bool:
    """Whether it names its tasks."""
    return bool(selection.tasks) or bool(selection.task and not is_pattern(selection.task))


def _check_task(file: SuiteFile, selection: SuiteSelection, task: Task) -> None:
    """Refuse settings that speak of what a task lacks."""
    settings = selection.settings

    def place(key: str) -> str:
        """Where the key is said: in the entry, its part, or at the top; else where the entry is."""
        lines = file.document.lines
        above = (selection.path[:length] for length in range(len(selection.path), -1, -1))
        said = next(((*path, key) for path in above if (*path, key) in lines), selection.path)
        return file.place(*said)

    with _at(place("splits"), task):
        if not settings.splits_of(task):
            raise UsageError(
                "the task has none of the splits",
                expected=" or ".join(task.source.splits),
                got=", ".join(settings.splits),
            )
    with _at(place("templates"), task):
        if settings.templates not in ("first", "all"):
            task.template(settings.templates)
    with _at(place("words"), task):
        for words in settings.words:
            check_words(dict(words), task.options, where=task.name)
    if settings.shots and settings.exemplars == "split":
        with _at(place("exemplar_split"), task):
            task.check_split(settings.exemplar_split)
        if settings.thought == "rationale" and task.rationale is None:
            raise UsageError(
                "the task's rows have no reasoning to show",
                where=f"{place('thought')}: {task.name}",
                fix="exemplars: published, or thought: trigger",
            )


@contextmanager
def _at(place: str, task: Task | None = None) -> Iterator[None]:
    """Say of an error in which line it is, and with which task; one of another file has its own place."""
    try:
        yield
    except UsageError as error:
        if error.where is not None and task is None:
            raise
        where = place if task is None else f"{place}: {task.name}"
        raise UsageError(
            error.what, where=where, expected=error.expected, got=error.got, fix=error.fix
        ) from error
