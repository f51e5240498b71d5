"""A task from its YAML data: every problem found at once, each with its line and the nearest right name.

A file whose `each` lists members stands for one task a member, `$NAME` in its texts being replaced by what
the member says. Knows nothing of where files are nor how records are read.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Final, get_args

from ramekin.errors import DataError
from ramekin.registry import nearest, unknown_name
from ramekin.text.expression import Expression
from ramekin.text.metrics import METRICS
from ramekin.text.strict_yaml import Document
from ramekin.text.task import ColumnType, Kind, Maker, PublishedSource, Source, Task
from ramekin.text.template import Template

__all__ = ["check_template", "known_names", "member_names", "parse_task"]

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "description": (str,),
    "source": (Mapping,),
    "columns": (Mapping,),
    "fields": (Mapping,),
    "kind": (str,),
    "options": (list, str),
    "answer": (str,),
    "references": (str,),
    "rationale": (str,),
    "passage": (str,),
    "question": (str,),
    "keep": (str,),
    "metrics": (list,),
    "templates": (Mapping, str),
    "turned_around": (Mapping,),
    "sample": (Mapping,),
    "cluster": (str,),
    "group": (str,),
    "licence": (str,),
    "language": (str,),
    "each": (Mapping,),
}
_REQUIRED = ("source", "columns", "kind", "answer", "metrics", "templates")
_SOURCE_KEYS = ("hub", "name", "revision", "local", "obtain", "world", "rows", "splits", "exemplars")
_EXEMPLAR_KEYS = (
    "question", "file", "key", "split", "reasoning", "question_mark", "answer_mark", "obtain",
)  # fmt: skip
_OWN_NAMES = frozenset(("answer", "options", "options_"))
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_VARIABLE = re.compile(r"\$([a-z_]+)")
_UNFILLED = ("templates", "turned_around", "each")


def member_names(document: Document, *, where: str) -> Mapping[str, Mapping[str, str]]:
    """The members of a file of several tasks: each one's name and what its variables stand for.

    Raises:
        DataError: `each` is not a mapping of names to texts.
    """
    each = document.value.get("each") if isinstance(document.value, Mapping) else None
    if not isinstance(each, Mapping) or not each:
        raise DataError(
            "a file of several tasks has no 'each'", where=where, expected="each: {NAME: {variable: text}}"
        )
    for name, variables in each.items():
        place = f"{where}:{document.line('each', str(name))}"
        if not _NAME.fullmatch(str(name)):
            raise DataError(f"'{name}' is no task name", where=place, expected="lower case, digits and _")
        if not isinstance(variables, Mapping) or not all(isinstance(v, str) for v in variables.values()):
            raise DataError(f"the member '{name}' is not well formed", where=place, expected="texts by name")
    return each


def parse_task(
    name: str,
    document: Document,
    *,
    where: str,
    member: Mapping[str, str] | None = None,
    lender_of: Callable[[str], Task] | None = None,
) -> Task:
    """Make a task from its YAML document.

    Templates are compiled when first used; `check_template` does it at once.

    Args:
        name: `family/name`.
        document: what the YAML file holds.
        where: the file, for errors.
        member: of a file of several tasks: what the variables stand for.
        lender_of: finds a task by name, for a file that borrows another's `templates`; its `fields` are
            borrowed too unless the file has some.

    Raises:
        DataError: a key is unknown or missing, or a value is of the wrong kind; all are listed at once.
    """
    data = document.value if member is None else _filled(document.value, {**member})
    problems = [*_problems(data, document), *_variable_problems(document, member)]
    if problems:
        raise _malformed(name, where, problems)
    options = data.get("options", ())
    lender = None
    if isinstance(data["templates"], str):
        assert lender_of is not None, "a file that borrows needs lender_of"
        lender = lender_of(data["templates"])
    fields: dict[str, Maker] = {
        key: Expression(text, where=where, line=document.line("fields", key), name=f"fields.{key}")
        for key, text in data.get("fields", {}).items()
    }
    return Task(
        name=name,
        description=data.get("description", ""),
        source=_source(data["source"], document, where),
        columns=MappingProxyType(dict(data["columns"])),
        kind=data["kind"],
        options=tuple(options) if isinstance(options, list) else (),
        metrics=tuple(data["metrics"]),
        templates=MappingProxyType(_templates(data, document, where, lender)),
        cluster=data.get("cluster", ""),
        group=data.get("group", ""),
        licence=data.get("licence", ""),
        language=data.get("language", "en"),
        constants=MappingProxyType(dict(member or {})),
        fields=MappingProxyType(fields or dict(lender.fields if lender is not None else {})),
        record_options=_of(data, "options", document, where) if isinstance(options, str) else None,
        answer=_of(data, "answer", document, where),
        references=_of(data, "references", document, where),
        rationale=_of(data, "rationale", document, where),
        passage=_of(data, "passage", document, where),
        question=_of(data, "question", document, where),
        keep=_of(data, "keep", document, where),
        sample=data.get("sample"),
        where=where,
    )


def _of(data: Mapping[str, Any], key: str, document: Document, where: str) -> Maker | None:
    return Expression(data[key], where=where, line=document.line(key), name=key) if key in data else None


def _source(data: Mapping[str, Any], document: Document, where: str) -> Source:
    return Source(
        hub=data.get("hub"),
        name=data.get("name"),
        revision=data.get("revision"),
        local=data.get("local"),
        obtain=data.get("obtain", ""),
        world=data.get("world"),
        rows=MappingProxyType(dict(data.get("rows", {}))),
        splits=MappingProxyType(dict(data["splits"])),
        exemplars=_published(data["exemplars"], document, where) if "exemplars" in data else None,
    )


def _published(data: Mapping[str, str], document: Document, where: str) -> PublishedSource:
    texts = {
        key: Template(
            "published",
            f"{data[key]} ||| {{{{ answer }}}}",
            False,
            where,
            document.line("source", "exemplars", key),
        )
        for key in ("question", "reasoning")
        if key in data
    }
    return PublishedSource(**{**data, **texts})  # type: ignore[arg-type]


def _templates(
    data: Mapping[str, Any],
    document: Document,
    where: str,
    lender: Task | None,
) -> dict[str, Template]:
    found = dict(lender.templates) if lender is not None else {}
    for key, turned in (("templates", False), ("turned_around", True)):
        texts = data.get(key)
        if isinstance(texts, Mapping):
            found |= {
                name: Template(name, text, turned, where, document.line(key, name))
                for name, text in texts.items()
            }
    return found


def _filled(data: Any, variables: Mapping[str, str]) -> Any:
    """The data with `$NAME` replaced; templates see the variables as fields and are left alone."""
    if isinstance(data, str):
        return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), data)
    if isinstance(data, list):
        return [_filled(value, variables) for value in data]
    if isinstance(data, Mapping):
        return {key: value if key in _UNFILLED else _filled(value, variables) for key, value in data.items()}
    return data


Problem = tuple[int | None, str]
"""A line of the file, where it is known, and what is wrong there."""


def _malformed(name: str, where: str, problems: Sequence[Problem]) -> DataError:
    """One error for all that is wrong."""
    (line, problem), *others = problems
    if others:
        problem = "; ".join(each if at is None else f"line {at}: {each}" for at, each in problems)
        line = None
    place = where if line is None else f"{where}:{line}"
    return DataError(f"the task '{name}' is not well formed", where=place, got=problem, fix="edit the file")


def _problems(data: Any, document: Document) -> Iterator[Problem]:
    """What is wrong with a task's data."""
    at = document.line
    if not isinstance(data, Mapping):
        yield None, f"expected a mapping, got {type(data).__name__}"
        return
    for key in data:
        if key not in _KINDS:
            yield at(str(key)), unknown_name("key", str(key), _KINDS)
    for key in _REQUIRED:
        if key not in data:
            yield None, f"'{key}' is missing"
    for key, kinds in _KINDS.items():
        if key in data and not isinstance(data[key], kinds):
            yield at(key), f"'{key}' has the wrong kind of value: {data[key]!r}"
    sound = {key: data[key] for key, kinds in _KINDS.items() if isinstance(data.get(key), kinds)}
    if "source" in sound:
        yield from ((at("source"), problem) for problem in _source_problems(sound["source"]))
    yield from _content_problems(sound, at)
    yield from _template_problems(sound, at)


def _variable_problems(document: Document, member: Mapping[str, str] | None) -> Iterator[Problem]:
    """`$NAME` that a member says nothing of, and members in a file of one task."""
    if not isinstance(document.value, Mapping):
        return
    if member is None:
        if "each" in document.value:
            yield document.line("each"), "'each' stands only in files whose names begin with _"
        return
    for key, value in document.value.items():
        if key not in (*_UNFILLED, "sample"):
            for name in dict.fromkeys(_VARIABLE.findall(str(value))):
                if name not in member:
                    said = unknown_name("variable", f"${name}", [f"${known}" for known in member])
                    yield document.line(str(key)), said


def _source_problems(source: Mapping[str, Any]) -> Iterator[str]:
    for key, value in source.items():
        if key not in _SOURCE_KEYS:
            yield unknown_name("key", f"source.{key}", [f"source.{known}" for known in _SOURCE_KEYS])
        elif not isinstance(value, Mapping if key in ("rows", "splits", "exemplars") else str):
            yield f"'source.{key}' has the wrong kind of value: {value!r}"
            return
    if "exemplars" in source:
        yield from _exemplar_problems(source["exemplars"], source)
    if not isinstance(source.get("splits"), Mapping) or not source["splits"]:
        yield "'source.splits' must map our split names to the source's"
    if bool(source.get("world")) == bool(source.get("hub") or source.get("local")):
        yield "'source' needs either 'world' or 'hub' and 'local'"
    if source.get("world") and set(source.get("rows", {})) != set(source.get("splits", {})):
        yield "'source.rows' must give the number of rows of every split"
    if not source.get("world") and not source.get("hub") and not source.get("obtain"):
        yield "'source' has no 'hub': 'source.obtain' must say how to come by the records"


def _exemplar_problems(exemplars: Mapping[str, Any], source: Mapping[str, Any]) -> Iterator[str]:
    for key, value in exemplars.items():
        if key not in _EXEMPLAR_KEYS:
            known = [f"source.exemplars.{each}" for each in _EXEMPLAR_KEYS]
            yield unknown_name("key", f"source.exemplars.{key}", known)
        elif not isinstance(value, str):
            yield f"'source.exemplars.{key}' must be a text, not {value!r}"
            return
    if "question" not in exemplars:
        yield "'source.exemplars.question' is missing: how the question is put behind the exemplars"
    if bool(exemplars.get("file")) == bool(exemplars.get("split")):
        yield "'source.exemplars' needs either 'file' or 'split'"
    path = PurePosixPath(exemplars.get("file", ""))
    if path.is_absolute() or ".." in path.parts:
        yield f"'source.exemplars.file' must stay below the data root: {path}"
    if exemplars.get("split"):
        if "reasoning" not in exemplars:
            yield "'source.exemplars.reasoning' is missing: how the split's rows are answered"
        if exemplars["split"] not in (source.get("splits") or ()):
            yield f"'source.exemplars.split' is none of the splits: {exemplars['split']}"


def _content_problems(data: Mapping[str, Any], at: Callable[..., int | None]) -> Iterator[Problem]:
    for column, kind in data.get("columns", {}).items():
        if kind not in get_args(ColumnType):
            near = nearest(str(kind), get_args(ColumnType)) or ", ".join(get_args(ColumnType))
            said = f"'columns.{column}' is of unknown type '{kind}' (did you mean {near}?)"
            yield at("columns", column), said
    if "kind" in data and data["kind"] not in get_args(Kind):
        close = nearest(data["kind"], get_args(Kind))
        hint = f" (did you mean {close}?)" if close else ""
        yield at("kind"), f"'kind' must be one of {', '.join(get_args(Kind))}, not '{data['kind']}'{hint}"
    if "kind" in data:
        yield from (
            (at("options"), problem) for problem in _option_problems(data.get("options"), data["kind"])
        )
    if data.get("metrics") == []:
        yield at("metrics"), "'metrics' is empty"
    for metric in data.get("metrics", ()):
        if str(metric) not in METRICS:
            yield at("metrics"), unknown_name("metric", str(metric), METRICS)
        elif METRICS[metric].needs_questions and "question" not in data:
            yield (
                at("metrics"),
                f"'{metric}' needs 'question', an expression that tells whose answer a row is",
            )
    for key, text in data.get("fields", {}).items():
        if not isinstance(text, str):
            yield at("fields", key), f"'fields.{key}' must be an expression, not {text!r}"
        if key in _OWN_NAMES:
            yield at("fields", key), f"'{key}' is the task's own; call the field something else"


def _option_problems(options: Any, kind: str) -> Iterator[str]:
    if kind == "classification" and not (isinstance(options, list) and options):
        yield "'kind: classification' needs 'options', a list"
    if kind == "multiple_choice" and not isinstance(options, str):
        yield "'kind: multiple_choice' needs 'options', an expression such as choices.text"
    if kind in ("number", "text") and options:
        yield f"'kind: {kind}' has no 'options'"
    if isinstance(options, list):
        if any(not isinstance(option, str) or not option.strip() for option in options):
            yield "'options' must be non-empty texts (quote words such as \"true\")"
        elif any(option != option.strip() for option in options):
            yield "'options' must have no white space around them: targets are stripped"
        elif len(set(options)) != len(options):
            yield "'options' holds the same text twice"


def _template_problems(data: Mapping[str, Any], at: Callable[..., int | None]) -> Iterator[Problem]:
    names: list[str] = []
    if data.get("templates") == {}:
        yield at("templates"), "'templates' is empty"
    for key in ("templates", "turned_around"):
        texts = data.get(key)
        for name, text in texts.items() if isinstance(texts, Mapping) else ():
            line = at(key, str(name))
            if not isinstance(text, str):
                yield line, f"the template '{name}' must be a text, not {text!r}"
            elif "|||" not in text:
                yield line, f"the template '{name}' has no target: expected 'inputs ||| targets'"
            if not isinstance(name, str):
                yield line, f"the template name {name!r} is no text (quote it)"
            elif not _NAME.fullmatch(name):
                yield line, f"'{name}' is no template name (lower case, digits and _)"
            if name in names:
                yield line, f"the template '{name}' stands twice"
            names.append(name)


def known_names(task: Task) -> Sequence[str]:
    """The names that the task's templates may use."""
    return [*task.constants, *task.columns, *task.fields, *sorted(_OWN_NAMES)]


def check_template(task: Task, template: Template) -> None:
    """Compile a template, and the task's expressions, and see that they name nothing that is not there.

    Raises:
        DataError: something does not compile, or names an unknown field; the message has the nearest.
    """
    names = template.names
    if not task.columns and not task.fields:  # a collection's: its columns are the data set's own affair
        return
    _check_expressions(task)
    known = known_names(task)
    for name in sorted(names):
        if name not in known:
            raise DataError(
                f"the template '{template.name}' uses a field that the task does not have",
                where=template.place,
                got=unknown_name("field", name, known),
                fix="add it to 'columns' or 'fields', or correct the name",
            )


def _check_expressions(task: Task) -> None:
    """Every expression sees the constants, the columns, and the fields before it."""
    known = [*task.constants, *task.columns]
    results = {
        "options": task.record_options,
        "answer": task.answer,
        "references": task.references,
        "rationale": task.rationale,
        "passage": task.passage,
        "question": task.question,
        "keep": task.keep,
    }
    for key, make in [*((f"fields.{name}", make) for name, make in task.fields.items()), *results.items()]:
        if isinstance(make, Expression):
            for name in sorted(make.names):
                if name not in known:
                    raise DataError(
                        f"the task's '{key}' uses a column that the task does not have",
                        where=make.where if make.line is None else f"{make.where}:{make.line}",
                        got=unknown_name("column", name, known),
                        fix="add it to 'columns', or correct the name",
                    )
        if key.startswith("fields."):
            known.append(key.removeprefix("fields."))
