"""Mixtures by name: what published systems were trained on, and files of the user's.

`catalog/mixtures/NAME.yaml` is the mixture `NAME`; a name that ends in `.yaml` is a file of the user's. Looks
up which tasks are meant by the names, patterns and collections of a file; what a mixture is, `text.mixing`
knows.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import final

from ramekin.catalog import Catalog
from ramekin.catalog.clusters import clusters, published
from ramekin.catalog.collections import CLONES
from ramekin.catalog.collections.names import name_of
from ramekin.errors import DataError, UsageError
from ramekin.registry import unknown_name
from ramekin.text.mixing.adjustments import Adjustments, adjusted
from ramekin.text.mixing.mixture import Leaf, Mixture, MixturePart, TaskPart, leaf_templates
from ramekin.text.mixing.mixture_yaml import MixtureFile, Selection, is_pattern, parse_mixture
from ramekin.text.strict_yaml import read_document
from ramekin.text.substitution import check_words
from ramekin.text.task import Task

__all__ = ["adjusted_mixture", "load_mixture", "mixture_file", "mixture_names"]

_SHOWN = 6
_CLONE_DEPTH = 4
"""How far above a task's file the top of its clone may be."""


@lru_cache(maxsize=1)
def _built_in() -> Mapping[str, Path]:
    folder = Path(str(files("ramekin.catalog"))) / "mixtures"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def mixture_names() -> tuple[str, ...]:
    """The names of the built-in mixtures, sorted."""
    return tuple(_built_in())


def mixture_file(name: str | Path) -> MixtureFile:
    """What a mixture's file says, without looking for its tasks.

    Raises:
        UsageError: no mixture has the name; the message has the nearest.
        DataError: the file is missing or not well formed.
    """
    path = _path(str(name), Path())
    return parse_mixture(read_document(path), where=str(path))


def load_mixture(
    name: str | Path, catalog: Catalog | None = None, *, without: Collection[str] = ()
) -> Mixture:
    """A mixture with its tasks.

    Args:
        name: of a built-in mixture, or the path of a file that ends in `.yaml`.
        catalog: where its tasks are looked for; None: among the built-in ones.
        without: mixtures within it that are left out, such as `niv2` where there is no clone of
            natural-instructions; the rates of the others stay.

    Raises:
        UsageError: no mixture, task, split, template or option has a name, a pattern matches nothing, a task
            is selected twice, or a mixture is within itself.
        DataError: a file is missing or not well formed.
    """
    resolving = _Resolving(Catalog() if catalog is None else catalog, frozenset(without))
    path = _path(str(name), Path())
    mixture = resolving.mixture(path, (), str(path))
    if unmet := sorted(resolving.without - resolving.met):
        raise UsageError(unknown_name("mixture to leave out", unmet[0], resolving.met), where=str(path))
    if mixture is None:
        raise UsageError("nothing is left of the mixture", where=str(path))
    return mixture


def adjusted_mixture(mixture: Mixture, adjustments: Adjustments, catalog: Catalog) -> Mixture:
    """A mixture with adjustments; what overlaps with a held-out cluster is told by all built-in tasks.

    Raises:
        UsageError: see `text.mixing.adjustments.adjusted`.
    """
    known: Iterator[Task] = iter(())
    if adjustments.hold_out is not None:
        known = (catalog[name] for name in catalog if not catalog.is_collected(name))
    return adjusted(mixture, adjustments, tasks=catalog, clusters=clusters(), known=known)


def _path(name: str, folder: Path) -> Path:
    if name.endswith((".yaml", ".yml")):
        return folder / name
    if name not in _built_in():
        raise UsageError(
            unknown_name("mixture", name, _built_in()), fix="a file of your own is named with its .yaml"
        )
    return _built_in()[name]


@final
class _Resolving:
    """From files to mixtures; each file is read once."""

    def __init__(self, catalog: Catalog, without: frozenset[str]) -> None:
        self.catalog = catalog
        self.names = tuple(catalog)
        self.without = without
        self.met: set[str] = set()
        """The mixtures within others that were met."""
        self.made: dict[Path, Mixture | None] = {}
        self.lists: dict[str, list[str]] = {}
        """The lists of tasks that a mixture's file refers to."""
        self.first_of: dict[tuple[Selection, str], str] = {}
        """Of a clone's tasks that an entry means, the first."""

    def mixture(self, path: Path, above: tuple[Path, ...], place: str) -> Mixture | None:
        """The mixture of a file, which is named at a place; None if all of it is left out."""
        path = path.resolve()
        if path in above:
            chain = " -> ".join(each.stem for each in (*above[above.index(path) :], path))
            raise UsageError("a mixture is within itself", where=place, got=chain)
        if path not in self.made:
            file = parse_mixture(read_document(path), where=str(path))
            tasks, lacking = self.task_parts(file)
            parts: tuple[TaskPart | MixturePart, ...] = (*tasks, *self.mixture_parts(file, path, above))
            self.made[path] = self.of_parts(file, path, parts, lacking) if parts else None
        return self.made[path]

    def of_parts(
        self,
        file: MixtureFile,
        path: Path,
        parts: tuple[TaskPart | MixturePart, ...],
        lacking: tuple[str, ...],
    ) -> Mixture:
        return Mixture(
            path.stem,
            parts,
            file.mixing,
            file.forms,
            file.description,
            file.missing,
            where=file.where,
            lists=tuple(self.lists.get(file.where, ())),
            passed_over=lacking,
        )

    def mixture_parts(self, file: MixtureFile, path: Path, above: tuple[Path, ...]) -> Iterator[MixturePart]:
        for each in file.mixtures:
            self.met.add(each.name)
            if each.name in self.without:
                continue
            try:
                inner = _path(each.name, path.parent)
            except UsageError as error:
                raise UsageError(error.what, where=f"{path}:{each.line}", fix=error.fix) from error
            found = self.mixture(inner, (*above, path), f"{path}:{each.line}")
            if found is not None:
                yield MixturePart(found, each.rate, each.line)

    def task_parts(self, file: MixtureFile) -> tuple[tuple[TaskPart, ...], tuple[str, ...]]:
        """The tasks of a file's own, and those that are passed over."""
        chosen = self.chosen(file)
        excluded = _excluded(file, chosen)
        parts: list[TaskPart] = []
        lacking: dict[str, Selection] = {}
        for name, selection in chosen.items():
            if name in excluded:
                continue
            task = self.task(name, selection)
            if task is not None and not selection.is_name and not task.source.has_split(selection.split):
                lacking[name] = selection
                continue
            parts.append(_part(name, selection))
            if task is not None:
                _check_task(file, selection, parts[-1], task)
        kept = {chosen[part.task] for part in parts}
        if idle := next((each for each in lacking.values() if each not in kept), None):
            raise UsageError(
                f"no task of '{idle.task or idle.collection}' has the split '{idle.split}'",
                where=file.at(idle.line),
                fix="say which split is drawn from: split",
            )
        return tuple(parts), tuple(lacking)

    def task(self, name: str, selection: Selection) -> Task | None:
        """A task, or None if its file is damaged, which is told when its rows are read.

        Of a clone's tasks that a pattern means the first stands for all: they are of one form, and their
        files can be gigabytes together.
        """
        if self.catalog.is_collected(name) and not selection.is_name:
            name = self.first_of.setdefault((selection, name.partition("/")[0]), name)
        try:
            return self.catalog[name]
        except DataError:
            return None

    def chosen(self, file: MixtureFile) -> dict[str, Selection]:
        """The tasks that a file's entries mean, before any is excluded."""
        chosen: dict[str, Selection] = {}
        nowhere: list[Selection] = []
        for each in file.selections:
            selected = self.selected(each, file.where)
            if not selected:
                nowhere.append(each)
            for name in selected:
                before = chosen.get(name)
                if before is not None and before.is_name == each.is_name:
                    raise UsageError(
                        f"the task '{name}' is selected twice",
                        where=f"{file.where}:{each.line}",
                        got=f"also in line {before.line}",
                        fix="exclude it, or put one of the two into a mixture of its own",
                    )
                if before is None or each.is_name:
                    chosen[name] = each
        if nowhere:
            raise _nowhere(nowhere, file.where, self.names)
        return chosen

    def selected(self, selection: Selection, where: str) -> tuple[str, ...]:
        """The tasks that an entry means; none if there are none."""
        place = f"{where}:{selection.line}"
        if selection.collection:
            return self.collected(selection, place)
        if selection.is_name:
            return (selection.task,) if selection.task in self.catalog else ()
        found = tuple(name for name in self.names if fnmatchcase(name, selection.task))
        if not (selection.listed_in and found):
            return found
        path = self.list_file(found[0], selection.listed_in, place)
        self.lists.setdefault(where, []).append(str(path))
        return self.listed(found, path)

    def collected(self, selection: Selection, place: str) -> tuple[str, ...]:
        try:
            sets = published(selection.collection, self.names)
        except UsageError as error:
            raise UsageError(error.what, where=place) from error
        for cluster in selection.clusters:
            if cluster not in sets:
                raise UsageError(unknown_name("cluster of the collection", cluster, sets), where=place)
        wanted = selection.clusters or tuple(sets)
        return tuple(name for cluster in wanted for each in sets[cluster] for name in each)

    def list_file(self, name: str, listed_in: str, place: str) -> Path:
        """A list of tasks in the clone that a task is of."""
        above = self.catalog.files(name)[0].parents[:_CLONE_DEPTH]
        path = next((folder / listed_in for folder in above if (folder / listed_in).is_file()), None)
        if path is None:
            raise UsageError(
                f"the list '{listed_in}' is not in the clone",
                where=place,
                got=str(above[0]),
                fix="name the whole clone in tasks_root",
            )
        return path

    def listed(self, names: tuple[str, ...], path: Path) -> tuple[str, ...]:
        """Those of the names that a list has."""
        family = names[0].partition("/")[0]
        lines = path.read_text(encoding="utf-8").splitlines()
        wanted = [f"{family}/{name_of(line)}" for line in lines if line.strip()]
        if lacking := [name for name in wanted if name not in self.catalog]:
            raise DataError(
                f"tasks of the list are not in the clone: {', '.join(lacking[:_SHOWN])}",
                where=str(path),
                expected=f"{len(wanted)} tasks",
                got=str(len(wanted) - len(lacking)),
                fix="use list and tasks of one version",
            )
        meant = frozenset(names)
        return tuple(dict.fromkeys(name for name in wanted if name in meant))


def _part(name: str, selection: Selection) -> TaskPart:
    return TaskPart(
        name,
        selection.rate,
        selection.limit_examples,
        selection.floor_examples,
        selection.templates,
        selection.split,
        selection.line,
    )


def _check_task(file: MixtureFile, selection: Selection, part: TaskPart, task: Task) -> None:
    """Refuse a split, templates or words of a file's that a task of its lacks."""
    with _at(file.at(selection.line), task):
        task.check_split(part.split)
    leaf = Leaf(part.task, templates=part.templates)
    with _at(file.at(selection.templates_line), task):
        leaf_templates(leaf, task)
    for number, form in enumerate(file.forms):
        with _at(file.place("forms", number, "templates"), task):
            leaf_templates(replace(leaf, form=form), task)
        with _at(file.place("forms", number, "words"), task):
            for words in form.words:
                check_words(dict(words), task.options, where=task.name)


@contextmanager
def _at(place: str, task: Task) -> Iterator[None]:
    """Say of an error in which line it is, and with which task."""
    try:
        yield
    except UsageError as error:
        raise UsageError(
            error.what, where=f"{place}: {task.name}", expected=error.expected, got=error.got, fix=error.fix
        ) from error


def _nowhere(nowhere: list[Selection], where: str, names: tuple[str, ...]) -> UsageError:
    """The error for entries that mean no task, with how to come by them."""
    first, line = nowhere[0].task, nowhere[0].line
    family = first.partition("/")[0]
    told = ", ".join(each.task for each in nowhere[:_SHOWN]) + ", …" * (len(nowhere) > _SHOWN)
    if family in CLONES and not any(name.startswith(f"{family}/") for name in names):
        return UsageError(
            f"the mixture's tasks of the family '{family}' are not there",
            where=f"{where}:{line}",
            got=told,
            fix=f"tasks_root=FOLDER with {CLONES[family]}; or, where this mixture is within another, "
            f"leave it out: without=[{Path(where).stem}]",
        )
    if nowhere[0].is_name:
        what = unknown_name("task", first, names)
    else:
        what = f"the pattern '{first}' matches no task"
    return UsageError(
        what,
        where=f"{where}:{line}",
        got=f"{len(nowhere)} such entries: {told}" if len(nowhere) > 1 else None,
        fix="`ramekin tasks list` shows all of them",
    )


def _excluded(file: MixtureFile, selected: Collection[str]) -> frozenset[str]:
    """The selected tasks that are excluded: a name must be of one of them, a pattern need not match any."""
    found: set[str] = set()
    for line, each in file.exclude:
        if is_pattern(each):
            found.update(name for name in selected if fnmatchcase(name, each))
        elif each in selected:
            found.add(each)
        else:
            raise UsageError(unknown_name("task to exclude", each, selected), where=f"{file.where}:{line}")
    return frozenset(found)
