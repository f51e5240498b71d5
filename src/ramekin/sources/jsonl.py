r"""Records from JSON lines: one object a line, in UTF-8.

A blank line is a bad row unless nothing but blank lines follows it. LF and CRLF both end a line. This module
knows the syntax; what the columns may hold is `columns`' business.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ramekin.sources.columns import Misfit, fit_record
from ramekin.sources.lines import MAX_ROW_BYTES, NotText, TextLine, decode, read_lines, without_end
from ramekin.sources.rows import BadRow, show
from ramekin.sources.strict_json import NotJSON, parse_json
from ramekin.text.example import Record
from ramekin.text.task import ColumnType

__all__ = ["jsonl_rows"]

_ONE_A_LINE = "write one JSON object a line"


def jsonl_rows(path: Path, columns: Mapping[str, ColumnType]) -> Iterator[Record | BadRow]:
    """Yield the rows of a jsonl file in order, good and bad, without reading ahead.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    blank: list[TextLine] = []
    for line in read_lines(path):
        if not line.data.strip():
            blank.append(line)
            continue
        for empty in blank:
            yield _bad(empty, "a line is blank", "a JSON object", "an empty line", fix="remove the line")
        blank.clear()
        yield _row(line, columns)


def _row(line: TextLine, columns: Mapping[str, ColumnType]) -> Record | BadRow:
    if line.cut:
        got, limit = "a longer line", f"at most {MAX_ROW_BYTES >> 20} MiB a row"
        return _bad(line, "a row is too long", limit, got, fix=_ONE_A_LINE)
    text = decode(without_end(line.data), line.offset)
    if isinstance(text, NotText):
        fix = "convert the file to UTF-8, for example with iconv -f LATIN1 -t UTF-8"
        return _bad(line, "a line is not UTF-8", "UTF-8 text", text.got, fix=fix)
    try:
        value = parse_json(text)
    except NotJSON as error:
        fix = _ONE_A_LINE if text.strip() in ("{", "[") else "correct the line"
        return _bad(line, "a line is not JSON", "a JSON object", str(error), at=error.at, fix=fix)
    return _fitted(line, value, columns)


def _fitted(line: TextLine, value: Any, columns: Mapping[str, ColumnType]) -> Record | BadRow:
    if not isinstance(value, dict):
        return _bad(line, "a line is not a JSON object", "a JSON object", show(value), fix=_ONE_A_LINE)
    record = fit_record(value, columns)
    if isinstance(record, Misfit):
        return _bad(line, record.what, record.expected, record.got, column=record.column, fix=record.fix)
    return record


def _bad(
    line: TextLine,
    what: str,
    expected: str,
    got: str,
    *,
    at: int | None = None,
    column: str | None = None,
    fix: str | None = None,
) -> BadRow:
    place = f":{line.number}" if at is None else f":{line.number}:{at}"
    raw = without_end(line.data).decode("utf-8", "backslashreplace")
    return BadRow(what, place, column, expected, got, fix, raw)
