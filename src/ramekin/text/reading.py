"""What a task reads from a record: its fields, its options and the right answer.

All that is needed for one template is made in one go: its expressions are compiled together, and fields that
neither the template nor the answer uses are not made. Knows nothing of how the reading is put into words.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, final

from ramekin.errors import DataError
from ramekin.text.example import Provenance, Record
from ramekin.text.expression import Expression
from ramekin.text.sandbox import Compiled, compile_program
from ramekin.text.task import Maker, Task

__all__ = ["Reading", "belongs", "read_record"]

_OPTIONS, _ANSWER = "ramekin_options", "ramekin_answer"
_REFERENCES, _RATIONALE = "ramekin_references", "ramekin_rationale"
_PASSAGE, _QUESTION = "ramekin_passage", "ramekin_question"
_SHOWN: Final = {
    _OPTIONS: "options",
    _ANSWER: "answer",
    _REFERENCES: "references",
    _RATIONALE: "rationale",
    _PASSAGE: "passage",
    _QUESTION: "question",
}


@final
class Reading(NamedTuple):
    """What a task reads from a record."""

    values: dict[str, Any]
    """Constants, columns and fields by name."""
    options: tuple[str, ...]
    """The admissible answers; empty for numbers and free text."""
    place: int | None
    """Of the right one among them, from 0."""
    answer: Any
    """The right answer: an option, a number or a text; None where only the templates know it."""
    references: tuple[str, ...]
    """All answers that count as right; at least the one."""
    rationale: str
    passage: str = ""
    """A short hash of what the record shares with others; empty: nothing."""
    question: str = ""
    """A short hash of its question and passage, where it is one of the question's candidate answers."""


@final
class _Step(NamedTuple):
    """Something to be made from the values so far."""

    name: str
    make: Maker
    program: Compiled | None
    """Several expressions at once; it makes values by name."""


def read_record(
    task: Task, record: Record, *, where: Provenance | str, names: frozenset[str] | None = None
) -> Reading:
    """Read a record as the task does.

    Args:
        task: the task the record belongs to.
        record: the row, with at least the task's columns.
        where: the row's name in errors.
        names: of the fields that are wanted; None: all of them.

    Raises:
        DataError: a field cannot be made, the options are no texts, or the answer is none of them.
    """
    values = {**task.constants, **record}
    _make(task, values, names, where, results=True)
    made = values.pop(_OPTIONS, None), values.pop(_ANSWER, None)
    options = task.options if task.record_options is None else _texts(made[0], "options", where)
    answer = made[1]
    place = None
    if options and task.answer is not None:
        place = _place(answer, options, where)
        answer = options[place]
    elif task.kind == "number" and (isinstance(answer, bool) or not isinstance(answer, (int, float))):
        raise DataError("the answer is no number", where=str(where), expected="a number", got=repr(answer))
    elif task.kind == "text" and task.answer is not None and not isinstance(answer, str):
        if isinstance(answer, bool) or not isinstance(answer, (int, float)):
            raise DataError(
                "the answer is no text", where=str(where), expected="a text", got=repr(answer)[:80]
            )
        answer = str(answer)
    references: tuple[str, ...] = ()
    if task.references is not None:
        references = _texts(values.pop(_REFERENCES), "references", where)
    rationale = "" if task.rationale is None else str(values.pop(_RATIONALE)).strip()
    if task.passage is None and task.question is None:
        return Reading(values, options, place, answer, references, rationale)
    passage, question = _short_hash(values.pop(_PASSAGE, "")), _short_hash(values.pop(_QUESTION, ""))
    # the same words may be asked about another passage
    question = question and _short_hash(f"{passage} {question}")
    return Reading(values, options, place, answer, references, rationale, passage, question)


def belongs(task: Task, record: Record, *, where: str) -> bool:
    """Whether the row is one of the task's: its `keep`, for which only the fields that it uses are made.

    Args:
        task: the task.
        record: the row.
        where: the row's name in errors.

    Raises:
        DataError: such a field, or the condition itself, cannot be made from this record.
    """
    if task.keep is None:
        return True
    values = {**task.constants, **record}
    _make(task, values, task.keep.names if isinstance(task.keep, Expression) else None, where, results=False)
    return bool(_made(task.keep, values, "keep", where))


def _make(
    task: Task,
    values: dict[str, Any],
    names: frozenset[str] | None,
    where: Provenance | str,
    *,
    results: bool,
) -> None:
    """Make these fields, in place; with `results` also options, answer, references and rationale."""
    steps = task.plans.get((names, results))
    if steps is None:
        steps = task.plans[names, results] = _plan(task, names, results=results)
    try:
        for name, make, program in steps:
            if program is None:
                values[name] = make(values)
            else:
                values.update(program.values(values))
    except DataError as error:
        # Which of them it was is found by making each by itself.
        alone = {**values}
        for name, make in _makers(task, results=results):
            alone[name] = _made(make, alone, _SHOWN.get(name, name), where)
        raise DataError(
            error.what, where=f"{where} ({error.where})", expected=error.expected, got=error.got
        ) from error


def _makers(task: Task, *, results: bool) -> list[tuple[str, Maker]]:
    """What the task makes from a record, in order."""
    if not results:
        return [*task.fields.items()]
    made = (
        (_OPTIONS, task.record_options),
        (_ANSWER, task.answer),
        (_REFERENCES, task.references),
        (_RATIONALE, task.rationale),
        (_PASSAGE, task.passage),
        (_QUESTION, task.question),
    )
    return [*task.fields.items(), *((name, make) for name, make in made if make is not None)]


def _plan(task: Task, names: frozenset[str] | None, *, results: bool) -> tuple[_Step, ...]:
    """The steps that make the fields wanted (None: all of them) and those that these are made from."""
    wanted: set[str] | None = None if names is None else set(names)
    chosen: list[tuple[str, Maker]] = []
    for name, make in reversed(_makers(task, results=results)):
        if wanted is not None and name not in _SHOWN and name not in wanted:
            continue
        chosen.append((name, make))
        if not isinstance(make, Expression):
            wanted = None  # a function does not say what it reads
        elif wanted is not None:
            wanted |= make.names
    return tuple(_steps(reversed(chosen)))


def _steps(chosen: Iterable[tuple[str, Maker]]) -> Iterable[_Step]:
    """Neighbouring expressions as one program; what is nothing but a column is looked up."""
    run: list[tuple[str, Expression]] = []
    for name, make in chosen:
        if isinstance(make, Expression) and not make.is_column and not make.is_template:
            run.append((name, make))
            continue
        yield from _program(run)
        run = []
        yield _Step(name, make, None)
    yield from _program(run)


def _program(run: Sequence[tuple[str, Expression]]) -> Iterable[_Step]:
    if len(run) == 1:
        yield _Step(*run[0], None)
    elif run:
        sources = [(name, each.source, each.line) for name, each in run]
        yield _Step("", run[0][1], compile_program(sources, where=run[0][1].where))


def _made(make: Maker, values: dict[str, Any], name: str, where: Provenance | str) -> Any:
    try:
        return make(values)
    except DataError as error:
        raise DataError(
            f"the task's '{name}' cannot be made from the record: {error.what}",
            where=f"{where} ({error.where})",
            expected=error.expected,
            got=error.got,
            fix=error.fix,
        ) from error


def _texts(values: Any, name: str, where: Provenance | str) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise DataError(f"the task's '{name}' are no list", where=str(where), got=repr(values)[:80])
    try:
        return tuple(map(str.strip, values))
    except TypeError as error:
        odd = next(value for value in values if not isinstance(value, str))
        raise DataError(
            f"one of the task's '{name}' is no text", where=str(where), got=repr(odd)[:80]
        ) from error


def _short_hash(value: Any) -> str:
    """Of a text, a number, or a list or record of these; empty for what is empty."""
    if value is None or value == "":
        return ""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _place(answer: Any, options: tuple[str, ...], where: Provenance | str) -> int:
    """The place of the answer among the options; it is given as a place or as the option itself."""
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(options):
        return answer
    if isinstance(answer, str) and answer.strip() in options:
        return options.index(answer.strip())
    raise DataError(
        "the label is not one of the task's options",
        where=str(where),
        expected=f"0..{len(options) - 1} or one of {', '.join(map(repr, options[:8]))}",
        got=repr(answer),
        fix="choose a split that has labels" if answer in (-1, "", None) else None,
    )
