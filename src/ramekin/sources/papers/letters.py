"""Characters as PDFs and web pages write them, turned into those of plain running text.

Knows nothing of sections: a line in, a line out; lines in, a text out.
"""

import re
from collections.abc import Iterable, Set

__all__ = ["flow", "ligatures_of_codes", "plain_text", "words_of"]

_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_OF_CODES = dict(
    zip("\x0b\x0c\x0d\x0e\x0f\x1b\x1c\x1d\x1e\x1f", ("ff", "fi", "fl", "ffi", "ffl") * 2, strict=True)
)
_CODES = re.compile("[\x0b-\x0f\x1b-\x1f](?=[a-z])|(?<=[a-z])[\x0b-\x0f\x1b-\x1f]")
_SPACES = re.compile(r"[^\S\n]+")
_UNSEEN = re.compile("[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_WORD = re.compile(r"\w+(?:-\w+)*")
_LONGEST_WORD = 80
"""Looking no farther keeps the time in proportion to the text, whatever it is."""
_BROKEN = re.compile(r"(?P<left>[^\W\d_][\w-]*)-$")
_BEGUN = re.compile(r"[^\W_][\w-]*")


def plain_text(text: str) -> str:
    r"""Text without ligatures, invisible characters and any space but the plain one; line ends stay.

    A soft hyphen at the end of a line is a hyphen, elsewhere it is nothing. Halves of characters that a PDF
    gave apart are put together; what cannot be a character is U+FFFD.

    >>> plain_text("e\ufb03cient\u00a0\u00a0so\u00adcial me\u00ad\nthods")
    'efficient social me-\nthods'
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = re.sub(r"\r\n?|[\v\f\x85\u2028\u2029]", "\n", text).translate(_LIGATURES)
    text = re.sub("\u00ad(?=[^\\S\n]*(?:\n|$))", "-", text).replace("\u00ad", "")
    # U+2010 and U+2011 are hyphens; the minus and the dashes are not.
    text = _UNSEEN.sub("", text).replace("\u2010", "-").replace("\u2011", "-")
    return "\n".join(_SPACES.sub(" ", line).strip() for line in text.split("\n"))


def words_of(lines: Iterable[str]) -> frozenset[str]:
    """Every whole word of some lines in lower case, compounds as one; no pieces of words that lines break.

    >>> sorted(words_of(["Self-attention is", "an atten-", "tion head"]))
    ['an', 'head', 'is', 'self-attention']
    """
    found: set[str] = set()
    is_broken = False
    for line in filter(None, lines):
        words = _WORD.findall(line)
        begin, is_broken = int(is_broken), _BROKEN.search(line[-_LONGEST_WORD:]) is not None
        found.update(word.lower() for word in words[begin : len(words) - is_broken])
    return frozenset(found)


def ligatures_of_codes(text: str) -> str:
    r"""Ligatures where a PDF with bitmap fonts of TeX, as older papers have, gives the font's codes instead.

    Their places are 0x0B to 0x0F in TeX's first encoding and 0x1B to 0x1F in its second; only between small
    letters are they taken for that.

    >>> ligatures_of_codes("e\x1ecient, signi\x0ccant")
    'efficient, significant'
    """
    return _CODES.sub(lambda code: _OF_CODES[code[0]], text)


def flow(lines: Iterable[str], *, known: Set[str] = frozenset()) -> str:
    r"""Lines as one running text, the hyphens of broken words undone.

    A hyphen at a line's end before a small letter may belong to the word ("self-attention") or not. What is
    among `known` words decides: the compound, the closed word, or both halves as words of their own. Where
    none of them is, a word that has a hyphen already keeps the second, and any other loses it. Before a
    capital or a digit it stays.

    >>> flow(["We train trans-", "formers of state-of-the-", "art size: GPT-", "3."])
    'We train transformers of state-of-the-art size: GPT-3.'
    >>> flow(["self-", "attention"], known={"self-attention"})
    'self-attention'
    """
    parts: list[str] = []
    for line in (each.strip() for each in lines):
        broken = _BROKEN.search(parts[-1][-_LONGEST_WORD:]) if parts else None
        begun = _BEGUN.match(line[:_LONGEST_WORD])
        if not line:
            continue
        if broken is None or begun is None:
            parts.append(line)
        elif line[0].islower() and not _keeps_hyphen(broken["left"].lower(), begun[0].lower(), known):
            parts[-1] = parts[-1][:-1] + line
        else:
            parts[-1] += line
    return " ".join(parts)


def _keeps_hyphen(left: str, right: str, known: Set[str]) -> bool:
    if f"{left}-{right}" in known:
        return True
    if f"{left}{right}" in known:
        return False
    return "-" in left or (left in known and right in known and len(left) > 2 and len(right) > 3)
