"""PDFs as the tests need them, written object by object."""

import zlib
from collections.abc import Callable, Mapping, Sequence

import pytest

MakePDF = Callable[..., bytes]


def pdf_of(objects: Mapping[int, bytes], *, root: int = 1, size: int | None = None) -> bytes:
    """A PDF of numbered objects, with a table of where each begins."""
    out, places = bytearray(b"%PDF-1.5\n"), {}
    for number, body in objects.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start, last = len(out), max(objects)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (last + 1)
    for number in range(1, last + 1):
        out += b"%010d 00000 %b \n" % (places.get(number, 0), b"n" if number in places else b"f")
    out += b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size or last + 1, root, start)
    return bytes(out)


def stream(data: bytes, extra: bytes = b"", *, packed: bool = False) -> bytes:
    body = zlib.compress(data, 9) if packed else data
    packing = b" /Filter /FlateDecode" if packed else b""
    return b"<< /Length %d%b %b >>\nstream\n%b\nendstream" % (len(body), packing, extra, body)


def drawn(columns: Sequence[str]) -> bytes:
    """Commands that draw columns of lines side by side, as LaTeX does: one column after the other."""
    width, parts = 500 // max(1, len(columns)), []
    for number, column in enumerate(columns):
        parts.append(b"BT /F1 10 Tf 12 TL %d 760 Td" % (50 + number * width))
        for line in column.split("\n"):
            escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            parts.append(b"(%b) Tj T*" % escaped.encode("cp1252"))
        parts.append(b"ET")
    return b"\n".join(parts)


def paper_pdf(*pages: str | Sequence[str]) -> bytes:
    """A PDF of pages; a page is a text, or the texts of its columns."""
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 3: FONT}
    kids = []
    for number, page in enumerate(pages):
        at = 4 + 2 * number
        kids.append(b"%d 0 R" % at)
        objects[at] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (at + 1)
        )
        objects[at + 1] = stream(drawn([page] if isinstance(page, str) else page), packed=True)
    objects[2] = b"<< /Type /Pages /Kids [%b] /Count %d >>" % (b" ".join(kids), len(kids))
    return pdf_of(dict(sorted(objects.items())))


FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


@pytest.fixture(scope="session")
def make_pdf() -> MakePDF:
    """Pages to the bytes of a PDF."""
    return paper_pdf


@pytest.fixture(scope="session")
def hostile() -> Mapping[str, bytes]:
    """PDFs that ask for all time or all memory, or whose objects lead nowhere."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources %b >>"
    catalog = b"<< /Type /Catalog /Pages 2 0 R >>"
    one = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    with_forms = b"<< /XObject << /X %d 0 R >> /Font << /F1 5 0 R >> >>"
    forms = {
        # Each form draws the next one forty times: 40 ** 9 lines in all.
        number: stream(b"/X Do " * 40, b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources " + with_forms % (number + 1))
        for number in range(10, 19)
    }  # fmt: skip
    last = stream(
        b"BT /F1 1 Tf (word) Tj ET",
        b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /Font << /F1 5 0 R >> >>",
    )
    deep = {
        n: b"<< /Type /Pages /Parent %d 0 R /Kids [%d 0 R] /Count 1 >>" % (n - 1, n + 1)
        for n in range(3, 30_000)
    }
    wide = {n: b"null" for n in range(6, 200_000)}
    return {
        "forms": pdf_of({1: catalog, 2: one, 3: page % (with_forms % 10), 4: stream(b"/X Do"), 5: FONT, **forms, 19: last}),
        "deep": pdf_of({1: catalog, 2: one, **deep, 30_000: page % b"<< >>"}),
        "cycle": pdf_of({1: catalog, 2: b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"}),
        "bomb": pdf_of({1: catalog, 2: one, 3: page % b"<< >>", 4: stream(b" " * (400 << 20), packed=True)}),
        "objects": pdf_of({1: catalog, 2: one, 3: page % b"<< >>", 4: stream(b""), **wide}, size=2_000_000_000),
        "many pages": pdf_of({1: catalog, 2: b"<< /Type /Pages /Kids [%b] /Count 300000 >>" % (b"3 0 R " * 300_000), 3: page % b"<< >>", 4: stream(b"")}),
        "nested": pdf_of({1: catalog, 2: one, 3: page % (b"<< /A " + b"[" * 200_000 + b"]" * 200_000 + b" >>"), 4: stream(b"")}),
        "lying length": pdf_of({1: catalog, 2: one, 3: page % b"<< >>", 4: b"<< /Length 9999999999 >>\nstream\nBT ET\nendstream"}),
        "cut short": paper_pdf("Abstract\nWe bake.\n1 Introduction\nFlan.")[:300],
        "random": b"%PDF-1.7\n" + bytes((n * n + n // 7) % 256 for n in range(50_000)),
    }  # fmt: skip
