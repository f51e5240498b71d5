"""What exists, as data: task files found by name, built in or below folders of the user's.

`FAMILY/NAME.yaml` is the task `FAMILY/NAME`; `FAMILY/_ANY.yaml` holds several, one for each member of its
`each`. A folder of the user's may also be a clone of somebody's collection (`catalog.collections`). Knows
where task files are; what a task is, `text.task` knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple, TypeAlias, final

from ramekin.catalog.collections import COLLECTION_FORMS, Collection, collection_of
from ramekin.errors import DataError, UsageError
from ramekin.registry import unknown_name
from ramekin.text.strict_yaml import Document, read_document
from ramekin.text.task import Task
from ramekin.text.task_yaml import member_names, parse_task

__all__ = ["Catalog", "TasksRoot", "load_task", "task_names"]

TasksRoot: TypeAlias = Path | Sequence[Path] | None
"""Where the user's tasks are: a folder of task files or a clone of a collection, or several of them."""


@final
class _Found(NamedTuple):
    """Where a task is written."""

    path: Path
    member: str | None = None
    """Its name in `each`, if the file holds several."""
    collection: Collection | None = None
    """What reads the file, if it is not one of ours."""


@final
class Catalog(Mapping[str, Task]):
    """The tasks by name: file names are read at once, a task's file when the task is asked for.

    Args:
        tasks_root: the user's folders; the built-in tasks are always there.

    Raises:
        UsageError: a folder is missing or has no tasks, or a name comes twice.
    """

    def __init__(self, tasks_root: TasksRoot = None) -> None:
        self._found = _task_files(_roots(tasks_root))
        self._read: dict[str, Task] = {}  # the user's own: a new catalogue reads files that have changed

    def __getitem__(self, name: str) -> Task:
        """The task of that name.

        Raises:
            UsageError: no task has the name; the message has the nearest.
            DataError: the task's file is not well formed.
        """
        if name not in self._found:
            fix = "`ramekin tasks list` shows all of them"
            raise UsageError(unknown_name("task", name, self._found), fix=fix)
        if name in _built_in():
            return _built_in_task(name)
        if name not in self._read:
            self._read[name] = self._made(name)
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def is_collected(self, name: str) -> bool:
        """Whether the task is of a collection, whose files can be large."""
        return self._found[name].collection is not None

    def files(self, name: str) -> tuple[Path, ...]:
        """The files that make a task: its own, and the one whose templates it borrows.

        Raises:
            UsageError: no task has the name; the message has the nearest.
        """
        if name not in self._found:
            raise UsageError(unknown_name("task", name, self._found))
        path, _, collection = self._found[name]
        value = None if collection is not None else _read_file(path).value
        lender = value.get("templates") if isinstance(value, Mapping) else None
        return (path, *self.files(lender)) if isinstance(lender, str) else (path,)

    def _made(self, name: str) -> Task:
        """The task from its file."""
        path, member, collection = self._found[name]
        if collection is not None:
            return collection.read(name, path)
        document = _read_file(path)

        def lender_of(lender: str) -> Task:
            if lender == name or self._borrows(lender):
                raise DataError(
                    f"the task '{name}' borrows the templates of '{lender}', which has none of its own",
                    where=f"{path}:{document.line('templates')}",
                    fix="name the task whose file has the templates",
                )
            return self[lender]

        variables = None if member is None else member_names(document, where=str(path))[member]
        return parse_task(name, document, where=str(path), member=variables, lender_of=lender_of)

    def _borrows(self, name: str) -> bool:
        """Whether the task's templates are another's."""
        found = self._found.get(name)
        if found is None or found.collection is not None:
            return False
        value = _read_file(found.path).value
        return isinstance(value, Mapping) and isinstance(value.get("templates"), str)


def task_names(tasks_root: TasksRoot = None) -> tuple[str, ...]:
    """The names of all tasks, sorted: the built-in ones and those below `tasks_root`."""
    return tuple(Catalog(tasks_root))


def load_task(name: str, *, tasks_root: TasksRoot = None) -> Task:
    """The task of that name; see `Catalog`."""
    return Catalog(tasks_root)[name]


def _roots(tasks_root: TasksRoot) -> tuple[Path, ...]:
    if tasks_root is None:
        return ()
    return (tasks_root,) if isinstance(tasks_root, Path) else tuple(tasks_root)


@lru_cache(maxsize=1024)
def _built_in_task(name: str) -> Task:
    return Catalog()._made(name)


def _read_file(path: Path) -> Document:
    if not path.is_file():
        return read_document(path)  # raises, with its reason
    state = path.stat()
    return _read_version(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _read_version(path: Path, _changed: int, _size: int) -> Document:
    return read_document(path)


def _task_files(roots: tuple[Path, ...]) -> Mapping[str, _Found]:
    """Task name to file; a user's task may not take a name that there is already."""
    found = _built_in()
    if not roots:
        return found
    listed = dict(found)
    for root in roots:
        for name, each in _users(root):
            if name in listed:
                raise UsageError(
                    f"the task '{name}' exists already",
                    where=str(each.path),
                    got=f"also {listed[name].path}",
                    fix="rename one of the files",
                )
            listed[name] = each
    return listed


@lru_cache(maxsize=1)
def _built_in() -> Mapping[str, _Found]:
    return dict(_files_below(Path(str(files("ramekin.catalog"))) / "tasks"))


def _users(root: Path) -> Iterator[tuple[str, _Found]]:
    """The tasks of one folder of the user's, whatever its kind."""
    if not root.is_dir():
        raise UsageError("tasks_root is not a folder", where=str(root))
    collected = collection_of(root)
    if collected is None:
        own = list(_files_below(root))
        if not own:
            raise UsageError(
                "the folder has no tasks",
                where=str(root),
                expected=f"FAMILY/NAME.yaml, or {COLLECTION_FORMS}",
                fix="correct tasks_root",
            )
        yield from own
        return
    collection, tasks = collected
    yield from ((name, _Found(path, collection=collection)) for name, path in tasks)


def _files_below(root: Path) -> Iterator[tuple[str, _Found]]:
    for path in sorted(root.glob("*/*.yaml")):
        name = path.relative_to(root).with_suffix("").as_posix()
        if path.name.startswith("_"):
            for member in member_names(_read_file(path), where=str(path)):
                yield f"{path.parent.name}/{member}", _Found(path, member)
        else:
            yield name, _Found(path)
