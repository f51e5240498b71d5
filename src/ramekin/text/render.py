"""From a record to an example: the task reads the record, a template puts it into words.

Deterministic in (seed, task, split, row, epoch) and the style. Knows nothing of tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

from ramekin.errors import DataError
from ramekin.text.example import Example, Provenance, Record
from ramekin.text.options import OptionOrder, OptionsAs, option_form, ordered
from ramekin.text.reading import read_record
from ramekin.text.substitution import substituted, substituted_options
from ramekin.text.task import Task
from ramekin.text.template import Rendered, Template

__all__ = ["PLAIN", "Style", "asks_about", "render", "render_or_skip", "render_spans"]


@final
@dataclass(frozen=True)
class Style:
    """How options stand in a prompt, and the seed of what is drawn for each example."""

    options: OptionsAs = "dashes"
    """The form of `options_` in templates that show it."""
    option_order: OptionOrder = "given"
    words: Mapping[str, str] = field(default_factory=dict)
    """Options and the words that stand for them instead, in prompt and target alike; see `substituted`."""
    truncate_chars: int | None = None
    """In promptsource's templates, cut each printed value to so many characters (P3 was made with 2048)."""
    mark_fields: bool = False
    """Whether `Example.fields` says which words are the record's own, so that a cut keeps the instruction."""
    seed: int = 0
    epoch: int = 0


PLAIN = Style()
"""FLAN's dashes, options in their given order."""


def render(
    task: Task,
    record: Record,
    *,
    template: str | None = None,
    split: str,
    row: int,
    style: Style = PLAIN,
) -> Example:
    """Render one record.

    Args:
        task: the task the record belongs to.
        record: the row, with at least the task's columns.
        template: the template's name; None takes the first.
        split: the split the record is in.
        row: its position there.
        style: how options are shown.

    Raises:
        DataError: the record lacks a field, its label is none of the options, or a side comes out empty.
    """
    example = render_or_skip(task, record, template=template, split=split, row=row, style=style)
    if example is None:
        raise _nothing_to_ask(Provenance(task.name, task.template(template).name, split, row))
    return example


def render_or_skip(
    task: Task,
    record: Record,
    *,
    template: str | None = None,
    split: str,
    row: int,
    style: Style = PLAIN,
) -> Example | None:
    """As `render`; None where a template renders to nothing, which is how P3's leave rows out."""
    chosen = task.template(template)
    provenance = Provenance(task.name, chosen.name, split, row)
    shown = _show(task, record, chosen, provenance, style)
    if style.words or style.mark_fields:
        return _by_spans(task, chosen, shown, provenance, style)[1]
    try:
        inputs, targets = chosen.render(
            shown.values, key=_key(chosen, provenance, style), truncate_chars=style.truncate_chars
        )
    except DataError as error:
        raise _named(error, provenance) from error
    if _may_skip(chosen) and not (inputs and targets):
        return None
    return _example(inputs, targets, shown, provenance)


def asks_about(
    task: Task,
    record: Record,
    *,
    template: str | None = None,
    split: str,
    row: int,
    style: Style = PLAIN,
) -> bool:
    """Whether the template has anything to ask about the row; only P3's may have nothing."""
    return not _may_skip(task.template(template)) or (
        render_or_skip(task, record, template=template, split=split, row=row, style=style) is not None
    )


def _may_skip(template: Template) -> bool:
    return template.dialect == "promptsource"


def _nothing_to_ask(provenance: Provenance) -> DataError:
    return DataError("the template has nothing to ask about this row", where=provenance.id)


def render_spans(
    task: Task,
    record: Record,
    *,
    template: str | None = None,
    split: str,
    row: int,
    style: Style = PLAIN,
) -> tuple[Rendered, Example]:
    """As `render`, and which words of the prompt are the template's and which the record's."""
    chosen = task.template(template)
    provenance = Provenance(task.name, chosen.name, split, row)
    shown = _show(task, record, chosen, provenance, style)
    rendered, example = _by_spans(task, chosen, shown, provenance, style)
    if example is None:
        raise _nothing_to_ask(provenance)
    return rendered, example


def _by_spans(
    task: Task, template: Template, shown: "_Shown", provenance: Provenance, style: Style
) -> tuple[Rendered, Example | None]:
    """The prompt span by span, and the example; None where a template of P3's leaves the row out."""
    rendered = _spans(template, shown, provenance, style)
    inputs, targets = rendered.texts()
    if _may_skip(template) and not (inputs and targets):
        return rendered, None
    example = _example(inputs, targets, shown, provenance)
    if style.mark_fields:
        example = example._replace(fields=rendered.fields(task.constants))
    return rendered, example


@final
class _Shown(NamedTuple):
    """What a prompt shows of a record."""

    values: dict[str, Any]
    """What the template sees."""
    options: tuple[str, ...]
    """The admissible targets."""
    references: tuple[str, ...] = ()
    """All targets that count as right."""
    rationale: str = ""
    passage: str = ""
    question: str = ""


def _show(task: Task, record: Record, template: Template, provenance: Provenance, style: Style) -> _Shown:
    """The record as the task reads it, its options in the style's form and order."""
    read = read_record(task, record, where=provenance, names=template.needs)
    values = read.values
    if template.dialect == "promptsource":
        # Its templates know nothing of ours: a column called `answer` or `options` is the record's own.
        choices = _choices(template, values, provenance, style)
        values["answer_choices"] = list(choices) or None
        return _Shown(values, choices, read.references, read.rationale, read.passage, read.question)
    options, answer = read.options, read.answer
    values["options_"] = ""
    if options and not template.turned:
        key = (style.seed, task.name, provenance.split, provenance.row, style.epoch)
        place = read.place
        if style.words:
            options = _other_words(options, style.words, provenance)
            answer = None if place is None else options[place]
        if style.option_order != "given":
            order = ordered(options, style.option_order, *key)
            options = tuple(options[each] for each in order)
            place = None if place is None else order.index(place)
        values["options"] = list(options)
        if template.has_options and (form := option_form(style.options, len(options), *key)) is not None:
            values["options_"] = form.text(options)
            if form.item_is_target and place is not None:
                options = form.items(len(options))
                answer = options[place]
    else:
        values["options"] = list(options)
    values["answer"] = answer
    if template.turned:
        return _Shown(values, (), passage=read.passage, question=read.question)
    references = read.references if answer is read.answer else ()
    return _Shown(values, options, references, read.rationale, read.passage, read.question)


def _choices(
    template: Template, values: dict[str, Any], provenance: Provenance, style: Style
) -> tuple[str, ...]:
    """The options that a template of promptsource's brings."""
    try:
        choices = template.choices(values, key=_key(template, provenance, style))
    except DataError as error:
        raise _named(error, provenance) from error
    return _other_words(choices, style.words, provenance) if style.words and choices else choices


def _other_words(
    options: tuple[str, ...], words: Mapping[str, str], provenance: Provenance
) -> tuple[str, ...]:
    """The options in their other words, as many different ones as before."""
    others = substituted_options(options, words)
    if len(set(others)) < len(set(options)):
        raise DataError("two options become the same word", where=provenance.id, got=", ".join(others))
    return others


def _spans(template: Template, shown: _Shown, provenance: Provenance, style: Style) -> Rendered:
    """The prompt span by span, in the style's words."""
    try:
        rendered = template.spans(
            shown.values, key=_key(template, provenance, style), truncate_chars=style.truncate_chars
        )
    except DataError as error:
        raise _named(error, provenance) from error
    if not style.words or template.turned:
        return rendered
    return Rendered(substituted(rendered.inputs, style.words), substituted(rendered.targets, style.words))


def _example(inputs: str, targets: str, shown: _Shown, provenance: Provenance) -> Example:
    if not inputs or not targets:
        empty = "inputs" if not inputs else "targets"
        raise DataError(f"the template renders empty {empty}", where=provenance.id)
    if not (shown.passage or shown.question):  # a keyword argument costs more than the rest of the call
        return Example(inputs, targets, shown.options, provenance, shown.references, shown.rationale)
    return Example(
        inputs,
        targets,
        shown.options,
        provenance,
        shown.references,
        shown.rationale,
        passage=shown.passage,
        question=shown.question,
    )


def _key(template: Template, provenance: Provenance, style: Style) -> str:
    """Of the draws of promptsource's `choice`; ours draw nothing."""
    return f"{style.seed}/{provenance.id}/{style.epoch}" if template.dialect == "promptsource" else ""


def _named(error: DataError, provenance: Provenance) -> DataError:
    return DataError(
        error.what,
        where=f"{provenance.id} ({error.where})",
        expected=error.expected,
        got=error.got,
        fix=error.fix,
    )
