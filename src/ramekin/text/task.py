"""A task: where its records are, what their columns mean, how they are asked and how answers are scored.

A task is data, read from YAML (`catalog/tasks/FAMILY/NAME.yaml`); this module knows its form and how a
record is rendered, not where the files are nor how records are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from ramekin.errors import DataError, UsageError
from ramekin.registry import nearest, unknown_name
from ramekin.text.example import Example, Provenance, Record
from ramekin.text.template import Template

__all__ = ["Answer", "ColumnType", "Source", "Task", "parse_task", "render"]

ColumnType: TypeAlias = Literal["string", "integer", "number", "boolean", "list", "any"]
Answer: TypeAlias = Literal["option", "number", "text"]


@dataclass(frozen=True)
class Source:
    """Where a task's records are. Exactly one of `world` and (`hub`, `local`) is given."""

    hub: str | None
    """Data set path on the Hugging Face hub, such as `nyu-mll/glue`."""
    name: str | None
    """The configuration's name there, such as `rte`."""
    revision: str | None
    """A commit or tag to pin, or None for the newest."""
    local: str | None
    """Folder below a data root, such as `glue/rte`."""
    world: str | None
    """A task of the built-in synthetic world, such as `rte`."""
    rows: Mapping[str, int]
    """For the synthetic world: how many rows of each split are made where no number is asked for."""
    splits: Mapping[str, str]
    """Our split names to the source's, such as `validation` to `validation_matched`."""


@dataclass(frozen=True)
class Task:
    """One text-to-text task."""

    name: str
    description: str
    source: Source
    columns: Mapping[str, ColumnType]
    """The columns that templates and answer need, with their types."""
    label: str | None
    """The column that holds the answer: an index into `options`, a number, or a text."""
    options: tuple[str, ...]
    """The admissible targets, in the order of the label's values; empty for free answers."""
    answer: Answer
    metrics: tuple[str, ...]
    """Metric names; the first is the task's headline."""
    templates: Mapping[str, Template]
    """By name; the first is the default."""
    cluster: str
    licence: str
    language: str

    def template(self, name: str | None = None) -> Template:
        """The template of that name, or the first.

        Raises:
            UsageError: there is none of that name; the message has the nearest.
        """
        if name is None or name == "first":
            return next(iter(self.templates.values()))
        if name not in self.templates:
            raise UsageError(unknown_name("template", name, self.templates), where=self.name)
        return self.templates[name]


def render(task: Task, record: Record, *, template: str | None = None, split: str, row: int) -> Example:
    """Render one record.

    Args:
        task: the task the record belongs to.
        record: the row, with at least the task's columns.
        template: the template's name; None takes the first.
        split: the split the record is in.
        row: its position there.

    Raises:
        DataError: the label is not an index of the task's options, or the template does not fit.
    """
    chosen = task.template(template)
    provenance = Provenance(task.name, chosen.name, split, row)
    if task.answer == "option" and task.label is not None:
        label = record.get(task.label)
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(task.options):
            raise DataError(
                "the label is not one of the task's options",
                where=provenance.id,
                expected=f"{task.label} in 0..{len(task.options) - 1}",
                got=repr(label),
                fix="choose a split that has labels" if label == -1 else None,
            )
    try:
        inputs, targets = chosen.render(record, options=task.options)
    except DataError as error:
        raise DataError(
            error.what,
            where=f"{provenance.id} ({error.where})",
            expected=error.expected,
            got=error.got,
            fix=error.fix,
        ) from error
    if not inputs or not targets:
        empty = "inputs" if not inputs else "targets"
        raise DataError(f"the template renders empty {empty}", where=provenance.id)
    return Example(inputs, targets, task.options, provenance)


_KINDS: Mapping[str, tuple[type, ...]] = {
    "description": (str,),
    "source": (Mapping,),
    "columns": (Mapping,),
    "label": (str,),
    "options": (list,),
    "answer": (str,),
    "metrics": (list,),
    "templates": (Mapping, str),
    "cluster": (str,),
    "licence": (str,),
    "language": (str,),
}
_REQUIRED = {"source", "columns", "answer", "metrics", "templates"}
_SOURCE_KEYS = {"hub", "name", "revision", "local", "world", "rows", "splits"}


def parse_task(
    name: str, data: Any, *, where: str, templates_of: Mapping[str, Template] | None = None
) -> Task:
    """Make a task from its YAML data.

    Args:
        name: `family/name`.
        data: what the YAML file holds.
        where: the file, for errors.
        templates_of: used instead of the file's own when its `templates` is another task's name.

    Raises:
        DataError: a key is unknown or missing, or a value is of the wrong kind; all are listed at once.
    """
    problems = _problems(data)
    if problems:
        raise DataError(
            f"the task '{name}' is not well formed", where=where, got="; ".join(problems), fix="edit the file"
        )
    source = data["source"]
    if templates_of is None:
        templates_of = {
            key: Template(key, text, where=f"{where}#templates.{key}")
            for key, text in data["templates"].items()
        }
    return Task(
        name=name,
        description=data.get("description", ""),
        source=Source(
            hub=source.get("hub"),
            name=source.get("name"),
            revision=source.get("revision"),
            local=source.get("local"),
            world=source.get("world"),
            rows=MappingProxyType(dict(source.get("rows", {}))),
            splits=MappingProxyType(dict(source["splits"])),
        ),
        columns=MappingProxyType(dict(data["columns"])),
        label=data.get("label"),
        options=tuple(data.get("options", ())),
        answer=data["answer"],
        metrics=tuple(data["metrics"]),
        templates=MappingProxyType(dict(templates_of)),
        cluster=data.get("cluster", ""),
        licence=data.get("licence", ""),
        language=data.get("language", "en"),
    )


def _problems(data: Any) -> list[str]:
    """What is wrong with a task's data, in words."""
    if not isinstance(data, Mapping):
        return [f"expected a mapping, got {type(data).__name__}"]
    problems = _unknown(data, set(_KINDS), "")
    problems += [f"'{key}' is missing" for key in sorted(_REQUIRED - set(data))]
    problems += [
        f"'{key}' has the wrong kind of value: {data[key]!r}"
        for key, kinds in _KINDS.items()
        if key in data and not isinstance(data[key], kinds)
    ]
    if problems:
        return problems
    return [*_source_problems(data["source"]), *_content_problems(data)]


def _source_problems(source: Mapping[str, Any]) -> list[str]:
    problems = _unknown(source, _SOURCE_KEYS, "source.")
    if not isinstance(source.get("splits"), Mapping) or not source["splits"]:
        problems.append("'source.splits' must map our split names to the source's")
    if bool(source.get("world")) == bool(source.get("hub") or source.get("local")):
        problems.append("'source' needs either 'world' or 'hub' and 'local'")
    if source.get("world") and set(source.get("rows", {})) != set(source.get("splits", {})):
        problems.append("'source.rows' must give the number of rows of every split")
    return problems


def _content_problems(data: Mapping[str, Any]) -> list[str]:
    problems = []
    for column, kind in data["columns"].items():
        if kind not in get_args(ColumnType):
            near = nearest(str(kind), get_args(ColumnType)) or ", ".join(get_args(ColumnType))
            problems.append(f"'columns.{column}' is of unknown type '{kind}' (did you mean {near}?)")
    if data["answer"] not in get_args(Answer):
        problems.append(f"'answer' must be one of {', '.join(get_args(Answer))}, not '{data['answer']}'")
    options = data.get("options", ())
    if any(not isinstance(option, str) or not option.strip() for option in options):
        problems.append("'options' must be non-empty texts (quote words such as \"no\" if in doubt)")
    if len(set(options)) != len(options):
        problems.append("'options' holds the same text twice")
    if data["answer"] == "option" and not options:
        problems.append("'answer: option' needs 'options'")
    if data.get("label") is not None and data["label"] not in data["columns"]:
        problems.append(f"'label' names the column '{data['label']}', which 'columns' does not have")
    if not data["metrics"]:
        problems.append("'metrics' is empty")
    if isinstance(data["templates"], Mapping) and not data["templates"]:
        problems.append("'templates' is empty")
    return problems


def _unknown(data: Mapping[str, Any], known: set[str], prefix: str) -> list[str]:
    return [
        f"{unknown_name('key', prefix + str(k), [prefix + n for n in known])}" for k in data if k not in known
    ]
