"""What stands on a page and is no part of its text: page numbers, running heads, line numbers, stamps.

Knows pages as lists of lines, and no sections.
"""

import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["without_furniture"]

_EDGE = 3
"""So many lines at either end of a page may be heads and feet."""
_PAGE_NUMBER = re.compile(
    r"(?:page\s*)?[-–—|\[( ]*(?:\d{1,4}|[ivxl]{1,6})[-–—|\]) ]*(?:(?:of|/)\s*\d{1,4})?", re.I
)
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_STAMP = re.compile(
    rf"arXiv:\S+.*|\d{{4}}\s+(?:{_MONTHS})\w*\s+\d{{1,2}}\s+\]\S*.*"
    r"|(?:published|accepted|under review) as a (?:conference|workshop) paper at .*"
    r"|preprint\.?(?: under review\.?| work in progress\.?)?",
    re.I,
)
_NUMBERED_LINES = 12
"""A page with at least so many lines that are a number and nothing else has its lines numbered."""


def without_furniture(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """The pages without what repeats at their ends, page numbers, line numbers and stamps.

    A line repeats if it stands at the top or the bottom of two pages, digits left aside: a running head with
    the number of its page is one. Empty lines stay.

    >>> without_furniture([["On Cats 1", "Cats sleep.", "They"], ["On Cats 2", "do.", "2"]])
    [['Cats sleep.', 'They'], ['do.']]
    """
    seen = Counter(key for page in pages for key in {_key(page[i]) for i in _edges(page)})
    return [_body(page, {key for key, count in seen.items() if count > 1}) for page in pages]


def _body(page: Sequence[str], repeated: set[str]) -> list[str]:
    edges = {i for i in _edges(page) if _key(page[i]) in repeated or _PAGE_NUMBER.fullmatch(page[i])}
    # A number alone at the edge may be a heading's, whose words are the next line.
    edges -= {i for i in edges if _is_heading_number(page, i)}
    numbers = [i for i, line in enumerate(page) if re.fullmatch(r"\d{1,4}", line)]
    dropped = edges | (set(numbers) if len(numbers) >= _NUMBERED_LINES else set())
    return [line for i, line in enumerate(page) if i not in dropped and not _STAMP.fullmatch(line)]


def _edges(page: Sequence[str]) -> set[int]:
    filled = [i for i, line in enumerate(page) if line]
    return {*filled[:_EDGE], *filled[-_EDGE:]}


def _key(line: str) -> str:
    return re.sub(r"\d+", "#", line.lower()) if re.search(r"[^\W\d_]{2}", line) else line


def _is_heading_number(page: Sequence[str], i: int) -> bool:
    return i + 1 < len(page) and bool(
        re.fullmatch(r"[12]\.?|II?\.?", page[i])
        and re.match(r"(?:I ?ntro|I ?NTRO|Related|Background)", page[i + 1])
    )
