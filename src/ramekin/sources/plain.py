"""A plain text file as rows: a line is one, blank lines are none.

Knows nothing of what the lines are for.
"""

from pathlib import Path
from typing import NamedTuple, final

from ramekin.errors import DataError
from ramekin.sources.lines import NotText, decode, read_lines, without_end

__all__ = ["PlainLine", "PlainText", "read_plain"]


@final
class PlainLine(NamedTuple):
    """A line that is not blank."""

    number: int
    """From 1."""
    text: str


@final
class PlainText(NamedTuple):
    """The lines of a file."""

    lines: tuple[PlainLine, ...]
    blank: int
    """How many lines were left out because they are blank."""


def read_plain(path: Path) -> PlainText:
    """Read a UTF-8 text file line by line.

    Raises:
        DataError: the file cannot be read, is empty or no text; the line is named.
    """
    path = Path(path)
    lines: list[PlainLine] = []
    blank = 0
    try:
        for line in read_lines(path):
            text = decode(without_end(line.data), line.offset)
            if isinstance(text, NotText) or "\0" in text or line.cut:
                got = text.got if isinstance(text, NotText) else "a line of 64 MiB" if line.cut else "a NUL"
                raise DataError(
                    "a line is no text", where=f"{path}:{line.number}", expected="UTF-8 text", got=got
                )
            if text.strip():
                lines.append(PlainLine(line.number, text.strip()))
            else:
                blank += 1
    except OSError as error:
        raise DataError(
            "the file cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error
    return PlainText(tuple(lines), blank)
