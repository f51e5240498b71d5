"""What the configurations of all verbs share: types of values, and the keys that every verb has.

This is the edge: what a user may write, with types, bounds and defaults. The library below takes plain
keyword arguments and knows none of these models. Importing this module loads pydantic and nothing heavier.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ramekin.errors import RamekinError, UsageError
from ramekin.evaluate.mode import MODES
from ramekin.files import refuse_inputs

if TYPE_CHECKING:
    from ramekin.catalog import TasksRoot

__all__ = [
    "AbstractSettings",
    "AbstractTaskVerbConfig",
    "AbstractVerbConfig",
    "ModeName",
    "Natural",
    "PositiveInt",
    "UserPath",
    "all_or_value_error",
    "named_tasks",
    "refuse_unknown_tasks",
]


_READ = ("config.json", "adapter_config.json", "statistics.json")


def _expanded(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) else value


UserPath: TypeAlias = Annotated[Path, BeforeValidator(_expanded)]
PositiveInt: TypeAlias = Annotated[int, Field(gt=0)]
Natural: TypeAlias = Annotated[int, Field(ge=0)]


def refuse_unknown_tasks(names: Sequence[str], tasks_root: "TasksRoot") -> None:
    """Refuse names of tasks that the catalogue does not have, all at once."""
    if not names:
        return  # the catalogue takes a while to load
    from ramekin.catalog import load_task

    all_or_value_error(lambda name: load_task(name, tasks_root=tasks_root), names)


def all_or_value_error(check: Callable[[str], object], names: Sequence[str]) -> None:
    """Check every name, then raise all that was wrong as the one ValueError that pydantic reports."""
    problems = []
    for name in names:
        try:
            check(name)
        except RamekinError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(dict.fromkeys(problems)))


def named_tasks(info: ValidationInfo) -> tuple[str, ...]:
    """The tasks that were asked for, as far as they have been checked."""
    task = info.data.get("task")
    return (*((task,) if task else ()), *info.data.get("tasks", ()))


def _known_mode(mode: str) -> str:
    """Refuse a scoring mode that does not exist."""
    try:
        return MODES[mode].name
    except UsageError as error:
        raise ValueError(str(error)) from error


ModeName: TypeAlias = Annotated[str, AfterValidator(_known_mode)]


def _folders_in(values: Any, key: str = "") -> Iterator[Path]:
    """The folders that a configuration says are read: models, adapters, statistics, places of data."""
    if isinstance(values, Mapping):
        for inner, value in values.items():
            yield from _folders_in(value, str(inner))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _folders_in(value, key)
    elif isinstance(values, str) and values:
        folder = Path(values).expanduser()
        if key.endswith("_root") or any((folder / name).is_file() for name in _READ):
            yield folder


class AbstractSettings(BaseModel):
    """A group of keys: unknown ones are refused, and nothing changes after validation.

    One value stands for a list of one, `track=tensorboard`, and null for an empty one that has a default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        lists = {key: each for key, each in cls.model_fields.items() if get_origin(each.annotation) is tuple}
        values = dict(given)
        for key in lists.keys() & values.keys():
            if isinstance(values[key], str | int | float | Path):
                values[key] = (values[key],)
            elif values[key] is None and not lists[key].is_required():
                values[key] = ()
        return values


class AbstractVerbConfig(AbstractSettings):
    """The keys that every verb has."""

    output: UserPath | None = None
    """Folder for what the verb makes; None lets the verb choose a fresh one below `outputs/`."""
    overwrite: bool = False
    seed: Natural = 0
    device: str = "auto"
    threads: Natural = 0
    """Threads for arithmetic on the CPU; 0 takes as many as there are cores."""
    data_root: UserPath | None = None
    tasks_root: tuple[UserPath, ...] = ()
    """Folders of task files, or clones of collections: `tasks_root=DIR` or `tasks_root=[DIR,DIR]`."""
    hub_root: UserPath | None = None
    world_seed: Natural = 0
    """Of the built-in synthetic world and of its bases."""
    bad_rows: Literal["error", "skip", "quarantine"] = "error"
    """What a row of a data file that cannot be used does; rows left out are counted."""
    quarantine: UserPath | None = None
    """With `bad_rows=quarantine`, the JSONL file that bad rows are written to with the reason."""

    @model_validator(mode="after")
    def _overwrites_nothing_it_reads(self) -> Self:
        if self.overwrite and self.output is not None and self.output.exists():
            try:
                refuse_inputs(self.output, _folders_in(self.model_dump(mode="json", exclude={"output"})))
            except UsageError as error:
                raise ValueError(f"output: {error}") from error
        return self

    @model_validator(mode="after")
    def _quarantine_has_a_file(self) -> Self:
        if (self.bad_rows == "quarantine") != (self.quarantine is not None):
            raise ValueError("bad_rows=quarantine and quarantine=FILE.jsonl go together")
        return self


class AbstractTaskVerbConfig(AbstractVerbConfig):
    """The keys of the verbs that work on tasks, all of which are known."""

    task: str | None = None
    tasks: tuple[str, ...] = ()
    templates: str = "first"

    # Field by field, so that a wrong name is found whatever else is wrong.
    @field_validator("task", "tasks")
    @classmethod
    def _are_known(cls, value: str | tuple[str, ...] | None, info: ValidationInfo) -> Any:
        names = (value,) if isinstance(value, str) else value or ()
        refuse_unknown_tasks(names, info.data.get("tasks_root"))
        return value

    @field_validator("templates")
    @classmethod
    def _is_of_each_task(cls, value: str, info: ValidationInfo) -> str:
        names, root = named_tasks(info), info.data.get("tasks_root")
        if value not in ("", "first", "all"):
            from ramekin.catalog import load_task

            all_or_value_error(lambda name: load_task(name, tasks_root=root).template(value), names)
        return value

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks asked for, whichever way they were written."""
        return (*((self.task,) if self.task else ()), *self.tasks)
