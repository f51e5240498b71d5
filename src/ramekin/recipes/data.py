"""Tasks by name to rendered examples: the text side of every recipe in one place."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, final

from ramekin.catalog import Catalog
from ramekin.errors import DataError
from ramekin.evaluate.choices import check_rankable
from ramekin.evaluate.mode import Mode
from ramekin.recipes.places import Places
from ramekin.recipes.rows import TaskRows, read_rows, refused_row
from ramekin.report.values import DataOrigin
from ramekin.sources.records import Records
from ramekin.sources.rows import BadRow, gather
from ramekin.text.example import Example, Record
from ramekin.text.flip import Flipped, flipped, taught
from ramekin.text.prompting.thought import with_trigger
from ramekin.text.render import PLAIN, Style, render_or_skip, render_spans
from ramekin.text.task import Task
from ramekin.text.task_yaml import check_template
from ramekin.train.objectives.recipe import ObjectiveRecipe

__all__ = [
    "Prepare",
    "Prepared",
    "TaskExamples",
    "evaluation_sets",
    "read_task",
    "rendered",
    "template_names",
    "training_examples",
]

_DIRECT = ObjectiveRecipe()


@final
@dataclass(frozen=True)
class TaskExamples:
    """One split of one task, rendered."""

    task: Task
    split: str
    template: str
    """The template's name, or `all` when templates rotate over the rows."""
    examples: tuple[Example, ...]
    records: Records
    """The rows that were read."""
    skipped: int
    """Bad rows that were left out, in reading or in rendering."""
    left_out: int
    """Rows that are not the task's, or that a template has nothing to ask about."""
    flipped: tuple[Flipped, ...] = ()
    """The same examples in flipped form, where the mode ranks that."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Options and the words that stand for them instead."""
    not_flipped: int = 0
    """Rows that flipped learning leaves out: there is no wrong label, or no instruction to learn."""
    pruned_exemplars: int = 0
    """Exemplars that did not fit before their questions, or were not there."""

    def preview(self, mode: Mode | None = None) -> list[str]:
        """What a dry run shows of it: its rows, where they are from, and the first prompt.

        Where the mode ranks, also the options, or the inputs under each of them with the instruction.
        """
        first = self.examples[0]
        unfit = f", {self.not_flipped} left out that cannot be flipped" if self.not_flipped else ""
        lines = [
            f"  {self.task.name}#{self.template} {self.split}: {len(self.examples)} rows{unfit}",
            f"    from   {self.records.origin}",
        ]
        if self.flipped:
            form = self.flipped[0]
            lines += [f"    inputs {text}" for text in form.under]
            lines.append(f"    instruction {form.example.targets}")
        else:
            lines.append(f"    inputs {first.inputs}")
            if first.wrong_inputs:
                lines.append(f"    wrong  {first.wrong_inputs}")
            if mode is not None and mode.ranks:
                lines.append(f"    options {' | '.join(first.options)}")
        return [*lines, f"    target {first.targets}"]

    @property
    def origin(self) -> DataOrigin:
        """The line a report has for it."""
        return DataOrigin(
            f"{self.task.name} {self.split}",
            self.records.origin,
            len(self.records.rows),
            self.skipped,
            self.records.sha256,
        )


def template_names(task: Task, asked: str, *, turned: bool = False) -> tuple[str, ...]:
    """The templates meant by `first`, `all` or a name.

    Args:
        task: whose templates.
        asked: `all` means those that ask for the task's answer.
        turned: with `all`, those that are turned around too.
    """
    if asked == "all":
        return tuple(task.templates if turned else task.plain_templates)
    return (task.template(asked).name,)


def read_task(
    name: str,
    *,
    split: str,
    templates: str,
    limit: int | None,
    places: Places,
    style: Style = PLAIN,
) -> tuple[TaskExamples, ...]:
    """Read one split once and render it under each template asked for."""
    return _sets(Catalog(places.tasks_root)[name], split, templates, limit, places, style)


def _sets(
    task: Task,
    split: str,
    templates: str,
    limit: int | None,
    places: Places,
    style: Style,
    mode: Mode | None = None,
) -> tuple[TaskExamples, ...]:
    rows = read_rows(task, split, limit, places)
    return tuple(
        _rendered(task, split, template, [template], rows, places, style, mode)
        for template in template_names(task, templates)
    )


def evaluation_sets(
    names: Sequence[str],
    *,
    split: str,
    templates: str,
    limit: int | None,
    places: Places,
    mode: Mode,
    style: Style = PLAIN,
) -> tuple[TaskExamples, ...]:
    """Every task under every template asked for, one set each, in the form that the mode scores.

    Raises:
        DataError: a row cannot be used, which is one without options where the mode ranks them too.
    """
    catalog = Catalog(places.tasks_root)
    return tuple(
        examples
        for name in names
        for examples in _sets(catalog[name], split, templates, limit, places, style, mode)
    )


def training_examples(
    names: Sequence[str],
    *,
    split: str,
    templates: str,
    limit: int | None,
    places: Places,
    objective: ObjectiveRecipe = _DIRECT,
    seed: int = 0,
) -> tuple[TaskExamples, ...]:
    """Each task's rows once, as an objective learns from them.

    With `templates=all` the templates take turns over the rows, as FLAN's do; those that are turned around
    already are for the direct objective alone.

    Args:
        names: of tasks.
        split: which rows.
        templates: `first`, `all` or a name.
        limit: rows of a task.
        places: where they are.
        objective: what is learned; rows that it cannot be learned from are left out and counted.
        seed: of the wrong labels.

    Raises:
        DataError: the rows cannot be read, or the objective can be learned from none of them.
    """
    found = []
    catalog = Catalog(places.tasks_root)
    for name in names:
        task = catalog[name]
        chosen = template_names(task, templates, turned=objective.name == "direct")
        title = templates if len(chosen) > 1 else chosen[0]
        rows = read_rows(task, split, limit, places)
        rendered = _rendered(task, split, title, chosen, rows, places, PLAIN)
        found.append(rendered if objective.name == "direct" else _taught(rendered, rows, objective, seed))
    return tuple(found)


@final
class Prepared(NamedTuple):
    """A row in words."""

    example: Example
    form: Flipped | None = None
    """In flipped form, where that is what the mode scores."""
    pruned_exemplars: int = 0


Prepare: TypeAlias = Callable[[Record, str, int], Prepared | None]
"""From a record, the name of a template and the record's position to the row in words; None where the
template has nothing to ask."""


def rendered(
    task: Task,
    split: str,
    title: str,
    templates: Sequence[str],
    rows: TaskRows,
    places: Places,
    prepare: Prepare,
    *,
    words: Mapping[str, str] = MappingProxyType({}),
) -> TaskExamples:
    """The rows in words, the templates taking turns; rows that cannot be rendered are dealt with as bad.

    Args:
        task: whose rows.
        split: they are of.
        title: of the templates together.
        templates: their names.
        rows: of the task.
        places: how bad rows are dealt with.
        prepare: puts one row into words.
        words: options and the words that stand for them instead.
    """
    for name in templates:
        check_template(task, task.template(name))
    left_out = rows.left_out

    def prepared() -> Iterator[Prepared | BadRow]:
        nonlocal left_out
        for row, record in zip(rows.positions, rows.records.rows, strict=True):
            template = templates[row % len(templates)] if templates else title
            try:
                found = prepare(record, template, row)
            except DataError as error:
                yield refused_row(error, record)
                continue
            if found is None:
                left_out += 1
            else:
                yield found

    origin = f"{rows.records.origin} as {task.name}#{title}"
    made, bad = gather(prepared(), origin=origin, limit=None, bad_rows=places.bad_rows)
    return TaskExamples(
        task,
        split,
        title,
        tuple(each.example for each in made),
        rows.records,
        rows.records.skipped + bad,
        left_out,
        tuple(each.form for each in made if each.form is not None),
        words,
        pruned_exemplars=sum(each.pruned_exemplars for each in made),
    )


def _rendered(
    task: Task,
    split: str,
    title: str,
    templates: Sequence[str],
    rows: TaskRows,
    places: Places,
    style: Style,
    mode: Mode | None = None,
) -> TaskExamples:
    """The rows as plain prompts."""
    return rendered(
        task,
        split,
        title,
        templates,
        rows,
        places,
        lambda record, template, row: _prepared(task, record, template, split, row, style, mode),
        words=style.words,
    )


def _prepared(
    task: Task, record: Record, template: str, split: str, row: int, style: Style, mode: Mode | None
) -> Prepared | None:
    """A row as the mode scores it; None where the template has nothing to ask."""
    example = render_or_skip(task, record, template=template, split=split, row=row, style=style)
    if example is None:
        return None
    if mode is not None and mode.ranks and mode.otherwise == "refuse":
        check_rankable([example], mode)
    if mode is not None and mode.trigger and not task.template(template).turned:
        example = with_trigger(example, mode.trigger)
    if mode is None or mode.direction != "flipped":
        return Prepared(example)
    spans, _ = render_spans(task, record, template=template, split=split, row=row, style=style)
    return Prepared(example, flipped(spans, example))


def _taught(found: TaskExamples, rows: TaskRows, objective: ObjectiveRecipe, seed: int) -> TaskExamples:
    """The examples that an objective learns from; those that it cannot learn from are counted."""
    records = dict(zip(rows.positions, rows.records.rows, strict=True))
    kept: list[Example] = []
    unfit: list[DataError] = []
    for example in found.examples:
        where = example.provenance
        spans, _ = render_spans(
            found.task, records[where.row], template=where.template, split=where.split, row=where.row
        )
        try:
            turned = taught(spans, example, objective.name, seed, where.id)
        except DataError as error:
            unfit.append(error)
        else:
            kept.append(turned if objective.needs_wrong_inputs else turned._replace(wrong_inputs=""))
    if not kept:
        raise DataError(
            f"the objective '{objective.name}' cannot be learned from any row",
            where=f"{found.task.name}#{found.template} {found.split}",
            got=f"{len(unfit)} rows; of the first: {unfit[0]}",
            fix="choose another template, a task with options, or objective=direct",
        )
    return dataclasses.replace(found, examples=tuple(kept), not_flipped=len(unfit))
