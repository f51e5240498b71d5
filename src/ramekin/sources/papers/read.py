"""A paper from a file, its kind told by its extension.

Whatever is wrong with the file is an error that says what was expected and what to do. What was guessed or
cut on the way is among the paper's remarks.
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ramekin.errors import DataError
from ramekin.registry import nearest
from ramekin.sources.papers.documents import paper_of_document
from ramekin.sources.papers.furniture import without_furniture
from ramekin.sources.papers.letters import ligatures_of_codes, plain_text
from ramekin.sources.papers.paper import Limits, Paper
from ramekin.sources.papers.pdf import PDFPage, open_pdf
from ramekin.sources.papers.plain import lines_of_text, read_utf8
from ramekin.sources.papers.sections import Line, Sections, find_sections
from ramekin.sources.rows import show
from ramekin.sources.strict_json import NotJSON, parse_json

__all__ = ["EXTENSIONS", "read_paper"]

_Reader: TypeAlias = Callable[[Path, Limits], Paper]
_DEFAULT = Limits()
_AHEAD = 2
"""Pages read after the introduction's end, so that running heads repeat and are seen to."""
_SCANNED = 20
"""A page with text has more letters; the stamp of a library on a scanned page has not many more."""
_OCR = "recognise its text first (OCR), for example with ocrmypdf IN OUT"
_GIVE_BOTH = "give a .json file with the keys abstract and introduction, or a .txt file with both as headings"


def read_paper(path: Path | str, *, limits: Limits = _DEFAULT) -> Paper:
    """Title, abstract and introduction of a paper in a `.pdf`, `.txt`, `.md` or `.json` file.

    Of a PDF no more is read than the introduction needs. A text file has the two headings, or the marks
    `[Abstract]` and `[Introduction]`; the forms of JSON are in `ramekin.sources.papers.documents`.

    Args:
        path: the file.
        limits: how large it may be, and what a PDF may cost.

    Raises:
        DataError: there is no such file, it is not what its name says, it is too large, encrypted, scanned,
            damaged or empty, or it has no abstract or no introduction that can be found.
        UsageError: it is a PDF, and pypdf is not installed.
    """
    path = Path(path)
    kind = path.suffix.lower()
    reader = _READERS.get(kind)
    if reader is None:
        near = nearest(kind, EXTENSIONS)
        raise DataError(
            "papers in files of this kind are not read",
            where=str(path),
            expected=", ".join(EXTENSIONS),
            got=path.suffix or "no extension",
            fix=f"did you mean {near}?" if near else "convert it to one of these",
        )
    try:
        _refuse_size(path, limits)
        return reader(path, limits)
    except OSError as error:
        raise DataError(
            "the file cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error


def _refuse_size(path: Path, limits: Limits) -> None:
    """Refuse what is no ordinary file of a fair size.

    Raises:
        DataError: it is not.
    """
    if not path.exists():
        raise DataError("there is no such file", where=str(path))
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        got = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise DataError("a paper is a file", where=str(path), expected="an ordinary file", got=got)
    if status.st_size == 0:
        raise DataError("the file is empty", where=str(path), expected="a paper", got="0 bytes")
    if status.st_size > limits.max_file_bytes:
        raise DataError(
            "the file is too large for a paper",
            where=str(path),
            expected=f"at most {limits.max_file_bytes:,} bytes",
            got=f"{status.st_size:,} bytes",
            fix="give the abstract and the introduction alone",
        )


# -- PDF


def _read_pdf(path: Path, limits: Limits) -> Paper:
    with path.open("rb") as file:
        head = file.read(1024)
    if b"%PDF-" not in head:
        raise DataError(
            "the file is no PDF",
            where=str(path),
            expected="%PDF- in its first 1,024 bytes",
            got=show(head, width=16),
            fix="name it by what it is, or download it again",
        )
    with open_pdf(path, limits) as pdf:
        pages, found = _read_pages(pdf.pages(), pdf.num_pages)
    _refuse_scanned(path, pages)
    remarks = list(found.remarks)
    title = " ".join(plain_text(pdf.title).split())
    if _is_a_title(title):
        remarks = [each for each in remarks if not each.startswith("the title")]
    else:
        title = found.title
    if pdf.is_encrypted:
        remarks.append("the PDF is encrypted and opens without a password")
    if not found.ended and len(pages) < pdf.num_pages:
        remarks.append(f"only {len(pages)} of {pdf.num_pages} pages were looked at")
    beginning = show(next((line.text for line in _lines_of(pages) if line.text), ""), width=50)
    return _paper(path, title, found, remarks, f"{len(pages)} page(s) of text, which begins {beginning}")


def _read_pages(coming: Iterator[PDFPage], count: int) -> tuple[list[PDFPage], Sections]:
    """Pages up to a little past the introduction's end, and what is found in them."""
    pages: list[PDFPage] = []
    last: int | None = None
    for page in coming:
        pages.append(page)
        if len(pages) == last:
            break
        # Looking takes time in proportion to what was read: in a long PDF it is done less and less often.
        is_due = len(pages) <= 8 or len(pages).bit_count() == 1
        if last is None and is_due and find_sections(_lines_of(pages)).ended:
            last = min(len(pages) + _AHEAD, count)
            if len(pages) == last:
                break
    return pages, find_sections(_lines_of(pages))


def _lines_of(pages: Sequence[PDFPage]) -> list[Line]:
    bodies = without_furniture([plain_text(ligatures_of_codes(page.text)).split("\n") for page in pages])
    return [Line(text, number) for number, body in enumerate(bodies, 1) for text in body]


def _refuse_scanned(path: Path, pages: Sequence[PDFPage]) -> None:
    """Refuse a PDF without text, or with no more than a stamp a page.

    Raises:
        DataError: it is one.
    """
    if not pages:
        raise DataError("the PDF has no pages", where=str(path), expected="a paper")
    letters = sum(map(str.isalpha, "".join(page.text for page in pages)))
    images = sum(page.has_image for page in pages)
    if not letters or (images and letters <= _SCANNED * len(pages)):
        raise DataError(
            "the PDF holds images of pages and no text" if images else "the PDF has no text",
            where=str(path),
            expected="pages with text",
            got=f"{letters} letters on {len(pages)} page(s), {images} with an image alone",
            fix=_OCR,
        )


def _is_a_title(text: str) -> bool:
    """Whether the title in a PDF's metadata is one, and no name of a file or a program."""
    return len(text.split()) > 1 and not re.search(
        r"\.(?:tex|dvi|docx?|pdf|ps|indd|qxd)\b|^microsoft word|^untitled|^arxiv:", text, re.I
    )


# -- text and JSON


def _read_text(path: Path, limits: Limits) -> Paper:
    text, is_cut = read_utf8(path, max_chars=limits.max_text_chars)
    lines = lines_of_text(text, markdown=path.suffix.lower() == ".md")
    found = find_sections(lines)
    remarks = list(found.remarks)
    if is_cut and not found.ended:
        remarks.append(f"only the first {limits.max_text_chars:,} characters were looked at")
    beginning = show(next((line.text for line in lines if line.text), ""), width=50)
    return _paper(path, found.title, found, remarks, f"text that begins {beginning}")


def _read_json(path: Path, _: Limits) -> Paper:
    text, _cut = read_utf8(path)
    try:
        value = parse_json(text)
    except NotJSON as error:
        place = f":{text.count(chr(10), 0, error.at - 1) + 1}" if error.at is not None else ""
        raise DataError(
            "the file is not JSON",
            where=f"{path}{place}",
            expected="one JSON object",
            got=str(error),
            fix="write one paper a file, as one object",
        ) from error
    return paper_of_document(value, str(path))


def _paper(path: Path, title: str, found: Sections, remarks: Sequence[str], got: str) -> Paper:
    """The paper, if both parts of it were found.

    Raises:
        DataError: one was not.
    """
    if found.abstract is None:
        raise DataError(
            "no abstract is found in the paper",
            where=str(path),
            expected="a heading 'Abstract', with text after it, before the introduction",
            got=got,
            fix=_GIVE_BOTH,
        )
    if found.introduction is None:
        raise DataError(
            "no introduction is found in the paper",
            where=str(path),
            expected="a heading 'Introduction', such as '1 Introduction', with text after it",
            got=got,
            fix=_GIVE_BOTH,
        )
    return Paper(title, found.abstract, found.introduction, str(path), tuple(remarks))


_READERS: Mapping[str, _Reader] = {
    ".pdf": _read_pdf,
    ".txt": _read_text,
    ".md": _read_text,
    ".json": _read_json,
}
EXTENSIONS: tuple[str, ...] = tuple(_READERS)
"""Of the files that can be read."""
