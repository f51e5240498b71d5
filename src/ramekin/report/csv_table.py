"""A score table as CSV for other programs: a line a row, numbers as fractions and not rounded.

It knows no files.
"""

import csv
import io

from ramekin.report.values import Cell, ScoreTable
from ramekin.report.wording import clean

__all__ = ["table_csv"]

_PARTS = ("value", "standard error", "low", "high", "n", "chance", "majority")


def table_csv(table: ScoreTable) -> str:
    """One score table: each row's label and section, then by task the value, how sure it is, and its levels.

    What is not known is empty. Read back by `float`, every number is the one of the table.

    >>> from ramekin.report.values import TableRow
    >>> table = ScoreTable("T", ("rte",), (TableRow("base", (Cell(0.1 + 0.2, n=277),), group="Before"),))
    >>> print(table_csv(table), end="")
    Model,section,value: rte,standard error: rte,low: rte,high: rte,n: rte,chance: rte,majority: rte
    base,Before,0.30000000000000004,,,,277,,
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heading = [f"{part}: {clean(column)}" for column in table.columns for part in _PARTS]
    writer.writerow([clean(table.stub), "section", *heading])
    for row in table.rows:
        numbers = [number for cell in row.cells for number in _numbers(cell)]
        writer.writerow([clean(row.label), clean(row.group), *numbers])
    return text.getvalue()


def _numbers(cell: Cell | None) -> tuple[float | int | None, ...]:
    if cell is None:
        return (None,) * len(_PARTS)
    return cell.value, cell.standard_error, cell.low, cell.high, cell.n, cell.chance, cell.majority
