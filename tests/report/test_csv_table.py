"""Score tables as CSV: read back, every number is the table's."""

import csv
import doctest
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.report import csv_table
from ramekin.report.csv_table import table_csv
from ramekin.report.values import Cell, ScoreTable, TableRow
from ramekin.report.wording import clean

NUMBERS = st.floats(-1, 1)


def read(text):
    return list(csv.reader(io.StringIO(text)))


def test_examples() -> None:
    found = doctest.testmod(csv_table)
    assert found.attempted > 0 and found.failed == 0


def test_a_table_is_a_line_a_row_with_seven_columns_a_task(table) -> None:
    header, *rows = read(table_csv(table))
    assert header[:9] == [
        "Method",
        "section",
        "value: cola",
        "standard error: cola",
        "low: cola",
        "high: cola",
        "n: cola",
        "chance: cola",
        "majority: cola",
    ]
    assert len(header) == 2 + 7 * 4 and len(rows) == 4
    assert rows[0][:3] == ["Pre-trained", "Reference results", "0.49"] and rows[0][6:8] == ["400", "0.5"]
    first = table.rows[0].cells[0]
    assert (float(rows[0][4]), float(rows[0][5])) == (first.low, first.high)
    assert rows[0][-7:] == [""] * 7  # no average
    assert table_csv(table).endswith("\n") and "\r" not in table_csv(table)


@st.composite
def cells(draw):
    low, value, high = sorted(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)))
    ends = (low, high) if draw(st.booleans()) else (None, None)
    return Cell(
        value,
        *ends,
        draw(st.none() | st.integers(0, 10**9)),
        draw(st.none() | NUMBERS),
        standard_error=draw(st.none() | NUMBERS),
        majority=draw(st.none() | NUMBERS),
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(st.none() | cells(), st.none() | cells()), max_size=4), st.text(max_size=8))
def test_every_number_comes_back_as_it_was(rows, name) -> None:
    table = ScoreTable(name, (name, "b"), tuple(TableRow(name, row, group=name) for row in rows), stub=name)
    header, *lines = read(table_csv(table))
    assert header[0] == clean(name) and header[2] == f"value: {clean(name)}"
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line[:2] == [clean(name)] * 2
        numbers = [None if text == "" else float(text) for text in line[2:]]
        expected = [
            number
            for cell in row
            for number in (
                (None,) * 7
                if cell is None
                else (
                    cell.value,
                    cell.standard_error,
                    cell.low,
                    cell.high,
                    cell.n,
                    cell.chance,
                    cell.majority,
                )
            )
        ]
        assert numbers == expected
