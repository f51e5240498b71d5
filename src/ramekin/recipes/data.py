"""Tasks by name to rendered examples: the text side of every recipe in one place."""

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass

from ramekin.catalog import load_task
from ramekin.errors import DataError
from ramekin.recipes.places import Places
from ramekin.report.values import DataOrigin
from ramekin.sources.records import Records, read_records
from ramekin.text.example import Example
from ramekin.text.task import Task, render

__all__ = ["TaskExamples", "evaluation_sets", "read_task", "template_names", "training_examples"]


@dataclass(frozen=True)
class TaskExamples:
    """One split of one task, rendered."""

    task: Task
    split: str
    template: str
    """The template's name, or `all` when templates rotate over the rows."""
    examples: tuple[Example, ...]
    records: Records
    """The rows that were rendered."""

    def preview(self) -> list[str]:
        """What a dry run shows of it: its rows, where they are from, and the first prompt."""
        first = self.examples[0]
        return [
            f"  {self.task.name}#{self.template} {self.split}: {len(self.examples)} rows",
            f"    from   {self.records.origin}",
            f"    inputs {first.inputs}",
            f"    target {first.targets}",
        ]

    @property
    def origin(self) -> DataOrigin:
        """The line a report has for it."""
        return DataOrigin(
            f"{self.task.name} {self.split}",
            self.records.origin,
            len(self.records.rows),
            self.records.skipped,
            self.records.sha256,
        )


def template_names(task: Task, asked: str) -> tuple[str, ...]:
    """The templates meant by `first`, `all` or a name."""
    return tuple(task.templates) if asked == "all" else (task.template(asked).name,)


def read_task(
    name: str, *, split: str, templates: str, limit: int | None, places: Places
) -> tuple[TaskExamples, ...]:
    """Read one split once and render it under each template asked for."""
    task = load_task(name, tasks_root=places.tasks_root)
    records, positions = _records(task, split, limit, places)
    return tuple(
        TaskExamples(
            task,
            split,
            template,
            tuple(
                render(task, record, template=template, split=split, row=row)
                for row, record in zip(positions, records.rows, strict=True)
            ),
            records,
        )
        for template in template_names(task, templates)
    )


def evaluation_sets(
    names: Sequence[str], *, split: str, templates: str, limit: int | None, places: Places
) -> tuple[TaskExamples, ...]:
    """Every task under every template asked for, one set each."""
    return tuple(
        examples
        for name in names
        for examples in read_task(name, split=split, templates=templates, limit=limit, places=places)
    )


def training_examples(
    names: Sequence[str], *, split: str, templates: str, limit: int | None, places: Places
) -> tuple[TaskExamples, ...]:
    """Each task's rows once; with `templates=all` the templates take turns over the rows, as FLAN's do."""
    found = []
    for name in names:
        task = load_task(name, tasks_root=places.tasks_root)
        records, positions = _records(task, split, limit, places)
        chosen = template_names(task, templates)
        examples = tuple(
            render(task, record, template=chosen[row % len(chosen)], split=split, row=row)
            for row, record in zip(positions, records.rows, strict=True)
        )
        found.append(
            TaskExamples(task, split, templates if len(chosen) > 1 else chosen[0], examples, records)
        )
    return tuple(found)


def _records(task: Task, split: str, limit: int | None, places: Places) -> tuple[Records, Sequence[int]]:
    """The rows of a split, or `limit` of them, with their positions in it.

    Many files are sorted by label, so the first rows are no sample: `limit` rows are drawn at random, the
    same ones each time, fewer of them being a part of more.
    """
    is_generated = task.source.world is not None
    records = read_records(
        task.source,
        split,
        columns=task.columns,
        data_root=places.data_root,
        limit=limit if is_generated else None,
        seed=places.world_seed,
        bad_rows=places.bad_rows,
    )
    count = len(records.rows)
    if not count:
        raise DataError("the split has no rows", where=f"{task.name} {split}", got=records.origin)
    if limit is None or limit >= count:
        return records, range(count)
    order = list(range(count))
    random.Random(f"{task.name}/{split}").shuffle(order)
    positions = sorted(order[:limit])
    return dataclasses.replace(records, rows=[records.rows[position] for position in positions]), positions
