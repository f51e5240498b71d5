"""The lines of a paper in a text or Markdown file, headings that are marked as such among them.

Knows no sections.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ramekin.errors import DataError
from ramekin.sources.lines import NotText, decode, read_lines
from ramekin.sources.papers.letters import plain_text
from ramekin.sources.papers.sections import Line

__all__ = ["lines_of_text", "read_utf8"]

_ATX = re.compile(r"(?P<marks>#{1,6})\s+(?P<text>\S.*?)\s*#*")
_BOLD = re.compile(r"(?P<marks>\*\*|__)(?P<text>[^*_]+)(?P=marks)(?P<rest>.*)")
_SETEXT = {"=": 1, "-": 2}
_PROMPT_MARK = re.compile(r"\[(Abstract|Introduction)\]")
_PROMPT_END = "Question, Answer:"
_LONGEST_HEADING = 300


def read_utf8(path: Path, *, max_chars: int | None = None) -> tuple[str, bool]:
    """The text of a UTF-8 file, and whether it was cut after `max_chars`.

    Raises:
        DataError: the file is blank, in another encoding, or holds what is no text.
    """
    pieces: list[str] = []
    size = 0
    for line in read_lines(path):
        text = decode(line.data, line.offset)
        where = f"{path}:{line.number}"
        if line.number == 1 and line.data.startswith(b"%PDF-"):
            raise _no_text(where, "a PDF", "name it .pdf")
        if b"\0" in line.data:
            raise _no_text(where, "binary data, a zero byte among it", "give the paper as PDF, text or JSON")
        if isinstance(text, NotText):
            raise _no_text(
                where, text.got, "convert the file to UTF-8, for example with iconv -f LATIN1 -t UTF-8"
            )
        if max_chars is not None and size + len(text) > max_chars:
            return "".join([*pieces, text[: max_chars - size]]), True
        pieces.append(text)
        size += len(text)
    whole = "".join(pieces)
    if not whole.strip():
        raise DataError(
            "the file is empty", where=str(path), expected="a paper", got="nothing but white space"
        )
    return whole, False


def _no_text(where: str, got: str, fix: str) -> DataError:
    return DataError("the file is not UTF-8 text", where=where, expected="UTF-8 text", got=got, fix=fix)


def lines_of_text(text: str, *, markdown: bool = False) -> list[Line]:
    r"""The lines of a text.

    The marks of the prompt of the published paper-to-question model, `[Abstract]` and `[Introduction]`, are
    headings; what stands before them, and its last words, are none of the paper's.

    Args:
        text: the whole file.
        markdown: whether `# …`, underlined lines and lines in bold are headings.

    >>> lines_of_text("# Flan\n\nIt is baked.", markdown=True)[0]
    Line(text='Flan', page=0, level=1)
    """
    text = plain_text(text).strip()
    if "[Abstract]" in text:
        text = text[text.index("[Abstract]") :].removesuffix(_PROMPT_END).rstrip()
    lines = _PROMPT_MARK.sub(r"\n\n\1\n", text).split("\n")
    return list(_marked(lines)) if markdown else [Line(line) for line in lines]


def _marked(lines: list[str]) -> Iterator[Line]:
    is_code = False
    for at, line in enumerate(lines):
        after = lines[at + 1] if at + 1 < len(lines) else ""
        if line.startswith(("```", "~~~")):
            is_code = not is_code
        elif is_code or len(line) > _LONGEST_HEADING:
            yield Line(_without_bold(line))
        elif match := _ATX.fullmatch(line):
            yield Line(_without_bold(match["text"]), level=len(match["marks"]))
        elif line and re.fullmatch(r"={3,}|-{3,}", after):
            yield Line(_without_bold(line), level=_SETEXT[after[0]])
        elif not re.fullmatch(r"={3,}|-{3,}", line):
            yield Line(_without_bold(line))


def _without_bold(line: str) -> str:
    """Bold at the beginning of a line, as of a heading that runs into its text, without its marks."""
    match = _BOLD.fullmatch(line)
    return match["text"] + match["rest"] if match is not None else line
