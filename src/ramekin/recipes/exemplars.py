"""Exemplars for few-shot prompts: drawn from a split's rows, or published with the benchmark."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import final

from ramekin.recipes.places import Places
from ramekin.recipes.rows import TaskRows, read_rows
from ramekin.sources.published_exemplars import published_exemplars
from ramekin.text.example import Record
from ramekin.text.prompting.few_shot import exemplar_rows
from ramekin.text.prompting.prompt import Exemplar
from ramekin.text.prompting.published import PublishedExemplars, published_rows
from ramekin.text.task import Task

__all__ = ["ExemplarPool", "read_published"]


def read_published(task: Task, places: Places) -> PublishedExemplars:
    """The exemplars that a task's benchmark was published with: a file's, or all rows of a split.

    Raises:
        UsageError: the task has none.
        DataError: the file or the split is not there, or cannot be used; see `published_exemplars`.
    """
    exemplars = task.source.exemplars
    if exemplars is None or not exemplars.split:
        return published_exemplars(task, places.data_root)
    rows = read_rows(task, exemplars.split, None, places)
    return published_rows(task, list(zip(rows.positions, rows.records.rows, strict=True)))


@final
class ExemplarPool:
    """The rows that exemplars are drawn from."""

    def __init__(self, rows: TaskRows) -> None:
        self._rows = rows
        self._index = {position: index for index, position in enumerate(rows.positions)}

    def drawn(
        self, count: int, *key: object, never: int | None, usable: Callable[[int, Record], bool]
    ) -> list[Exemplar]:
        """The exemplars of one question: of the rows drawn by the key, the first that can be used.

        Args:
            count: how many are wanted; there may be fewer.
            key: of the draw, such as (seed, task, row, epoch).
            never: the question's own row, where it is of the same split.
            usable: whether a row, by its position and record, can be shown.
        """
        own = None if never is None else self._index.get(never)
        found = (each for each in self._in_turn(count, key, own) if usable(*each))
        return list(islice(found, count))

    def _in_turn(self, count: int, key: tuple[object, ...], never: int | None) -> Iterator[Exemplar]:
        """Rows in the order in which they are drawn; fewer draws are the first of more."""
        positions, records = self._rows.positions, self._rows.records.rows
        seen, number = 0, count
        while number and seen < len(positions):
            for index in exemplar_rows(number, len(positions), *key, never=never)[seen:]:
                yield positions[index], records[index]
            seen, number = number, 2 * number
