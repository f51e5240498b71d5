"""PDFs: encrypted, scanned, in columns, hostile; each becomes a paper or an error that says why not."""

import io
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ramekin.errors import DataError, UsageError
from ramekin.sources.papers import Limits, pdf, read_paper

pypdf = pytest.importorskip("pypdf")

FIRST = """On the Baking of Flans
Ann Baker and Tom Miller
Abstract
We compare two ovens for flans. On 12 recipes, the old oven is 1.4 points better than the modern
one, which surprises us and is sig-
nificant.
1 Introduction
Flans are baked in ramekins, which are small dishes. Earlier work used large dishes in-
stead [3]. The question of which oven is best has not been asked, and we ask it here. We"""
SECOND = """bake 24 flans a day in each of two ovens and let the
guests of a hotel decide. Guests are
not told which oven was used.
2 Ovens
The first oven is old."""
SCANNED = b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8"


def put(folder: Path, data: bytes, name: str = "paper.pdf") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def rewritten(data: bytes, change: Callable[[object], None]) -> bytes:
    """A PDF as pypdf's writer gives it after a change."""
    writer = pypdf.PdfWriter(io.BytesIO(data))
    change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_abstract_and_introduction_over_a_page_end(tmp_path: Path, make_pdf) -> None:
    paper = read_paper(put(tmp_path, make_pdf(FIRST, SECOND, "More.", "More.")))
    assert paper.title == "On the Baking of Flans"
    assert paper.abstract == (
        "We compare two ovens for flans. On 12 recipes, the old oven is 1.4 points better than the modern one, "
        "which surprises us and is significant."
    )
    assert paper.introduction == (
        "Flans are baked in ramekins, which are small dishes. Earlier work used large dishes instead [3]. The question "
        "of which oven is best has not been asked, and we ask it here. We bake 24 flans a day in each of two ovens and "
        "let the guests of a hotel decide. Guests are not told which oven was used."
    )
    assert paper.remarks == ("the title is guessed: it is the first line",)
    assert paper.where.endswith("paper.pdf") and paper.text == f"{paper.abstract}\n\n{paper.introduction}"


def test_two_columns_are_read_one_after_the_other(tmp_path: Path, make_pdf) -> None:
    one_column = read_paper(put(tmp_path, make_pdf(FIRST, SECOND)))
    assert read_paper(put(tmp_path, make_pdf((FIRST, SECOND)), "columns.pdf")).text == one_column.text


def test_running_heads_page_numbers_and_stamps_are_dropped(tmp_path: Path, make_pdf) -> None:
    pages = [
        f"Baker and Miller, 2031\n{text}\n{number}" for number, text in enumerate((FIRST, SECOND, "More."), 1)
    ]
    stamped = pages[0] + "\narXiv:3101.00001v1 [cs.CL] 1 Jan 2031"
    paper = read_paper(put(tmp_path, make_pdf(stamped, *pages[1:])))
    assert paper.text == read_paper(put(tmp_path, make_pdf(FIRST, SECOND), "plain.pdf")).text


def test_the_title_of_the_metadata_is_taken_if_it_is_one(tmp_path: Path, make_pdf) -> None:
    for title, expected in (
        ("Of Flans", "Of Flans"),
        ("paper final.dvi", "On the Baking of Flans"),
        ("x", None),
    ):
        data = rewritten(make_pdf(FIRST, SECOND), lambda w, title=title: w.add_metadata({"/Title": title}))
        paper = read_paper(put(tmp_path, data))
        assert paper.title == (expected or "On the Baking of Flans")
        assert any("title is guessed" in each for each in paper.remarks) == (expected != "Of Flans")


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_encrypted_without_a_password_is_read_and_says_so(tmp_path: Path, make_pdf, algorithm: str) -> None:
    data = rewritten(make_pdf(FIRST, SECOND), lambda writer: writer.encrypt("", "owner", algorithm=algorithm))
    paper = read_paper(put(tmp_path, data))
    assert "surprises us" in paper.abstract
    assert "the PDF is encrypted and opens without a password" in paper.remarks


def test_encrypted_with_a_password_says_so(tmp_path: Path, make_pdf) -> None:
    data = rewritten(make_pdf(FIRST), lambda writer: writer.encrypt("secret", algorithm="AES-256"))
    with pytest.raises(DataError, match="encrypted and needs a password: .*paper.pdf: .*; fix: save a copy"):
        read_paper(put(tmp_path, data))


def test_scanned_says_that_it_needs_ocr(tmp_path: Path, make_pdf) -> None:
    def with_image(writer: object) -> None:
        image = pypdf.generic.StreamObject()
        image.update({pypdf.generic.NameObject("/Subtype"): pypdf.generic.NameObject("/Image")})
        for page in writer.pages:
            objects = pypdf.generic.DictionaryObject(
                {pypdf.generic.NameObject("/Im"): writer._add_object(image)}
            )
            page["/Resources"][pypdf.generic.NameObject("/XObject")] = objects

    with pytest.raises(
        DataError, match="holds images of pages and no text: .* got 0 letters on 2 .*ocrmypdf"
    ):
        read_paper(put(tmp_path, rewritten(make_pdf("", ""), with_image)))
    with pytest.raises(DataError, match="the PDF has no text"):
        read_paper(put(tmp_path, make_pdf("", "")))


def test_a_missing_part_is_named(tmp_path: Path, make_pdf) -> None:
    with pytest.raises(
        DataError, match="no abstract is found.* begins 'On the Baking of Flans'; fix: give a .json"
    ):
        read_paper(put(tmp_path, make_pdf(FIRST.replace("Abstract", "Story"), SECOND)))
    with pytest.raises(DataError, match="no introduction is found .* expected a heading 'Introduction'"):
        read_paper(put(tmp_path, make_pdf(FIRST.replace("1 Introduction", "Beginning"), SECOND)))
    with pytest.raises(DataError, match="no pages"):
        read_paper(put(tmp_path, rewritten(make_pdf(FIRST), lambda writer: writer.remove_page(0))))


def test_not_more_is_read_than_the_introduction_needs(
    tmp_path: Path, make_pdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    pages = pdf.OpenedPDF.pages

    def counted(self: pdf.OpenedPDF):
        for page in pages(self):
            seen.append(page)
            yield page

    monkeypatch.setattr(pdf.OpenedPDF, "pages", counted)
    long = make_pdf(FIRST, SECOND, *["3 More\nText."] * 200)
    paper = read_paper(put(tmp_path, long))
    assert len(seen) == 4 and not any("looked at" in each for each in paper.remarks)


def test_what_the_limits_cut_is_told(tmp_path: Path, make_pdf) -> None:
    path = put(tmp_path, make_pdf(FIRST, SECOND, "More."))
    paper = read_paper(path, limits=Limits(max_pages=1))
    assert paper.introduction.endswith("We") and "only 1 of 3 pages were looked at" in paper.remarks
    short = read_paper(path, limits=Limits(max_text_chars=len(FIRST) - 20))
    assert (
        len(short.introduction) < len(paper.introduction)
        and "only 1 of 3 pages were looked at" in short.remarks
    )


NAMES = (
    "bomb",
    "cut short",
    "cycle",
    "deep",
    "forms",
    "lying length",
    "many pages",
    "nested",
    "objects",
    "random",
)


def test_every_hostile_pdf_is_tried(hostile: Mapping[str, bytes]) -> None:
    assert sorted(hostile) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_pdf_is_an_error_in_time(tmp_path: Path, hostile: Mapping[str, bytes], name: str) -> None:
    path = put(tmp_path, hostile[name])
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        read_paper(path, limits=Limits(timeout_seconds=20))
    assert time.monotonic() - started < 25
    assert caught.value.where == str(path) and caught.value.expected and caught.value.fix


def test_time_is_up(tmp_path: Path, make_pdf) -> None:
    before = _children()
    with pytest.raises(DataError, match="takes too much to read: .*: expected at most 0.01 seconds"):
        read_paper(put(tmp_path, make_pdf(FIRST, SECOND)), limits=Limits(timeout_seconds=0.01))
    assert _children() == before


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited on Linux")
def test_memory_is_up(tmp_path: Path, make_pdf) -> None:
    lines = "\n".join(["word " * 30] * 40)
    path = put(tmp_path, make_pdf(*[lines] * 50))
    with pytest.raises(DataError, match="takes too much to read: .*: expected at most 1 MiB of memory"):
        read_paper(path, limits=Limits(max_memory_bytes=1 << 20))


def _children() -> set[str]:
    """Processes that this one has started and not seen the end of."""
    tasks = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return set(tasks.read_text().split()) if tasks.exists() else set()


def test_its_process_is_gone_whatever_happens(tmp_path: Path, make_pdf) -> None:
    path = put(tmp_path, make_pdf(FIRST, SECOND))
    before = _children()  # other tests' helpers, such as a resource tracker, live as long as Python
    with pytest.raises(ZeroDivisionError), pdf.open_pdf(path, Limits()):
        assert _children() > before
        1 / 0
    assert _children() == before


def test_the_process_loads_next_to_nothing_of_ramekin() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-P", str(Path(pdf.__file__).with_name("pdf_process.py")), "1000000000", "9", "9", "9"],
        input=b"nothing", capture_output=True, check=True,
    )  # fmt: skip
    assert b'"error": "damaged"' in done.stdout and b"pypdf" in done.stderr
    loaded = set(re.findall(rb"\bramekin[\w.]*", done.stderr))
    assert loaded == {b"ramekin", b"ramekin.machine"} and b"torch" not in done.stderr


def test_a_reader_that_fails_says_so(tmp_path: Path, make_pdf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])  # so that the process finds no pypdf
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DataError, match="the PDF cannot be read: .*got the reader's end, exit code 1"):
        read_paper(put(tmp_path, make_pdf(FIRST)))


def test_without_pypdf_it_says_what_to_install(
    tmp_path: Path, make_pdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"pypdf, which is not installed: .*; fix: pip install 'ramekin\[papers\]'"
    ):
        read_paper(put(tmp_path, make_pdf(FIRST)))


@pytest.mark.parametrize(
    "data", [b"Abstract\nWe bake.\n1 Introduction\nFlan.", b"\x00" * 2000, b"PK\x03\x04" * 99]
)
def test_what_is_no_pdf(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match="the file is no PDF: .*expected %PDF- in its first 1,024 bytes"):
        read_paper(put(tmp_path, data))


def test_a_deadline_is_a_finite_number() -> None:
    assert 0 < Limits().timeout_seconds < math.inf
