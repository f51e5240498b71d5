"""What exists, as data: task files found by name, built in or below a folder of the user's.

Knows where task files are and that their names are `family/name`; what a task is, `text.task` knows.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from ramekin.errors import DataError, UsageError
from ramekin.registry import unknown_name
from ramekin.text.strict_yaml import read_yaml
from ramekin.text.task import Task, parse_task

__all__ = ["load_task", "task_names"]


def task_names(tasks_root: Path | None = None) -> tuple[str, ...]:
    """The names of all tasks, sorted: the built-in ones and those below `tasks_root`."""
    return tuple(sorted(_task_files(tasks_root)))


def load_task(name: str, *, tasks_root: Path | None = None) -> Task:
    """The task of that name.

    A task file whose `templates` is a task's name is asked with that task's templates.

    Raises:
        UsageError: no task has the name; the message has the nearest.
        DataError: the task's file is not well formed.
    """
    found = _task_files(tasks_root)
    if name not in found:
        raise UsageError(unknown_name("task", name, found), fix="`ramekin tasks list` shows all of them")
    return _read_task(name, found[name], tasks_root)


@lru_cache(maxsize=4096)
def _read_task(name: str, path: Path, tasks_root: Path | None) -> Task:
    data = read_yaml(path)
    borrowed = data.get("templates") if isinstance(data, Mapping) else None
    if isinstance(borrowed, str):
        if borrowed == name:
            raise DataError("a task borrows its own templates", where=str(path))
        return parse_task(
            name, data, where=str(path), templates_of=load_task(borrowed, tasks_root=tasks_root).templates
        )
    return parse_task(name, data, where=str(path))


def _task_files(tasks_root: Path | None) -> dict[str, Path]:
    """Task name to file; a user's task may not take a built-in name."""
    found = _files_below(Path(str(files("ramekin.catalog"))) / "tasks")
    if tasks_root is not None:
        if not tasks_root.is_dir():
            raise UsageError("tasks_root is not a folder", where=str(tasks_root))
        for name, path in _files_below(tasks_root).items():
            if name in found:
                raise UsageError(f"the task '{name}' exists already", where=str(path), fix="rename the file")
            found[name] = path
    return found


def _files_below(root: Path) -> dict[str, Path]:
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.glob("*/*.yaml"))}
