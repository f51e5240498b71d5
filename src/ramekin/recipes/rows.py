"""The rows of a task's split, from wherever they are, those that are not the task's left out.

Where `Places.sample_rows` asks for it, a task whose data would have to be found or downloaded gives the
sample row of its own file instead; the built-in world and the files of a clone are read as ever. Knows
nothing of templates or tokens.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, final

from ramekin.errors import DataError
from ramekin.recipes.places import Places
from ramekin.sources.records import DataState, Records, data_state, read_records
from ramekin.sources.rows import BadRow, gather, show
from ramekin.text.example import Record
from ramekin.text.reading import belongs
from ramekin.text.task import Task

__all__ = ["TaskRows", "read_rows", "refused_row", "rows_state", "sample_of"]


@final
class TaskRows(NamedTuple):
    """Rows of a split that are the task's."""

    records: Records
    positions: Sequence[int]
    """Where each stands in the split."""
    left_out: int
    """Rows of the split that are not the task's."""


def sample_of(task: Task) -> TaskRows:
    """The row that a task's file shows, as its only one.

    Raises:
        DataError: it shows none.
    """
    if task.sample is None:
        raise DataError("the task has no sample row", where=task.where or task.name)
    return TaskRows(Records([task.sample], f"{task.where}#sample", 0, None), [0], 0)


def rows_state(task: Task, split: str, places: Places) -> DataState:
    """In which state the rows are that `read_rows` would read, without reading them.

    Raises:
        UsageError: the split is unknown to the task.
        DataError: the file is missing.
    """
    if places.sample_rows and _has_to_be_found(task) and task.sample is not None:
        return DataState({"sample": True}, None)  # the row itself is in the task's file
    task.check_split(split)
    return data_state(task.source, split, data_root=places.data_root, seed=places.world_seed)


def _has_to_be_found(task: Task) -> bool:
    return task.source.world is None and task.source.file is None


def read_rows(task: Task, split: str, limit: int | None, places: Places) -> TaskRows:
    """The task's rows of a split, or `limit` of them, with their positions in it.

    Many files are sorted by label, so the first rows are no sample: `limit` rows are drawn at random, the
    same ones each time, fewer of them being a part of more.

    Raises:
        UsageError: the split is unknown to the task.
        DataError: the rows cannot be found or read, or none is the task's.
    """
    if places.sample_rows and _has_to_be_found(task) and task.sample is not None:
        return sample_of(task)
    task.check_split(split)
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
    positions: Sequence[int] = range(len(records.rows))
    bad = 0
    if task.keep is not None:
        positions, bad = _own_rows(task, split, records, places)
    left_out = len(records.rows) - len(positions) - bad
    if not positions:
        raise DataError(
            "the split has no rows of this task",
            where=f"{task.name} {split}",
            got=f"{records.origin}, {left_out} rows of others",
        )
    records = dataclasses.replace(records, skipped=records.skipped + bad)
    if limit is not None and limit < len(positions):
        order = list(range(len(positions)))
        random.Random(f"{task.name}/{split}").shuffle(order)
        positions = [positions[place] for place in sorted(order[:limit])]
    elif len(positions) == len(records.rows):
        return TaskRows(records, positions, 0)
    kept = dataclasses.replace(records, rows=[records.rows[place] for place in positions])
    return TaskRows(kept, positions, left_out)


def _own_rows(task: Task, split: str, records: Records, places: Places) -> tuple[Sequence[int], int]:
    """The positions of the rows that are the task's, and how many rows do not say whether they are."""

    def own() -> Iterator[int | BadRow]:
        for place, record in enumerate(records.rows):
            try:
                if belongs(task, record, where=f"{task.name}/{split}/{place}"):
                    yield place
            except DataError as error:
                yield refused_row(error, record)

    found = list(own())
    if not found:
        return (), 0
    return gather(found, origin=f"{records.origin} of {task.name}", limit=None, bad_rows=places.bad_rows)


def refused_row(error: DataError, record: Record) -> BadRow:
    """A row that the task cannot read or put into words."""
    place = f" {error.where}" if error.where else ""
    return BadRow(error.what, place, None, error.expected, error.got, error.fix, show(record, width=2000))
