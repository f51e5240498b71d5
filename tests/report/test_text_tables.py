"""Tables of texts in every form of a report."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from ramekin.errors import DataError
from ramekin.report.document import from_json, to_json
from ramekin.report.markdown import to_markdown
from ramekin.report.pages import to_html
from ramekin.report.terminal import to_terminal
from ramekin.report.values import Report, TextTable

TABLE = TextTable(
    "Deltas",
    ("Layer", "length", "of the base's"),
    (("encoder.block.0", "1.25", "3.1"), ("a|b <i>", "−2", "")),
    caption="Per cent.",
)


def printed(report: Report, width: int) -> str:
    file = io.StringIO()
    to_terminal(report, Console(file=file, width=width))
    return file.getvalue()


def test_every_form_shows_every_text() -> None:
    report = Report("T", text_tables=(TABLE,))
    assert from_json(to_json(report)) == report
    markdown, page, terminal = to_markdown(report), to_html(report), printed(report, 100)
    for text in ("Deltas", "Per cent.", "encoder.block.0", "1.25", "3.1", "–"):
        assert text in markdown and text in page and text in terminal
    assert "a\\|b &lt;i&gt;" in markdown and "a|b &lt;i&gt;" in page and "a|b <i>" in terminal
    assert "| :" in markdown


def test_a_table_too_wide_is_cut_into_several_with_the_labels_in_each() -> None:
    columns = tuple(f"column number {i}" for i in range(9))
    wide = TextTable("Wide", ("Row", *columns), (("one", *(f"cell {i}" for i in range(9))),))
    text = printed(Report("T", text_tables=(wide,)), 60)
    assert all(cell_len(line) <= 60 for line in text.splitlines())
    for i in range(9):
        assert text.count(f"column number {i}") == text.count(f"cell {i}") == 1
    assert text.count("Row") == text.count("one") > 2


def test_a_row_has_a_text_a_column() -> None:
    with pytest.raises(DataError, match="row 'x'"):
        TextTable("T", ("a", "b"), (("x",),))
