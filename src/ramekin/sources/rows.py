"""Rows as a reader yields them, good and bad, and what is done about the bad ones.

A reader yields `Record`s and `BadRow`s in file order and decides nothing; `gather` takes the good ones and
stops, skips or sets aside the bad ones as `BadRows` says. This module knows no file format.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, final, get_args

from ramekin import files
from ramekin.errors import NO_ROWS, DataError, UsageError
from ramekin.text.example import Record

__all__ = ["STRICT", "BadRow", "BadRows", "Records", "RowStream", "gather", "passed_on", "show"]

T = TypeVar("T")

_Action: TypeAlias = Literal["error", "skip", "quarantine"]


@final
@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, where it is, and why."""

    what: str
    place: str
    """Follows the file's path: `:12` (line), `:12:7` (line and character) or `#row 11 (from 0)`."""
    column: str | None
    expected: str | None
    got: str | None
    fix: str | None
    raw: str
    """The row itself as text, for the quarantine file."""

    def error(self, origin: str) -> DataError:
        """The error that this row is when bad rows are not tolerated."""
        return DataError(
            self.what, where=self.where(origin), expected=self.expected, got=self.got, fix=self.fix
        )

    def where(self, origin: str) -> str:
        """`rte/train.csv:12, column 'label'`."""
        column = f", column '{self.column}'" if self.column is not None else ""
        return f"{origin}{self.place}{column}"


RowStream: TypeAlias = Iterable[Record | BadRow]
"""What a reader yields, in file order."""


@final
@dataclass(frozen=True, slots=True)
class BadRows:
    """What to do about bad rows: stop at the first, leave them out, or set them aside in a file.

    Both ways of going on count what they leave out. A file whose rows cannot be told apart any more (an
    open quote, a wrong header, a truncated parquet) is an error whatever is said here: skipping would
    leave out an unknown number of rows.

    Args:
        action: `error` stops at the first bad row; `skip` leaves bad rows out; `quarantine` leaves them
            out and writes them to a file with the reason.
        limit: with `skip` and `quarantine`, how many bad rows a file may have; None sets no limit.
        quarantine: with `quarantine`, the JSONL file. Entries of other files in it are kept, so that one
            quarantine file can serve several reads, of several processes too; entries of the same file
            are replaced.

    Raises:
        UsageError: the three do not fit together.
    """

    action: _Action
    limit: int | None = None
    quarantine: Path | None = None

    def __post_init__(self) -> None:
        if self.action not in get_args(_Action):
            raise UsageError(
                f"unknown action for bad rows '{self.action}'", expected=", ".join(get_args(_Action))
            )
        if (self.action == "quarantine") != (self.quarantine is not None):
            raise UsageError(
                "a quarantine file goes with the action 'quarantine', and only with it",
                got=f"action '{self.action}', quarantine {self.quarantine}",
            )
        if self.limit is not None and (self.action == "error" or self.limit < 0):
            raise UsageError(
                "the limit of bad rows must be 0 or more and goes with 'skip' or 'quarantine'",
                got=f"action '{self.action}', limit {self.limit}",
            )


STRICT = BadRows("error")
"""Stop at the first bad row."""


@final
@dataclass(frozen=True, slots=True)
class Records:
    """The rows of one split, and where they came from."""

    rows: Sequence[Record]
    """The good rows in file order; a number column holds floats, an integer column ints."""
    origin: str
    """The file's path, the hub id with revision, or the synthetic world with its seed."""
    skipped: int
    """How many bad rows were left out."""
    sha256: str | None
    """Of the whole file, whatever part of it was read; None where there is no single file."""


def gather(
    rows: Iterable[T | BadRow], *, origin: str, limit: int | None, bad_rows: BadRows
) -> tuple[tuple[T, ...], int]:
    """Take the first `limit` good rows and deal with the bad ones met on the way.

    Rows are records as a reader yields them, or what was made from records.

    Returns:
        The good rows and the number of bad ones.

    Raises:
        DataError: a bad row is not tolerated, there are more than tolerated, or no good row is left.
        UsageError: `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(
            "the limit of rows must be 1 or more", got=str(limit), fix="leave it out to read all rows"
        )
    bad: list[BadRow] = []
    good = tuple(islice(_good_rows(rows, bad, origin, bad_rows), limit))
    _deal_with(bad, origin, len(good), bad_rows)
    if not good:
        raise DataError("there are no rows", where=origin, expected="at least one row", kind=NO_ROWS)
    return good, len(bad)


def passed_on(
    rows: Iterable[T | BadRow], *, origin: str, bad_rows: BadRows, on_bad: Callable[[int], None]
) -> Iterator[T]:
    """The good rows as they come, so that their number does not matter to memory; there may be none.

    Args:
        rows: good ones and bad ones.
        origin: where they are from.
        bad_rows: what is done about the bad ones.
        on_bad: told after the last row how many were bad.

    Raises:
        DataError: a bad row is not tolerated, there are more than tolerated, or all rows are bad.
    """
    bad: list[BadRow] = []
    good = 0
    for row in _good_rows(rows, bad, origin, bad_rows):
        good += 1
        yield row
    _deal_with(bad, origin, good, bad_rows)
    on_bad(len(bad))


def _good_rows(rows: Iterable[T | BadRow], bad: list[BadRow], origin: str, bad_rows: BadRows) -> Iterator[T]:
    """The good rows until there are too many bad ones, which are entered into `bad`."""
    for row in rows:
        if not isinstance(row, BadRow):
            yield row
            continue
        if bad_rows.action == "error":
            raise row.error(origin)
        bad.append(row)
        if bad_rows.limit is not None and len(bad) > bad_rows.limit:
            return


def show(value: object, *, width: int = 60) -> str:
    """A value's repr, shortened, for an error message.

    >>> show("abc"), show("x" * 1000, width=4)
    ("'abc'", "'xxxx'… (1000 characters)")
    """
    if isinstance(value, str | bytes):
        unit = "characters" if isinstance(value, str) else "bytes"
        return repr(value) if len(value) <= width else f"{value[:width]!r}… ({len(value)} {unit})"
    try:
        text = repr(value)
    except ValueError:  # an int of more than 4,300 digits has no repr
        return f"{type(value).__name__} too long to show"
    return text if len(text) <= width else f"{text[:width]}…"


def _deal_with(bad: list[BadRow], origin: str, good: int, bad_rows: BadRows) -> None:
    """Set the bad rows aside, and refuse too many."""
    if bad_rows.quarantine is not None:
        _set_aside(bad_rows.quarantine, origin, bad)
    if bad_rows.limit is not None and len(bad) > bad_rows.limit:
        raise DataError(
            "more bad rows than are tolerated",
            where=bad[-1].where(origin),
            expected=f"at most {bad_rows.limit}",
            got=f"{len(bad)}; the first is {bad[0].error(origin)}",
        )
    if not good and bad:
        raise DataError(
            "every row is bad", where=origin, got=f"{len(bad)} bad rows; the first is {bad[0].error(origin)}"
        )


def _set_aside(path: Path, origin: str, bad: list[BadRow]) -> None:
    """Replace this file's entries in the quarantine file, keeping those of other files."""
    if not bad and not path.exists():
        return
    with files.file_lock(path):  # what another process adds between the reading and the writing would be lost
        entries = _entries_of_others(path, origin) + [_entry(row, origin) for row in bad]
        text = "".join(f"{entry}\n" for entry in entries)
        # Lone surrogates survive as the escapes that they were: a quarantine never fails on what it holds.
        files.write_bytes(path, text.encode("utf-8", "backslashreplace"))


def _entry(row: BadRow, origin: str) -> str:
    fields: dict[str, Any] = {
        "file": origin,
        "where": row.where(origin),
        "column": row.column,
        "reason": str(row.error(origin)),
        "row": row.raw,
    }
    return json.dumps(fields, ensure_ascii=False)


def _entries_of_others(path: Path, origin: str) -> list[str]:
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        parsed = [(line, json.loads(line)["file"]) for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "the quarantine path holds something else and is not overwritten",
            where=str(path),
            got=show(str(error)),
            fix="name a new file",
        ) from error
    return [line for line, file in parsed if file != origin]
