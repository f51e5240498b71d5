"""Abstract and introduction in the lines of a paper, by their headings and the heading that follows.

Headings are known by their words, by numbers that go on ("1 Introduction", "2 Related Work"; "I.", "II."),
or, as a last resort, by their looks; the last is told. Knows lines, not files.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from ramekin.sources.papers.letters import flow, words_of

__all__ = ["MAX_SECTION_CHARS", "Line", "Sections", "find_sections", "is_introduction"]

MAX_SECTION_CHARS = 40_000
"""A longer section is cut here: what should have ended it was not recognised."""

_ENOUGH = 200
"""An introduction of so many characters is one; a shorter may be an entry of a table of contents."""


@final
class Line(NamedTuple):
    """A line of text."""

    text: str
    page: int = 0
    level: int = 0
    """Of a heading that is marked as one, from 1; 0 where nothing is marked."""


@final
@dataclass(frozen=True, slots=True)
class Sections:
    """What was found; None where it was not."""

    title: str
    abstract: str | None
    introduction: str | None
    ended: bool
    """Whether what follows the introduction was met, so that nothing more need be read."""
    remarks: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class _Heading:
    """A line that opens a section, and what of the text stands on it already."""

    at: int
    rest: str = ""
    number: str = ""
    """`1` or `I`; empty where there is none."""
    mark: str = ""
    """What follows the number: a full stop, a bracket, or nothing."""
    level: int = 0
    is_guess: bool = False


@final
@dataclass(frozen=True, slots=True)
class _Body:
    """The lines between an introduction's heading and what ends it."""

    lines: tuple[str, ...]
    ended: bool
    remarks: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(map(len, self.lines))


def _spaced(word: str) -> str:
    """A word whose letters may stand apart, as small capitals come out of a PDF: "I NTRODUCTION"."""
    return r"\s?".join(word)


_ABSTRACT = re.compile(rf"(?:\d{{1,2}}[.)]?\s+)?{_spaced('abstract')}(?![^\W_])(?P<rest>.*)", re.I)
_INTRODUCTION = re.compile(
    r"(?:(?:section\s+|§\s?)?(?P<number>\d{1,2}|[IVX]{1,4})(?P<mark>[.):]?)\s*)?"
    rf"(?P<word>{_spaced('introduction')})(?![^\W_])(?P<rest>.*)",
    re.I,
)
_WIDER = re.compile(r"\s+(?:and|&)\s+[A-Za-z][\w ,&-]{2,60}")
"""As in "Introduction and Motivation"."""
_CONTENTS = re.compile(r"(?:[\s.·…]*\d{1,3}|[\s.·…]{3,})")
"""What follows a heading in a table of contents."""
_RUN_IN = re.compile(r"\s*[.:—–―-]+\s*(?P<text>\S.*)")
_AFTER_ABSTRACT = re.compile(
    r"(?:key\s?words?(?:\s+and\s+phrases)?|index terms|ccs concepts|acm reference format|general terms"
    r"|categories and subject descriptors|mathematics subject classification|jel classification"
    r"|(?:table of )?contents)\b",
    re.I,
)
_NUMBER_ALONE = re.compile(r"(?:\d{1,2}|[IVX]{1,4})[.)]?")
_NUMBERED = re.compile(r"(?:§\s?)?(?P<number>\d{1,2}|[IVX]{1,4})(?P<mark>[.):]?)\s+(?P<title>\S.*)")
_SUBSECTION = re.compile(r"(?:1(?:\.\d{1,2}){1,2}\.?|[A-H]\.)\s+(?P<title>[A-Z].*)")
_FOOTNOTE = re.compile(r"[∗*†‡§¶♢♠⋆]{1,2}\s*[A-Z].*")
_ENDS_SENTENCE = re.compile(r"[.!?:;…][\"'”’)\]]*(?:\s?\[?\d{1,3}\]?)?$")
_FOOTNOTES = "footnotes with a mark are left out"
_NEXT = {"1": "2", "I": "II", "0": "1"}
_KNOWN = frozenset(
    {
        "acknowledgement", "acknowledgements", "acknowledgment", "acknowledgments", "appendix", "approach",
        "background", "backgroundandrelatedwork", "bibliography", "conclusion", "conclusions", "data",
        "dataset", "datasets", "discussion", "experimentalsettings", "experimentalsetup", "experiments",
        "literaturereview", "materialsandmethods", "method", "methodology", "methods", "model",
        "modelarchitecture", "models", "notation", "ourapproach", "overview", "preliminaries",
        "preliminariesandnotation", "previouswork", "priorwork", "problemdefinition", "problemformulation",
        "problemsetting", "problemsetup", "problemstatement", "proposedapproach", "proposedmethod",
        "references", "relatedliterature", "relatedwork", "relatedworkandbackground", "relatedworks",
        "results", "resultsanddiscussion", "setting", "setup", "supplementarymaterial", "systemoverview",
        "taskdefinition", "themodel", "theory",
    }
)  # fmt: skip
_SMALL = frozenset(
    {
        "a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "of", "on", "or", "the", "to", "via",
        "vs", "with", "without", "over", "under",
    }
)  # fmt: skip


def is_introduction(heading: str) -> bool:
    """Whether a section of this name is the introduction.

    >>> is_introduction("1 INTRODUCTION"), is_introduction("Introduction to Algebra")
    (True, False)
    """
    match = _INTRODUCTION.fullmatch(heading.strip())
    return match is not None and _stands_alone(match["rest"])


def find_sections(lines: Sequence[Line]) -> Sections:
    """Title, abstract and introduction of a paper whose lines are in reading order.

    Args:
        lines: without running heads and page numbers; empty lines part paragraphs.
    """
    texts = [line.text for line in lines]
    known = words_of(texts)
    heading, body = _introduction(lines)
    end = heading.at if heading is not None else len(lines)
    title_end, abstract, remarks = _abstract(lines, end, has_introduction=heading is not None)
    title, guessed = _title(lines[:title_end])
    said = [*guessed, *remarks]
    introduction = None
    if heading is not None and body is not None:
        introduction, cut = _cut(flow(body.lines, known=known), "introduction")
        said += [*body.remarks, *cut]
    shown = None
    if abstract is not None:
        shown, cut = _cut(flow(abstract, known=known), "abstract")
        said += cut
    said = list(dict.fromkeys(said))
    ended = body is not None and (body.ended or body.size > MAX_SECTION_CHARS)
    return Sections(title, shown or None, introduction or None, ended, tuple(said))


def _cut(text: str, name: str) -> tuple[str, list[str]]:
    if len(text) <= MAX_SECTION_CHARS:
        return text, []
    kept = text[:MAX_SECTION_CHARS].rpartition(" ")[0] or text[:MAX_SECTION_CHARS]
    return kept, [f"the {name} is cut after {len(kept):,} characters: nothing had ended it"]


# -- the abstract


def _abstract(
    lines: Sequence[Line], end: int, *, has_introduction: bool
) -> tuple[int, list[str] | None, list[str]]:
    """Where the abstract's heading stands, its lines, and what is to be said of them."""
    found = _abstract_heading(lines[:end])
    if found is None:
        return end, None, []
    remarks = ["where the abstract begins is guessed: its heading is not set apart"] if found.is_guess else []
    body = [found.rest] if found.rest else []
    page, in_footnotes, size = lines[found.at].page, False, len(found.rest)
    for line in lines[found.at + 1 : end]:
        if line.level and (not found.level or line.level <= found.level):
            break
        if _AFTER_ABSTRACT.match(line.text) or _closed_up(line.text) in _KNOWN:
            break
        if line.page != page:
            page, in_footnotes = line.page, False
        # One column: what follows the first mark of a footnote on a page is the foot of the page.
        if not in_footnotes and body and _is_footnote(line):
            in_footnotes = True
            remarks.append(_FOOTNOTES)
        if not in_footnotes:
            body.append(line.text)
            size += len(line.text)
        if size > MAX_SECTION_CHARS:
            break
    while has_introduction and body and _NUMBER_ALONE.fullmatch(body[-1]):
        body.pop()  # of the introduction, on a line of its own
    return found.at, (body if any(body) else None), remarks


def _abstract_heading(lines: Sequence[Line]) -> _Heading | None:
    """The heading that is most surely one."""
    ranked: list[list[_Heading]] = [[], [], []]
    for at, line in enumerate(lines):
        match = _ABSTRACT.fullmatch(line.text)
        if match is None or not (line.level or "A" in line.text[: match.start("rest")]):
            continue
        rest = match["rest"].strip()
        run_in = _RUN_IN.fullmatch(match["rest"])
        if rest in ("", ".", ":"):
            ranked[0].append(_Heading(at, level=line.level))
        elif run_in is not None:
            ranked[1].append(_Heading(at, run_in["text"], level=line.level))
        elif rest[0].isupper() and len(rest) >= 30:
            ranked[2].append(_Heading(at, rest, level=line.level, is_guess=True))
    return next((found[0] for found in ranked if found), None)


# -- the introduction


def _introduction(lines: Sequence[Line]) -> tuple[_Heading | None, _Body | None]:
    """The first heading that an introduction follows; of entries in a table of contents the longest."""
    best: tuple[_Heading, _Body] | None = None
    for heading in _introduction_headings(lines):
        body = _body(lines, heading)
        if body.size >= _ENOUGH:
            return heading, body
        if body.size and (best is None or body.size > best[1].size):
            best = heading, body
    return best if best is not None else (None, None)


def _introduction_headings(lines: Sequence[Line]) -> Iterator[_Heading]:
    for at, line in enumerate(lines):
        match = _INTRODUCTION.fullmatch(line.text)
        if match is None or not (line.level or match["word"].startswith("I")):
            continue
        number, mark, rest = (match["number"] or "").upper(), match["mark"] or "", match["rest"]
        start = at
        if not number and at and _NUMBER_ALONE.fullmatch(lines[at - 1].text):
            alone = lines[at - 1].text
            start, number, mark = at - 1, alone.rstrip(".)"), alone[len(alone.rstrip(".)")) :]
        run_in = _RUN_IN.fullmatch(rest)
        if _stands_alone(rest):
            yield _Heading(at, "", number, mark, line.level)
        elif _CONTENTS.fullmatch(rest):
            continue
        elif run_in is not None and run_in["text"][0].isupper():
            yield _Heading(start, run_in["text"], number, mark, line.level)
        elif number and rest.strip()[:1].isupper() and len(rest) >= 30:
            yield _Heading(start, rest.strip(), number, mark, line.level, is_guess=True)


def _stands_alone(rest: str) -> bool:
    return rest.strip() in ("", ".", ":") or _WIDER.fullmatch(rest) is not None


def _body(lines: Sequence[Line], heading: _Heading) -> _Body:
    """The lines up to the next section."""
    kept = [heading.rest] if heading.rest else []
    remarks = ["where the introduction begins is guessed: its heading runs into it"] * heading.is_guess
    size, subsections, in_list = len(heading.rest), 0, False
    for at in range(heading.at + 1, len(lines)):
        line = lines[at]
        if line.level and line.level <= (heading.level or line.level):
            return _Body((*kept,), True, (*remarks, *_left_out(subsections)))
        if _is_next(lines, at, heading, in_list=in_list):
            return _Body((*kept,), True, (*remarks, *_left_out(subsections)))
        if not heading.number and not heading.level and _looks_like_heading(lines, at):
            remarks.append(f"the introduction's end is guessed: '{line.text}' looks like a heading")
            return _Body((*kept,), True, (*remarks, *_left_out(subsections)))
        if line.level or _is_subsection(lines, at):
            subsections += 1
            continue
        if _is_footnote(line) and _ENDS_SENTENCE.search(line.text):
            remarks.append(_FOOTNOTES)  # of two columns: the text goes on in the next
            continue
        item = _NUMBERED.fullmatch(line.text)
        # Where headings have a bare number, a list does not; "1 Our code is at …" is a footnote.
        in_list = in_list or (item is not None and bool(item["mark"]) and _same_number(item, heading))
        kept.append(line.text)
        size += len(line.text)
        if size > MAX_SECTION_CHARS:
            break
    return _Body((*kept,), False, (*remarks, *_left_out(subsections)))


def _same_number(match: re.Match[str], heading: _Heading) -> bool:
    return (match["number"], match["mark"]) == (heading.number, heading.mark)


def _is_footnote(line: Line) -> bool:
    """On a page only: in a text file an asterisk is an item's."""
    return line.page > 0 and _FOOTNOTE.match(line.text) is not None


def _left_out(subsections: int) -> tuple[str, ...]:
    what = "heading" if subsections == 1 else "headings"
    return (f"{subsections} {what} within the introduction left out",) if subsections else ()


def _is_next(lines: Sequence[Line], at: int, heading: _Heading, *, in_list: bool) -> bool:
    """Whether the section after the introduction begins here."""
    text = lines[at].text
    if _closed_up(text) in _KNOWN and text[:1].isupper() and _after_a_sentence(lines, at):
        return True
    following = _NEXT.get(heading.number)
    if following is None:
        return False
    if _NUMBER_ALONE.fullmatch(text) and text.rstrip(".)") == following and at + 1 < len(lines):
        return _is_title(lines[at + 1].text) and (
            _is_known(lines[at + 1].text) or _is_in_title_case(lines[at + 1].text)
        )
    match = _NUMBERED.fullmatch(text)
    if match is None or match["number"] != following:
        return False
    title = match["title"]
    if heading.rest and (run_in := re.match(r"([A-Z][^.:]{2,80})[.:]\s+\S", title)):
        title = run_in[1]
    if not _is_title(title) or _CONTENTS.fullmatch(title):
        return False
    if _is_known(title):
        return True
    is_item = match["mark"] != heading.mark or in_list
    return not is_item and (at == heading.at + 1 or _after_a_sentence(lines, at))


def _is_subsection(lines: Sequence[Line], at: int) -> bool:
    match = _SUBSECTION.fullmatch(lines[at].text)
    return match is not None and _is_title(match["title"]) and _after_a_sentence(lines, at)


def _looks_like_heading(lines: Sequence[Line], at: int) -> bool:
    """A short line of capitalised words between a sentence's end and a sentence's beginning."""
    text = lines[at].text
    after = next((line.text for line in lines[at + 1 : at + 4] if line.text), "")
    return (
        _is_title(text)
        and 2 <= len(text.split()) <= 8
        and _is_in_title_case(text)
        and not re.match(r"(?:figure|fig\.|table|algorithm|equation)\b", text, re.I)
        and _after_a_sentence(lines, at)
        and after[:1].isupper()
    )


def _is_title(text: str) -> bool:
    return (
        len(text) <= 90
        and len(text.split()) <= 14
        and text[:1].isupper()
        and not text.endswith((".", ",", ";", "-"))
    )


def _is_known(title: str) -> bool:
    return _closed_up(title) in _KNOWN


def _is_in_title_case(text: str) -> bool:
    words = [word for word in re.findall(r"[^\W\d_][\w-]*", text) if word.lower() not in _SMALL]
    return bool(words) and all(word[0].isupper() for word in words)


def _closed_up(text: str) -> str:
    """Only the letters, in lower case; the number of a heading left aside."""
    match = _NUMBERED.fullmatch(text)
    title = match["title"] if match is not None else text
    return re.sub(r"[\W\d_]+", "", title).lower() if len(title) <= 60 else ""


def _after_a_sentence(lines: Sequence[Line], at: int) -> bool:
    """Whether a sentence, a paragraph or a page has ended before this line."""
    before = lines[at - 1] if at else None
    return (
        before is None
        or not before.text
        or before.page != lines[at].page
        or _NUMBER_ALONE.fullmatch(before.text) is not None
        or _ENDS_SENTENCE.search(before.text) is not None
    )


# -- the title


def _title(lines: Sequence[Line]) -> tuple[str, list[str]]:
    """A marked heading of the first rank, or the first line that may be one."""
    for line in lines:
        if line.level == 1:
            return line.text, []
    for line in lines:
        if len(line.text.split()) > 1 and len(line.text) <= 200 and not re.match(r"https?:|doi\b", line.text):
            return line.text, ["the title is guessed: it is the first line"]
    return "", []
