"""Reading an answer out of what a model wrote.

`parse_…` are strict on purpose: no stripping, no lower case, no search for a number in a sentence.
`read_number` takes a text that is a number and nothing else, however it is written. `extract_…` look for the
answer in longer text, such as a chain of thought. What cannot be read is None, and
whoever scores counts it. Knows nothing of tokens, tasks or metrics.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import final

__all__ = [
    "Extracted",
    "ParsedNumbers",
    "extract_answer",
    "extract_first_word",
    "extract_number",
    "extract_option",
    "extract_text",
    "parse_number",
    "parse_numbers",
    "parse_option",
    "read_number",
    "split_answer",
]


@final
@dataclass(frozen=True, slots=True)
class ParsedNumbers:
    """Numbers read from texts, and how many texts held none."""

    values: tuple[float, ...]
    """One finite number a text; the stand-in where the text held none."""
    unparsable: int
    """How many texts held no finite number."""


def parse_number(text: str) -> float | None:
    """The finite number that `text` is, or None.

    The grammar is Python's `float`, which FusionBench uses too: surrounding white space, `1e3` (1000.0)
    and `1_0` (10.0) are numbers. One thing differs from that tool: there `nan`, `inf` and what overflows
    (`1e999`) count as read, and a single `nan` turns the whole correlation into NaN; here they are
    unparsable like any other word.

    >>> parse_number("2.2"), parse_number("1e3"), parse_number("1_0")
    (2.2, 1000.0, 10.0)
    >>> parse_number("nan"), parse_number("-inf"), parse_number("2.2.")
    (None, None, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parse_numbers(texts: Sequence[str], *, stand_in: float = 0.0) -> ParsedNumbers:
    """Read every text as a number.

    Args:
        texts: what the model wrote.
        stand_in: the number that takes the place of an unparsable text (0.0 is FusionBench's rule).
    """
    parsed = [parse_number(text) for text in texts]
    values = tuple(stand_in if value is None else value for value in parsed)
    return ParsedNumbers(values, sum(value is None for value in parsed))


def parse_option(text: str, options: Sequence[str]) -> str | None:
    """The option that `text` is, character for character, or None; free text (no options) is itself.

    >>> parse_option("yes", ("yes", "no")), parse_option("Yes", ("yes", "no")), parse_option("42", ())
    ('yes', None, '42')
    """
    return text if not options or text in options else None


@final
@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer found in a text."""

    answer: str | None
    """The option, the number in plain digits, or the words; None where there is none."""
    raw: str
    """The whole text, as it was written."""


_LEAD = re.compile(
    r"(?:\b(?:so|thus|hence|therefore),?\s+)?(?:\bthe\s+)?(?:\bfinal\s+)?\banswer(?:\s+is\b|\s*:)\s*:?\s*"
    r"|####\s*(?=[-$\d])",  # GSM8K's
    re.I,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n")
_MARKS = " \t\r\n.,;:!?\"'*()[]“”‘’"
_CLOSING = re.compile(r"(?<!\.[A-Za-z])[.,;:!?]+$")  # "U.S." keeps its stop
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}

_NAME = r"[A-Za-z]|\d{1,2}|[ivx]{1,5}"
_ITEM = re.compile(rf"(?:\((?P<a>{_NAME})\)\s*|(?P<b>{_NAME})(?:[)\]]\s*|[.:]\s+|[.:]?$))(?P<rest>.*)", re.S)
_NAMED = (
    re.compile(rf"\(({_NAME})\)"),
    re.compile(rf"^\W*({_NAME})(?:[).:\]](?!\d)|\s*$)"),
    re.compile(rf"\b(?:option|choice|answer|letter|number)\s+({_NAME})\b", re.I),
)
_ALONE = re.compile(r"(?<![\w.])([B-HJ-Z]|\d{1,2})(?!\w|[.,]\d)")  # "A" and "I" are words too

_BELOW = r"[1-9]\d*(?!\s?[/\d])"  # of a fraction; 12/25/2020 is none
_NUMBER = re.compile(
    rf"(?P<sign>[-−–+]\s?)?[$€£¥]?\s?(?:(?P<mixed>\d+)\s+(?=\d+\s?/\s?{_BELOW}))?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:['’\u2009\u202f\xa0]\d{3})+(?!\d)"
    r"|\d{1,3}(?:\.\d{3})+(?=,\d{1,2}(?!\d))|\d{1,3}(?:\.\d{3}){2,}(?!\d)|\d+)?"
    r"(?P<part>\.\d+|(?<=\.\d{3}),\d{1,2}(?!\d))?"
    rf"(?:[eE](?P<e>[-+]?\d{{1,2}})(?!\w)|\s?[x×*]\s?10\s?\^\s?(?P<power>[-−]?\d{{1,2}})(?!\d)"
    rf"|\s?/\s?(?P<below>{_BELOW}))?"
)
_SEPARATORS = str.maketrans("", "", ",.'’\u2009\u202f\xa0")
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_MAX_DIGITS = 200
"""A longer number is none that anyone meant."""


def extract_answer(text: str, *, options: Sequence[str] = (), is_number: bool = False) -> Extracted:
    """The answer that a text comes to: after its last "the answer is", or the text itself.

    >>> extract_answer("It has 3 legs, so -1,250 of them. The answer is $-1,250.", is_number=True).answer
    '-1250'
    >>> extract_answer("Both hold. Therefore, the answer is (B).", options=["(A)", "(B)"]).answer
    '(B)'
    >>> extract_answer("I cannot say", options=["yes", "no"]).answer is None
    True
    """
    _, tail = split_answer(text)
    if options:
        answer = extract_option(text, options) if tail is None else _led_option(tail, options)
    elif is_number:
        answer = extract_number(text, last=True) if tail is None else _led_number(tail)
    else:
        answer = extract_text(text if tail is None else tail)
    return Extracted(answer, text)


def split_answer(text: str) -> tuple[str, str | None]:
    """The reasoning, and what stands after its last "the answer is"; None where nothing does.

    >>> split_answer("2 + 3 = 5. So, the final answer is 5.")
    ('2 + 3 = 5.', '5.')
    """
    for found in reversed(list(_LEAD.finditer(text))):
        if tail := text[found.end() :].strip():
            return text[: found.start()].strip(), tail
    return text.strip(), None


def extract_option(text: str, options: Sequence[str]) -> str | None:
    """The option that a text names, or None where it names none or several.

    In this order: the option itself; the option but for case and marks around it; the name of a lettered or
    numbered option ("B" for "(B)" or "(B) Paris"); the one option that the text holds as whole words. An
    option behind "not" is not named.

    >>> extract_option("B) Paris", ["(A)", "(B)"]), extract_option("Yes, it does", ["yes", "no"])
    ('(B)', 'yes')
    >>> extract_option("yes or no", ["yes", "no"]) is None
    True
    """
    if text in options:
        return text
    words = [_bare(option) for option in options]
    wanted = _bare(text)
    if wanted and words.count(wanted) == 1:
        return options[words.index(wanted)]
    items = _items(options)
    if items is not None:
        names, words = items
        place = _named(text, names, alone=not any(words))
        if place is not None:
            return options[place]
    held = [place for place, each in enumerate(words) if each and _holds(wanted, each)]
    # "New York" holds "York": of options one within the other, the longer is meant.
    longest = [p for p in held if not any(words[p] != words[q] and _holds(words[q], words[p]) for q in held)]
    return options[longest[0]] if len(longest) == 1 else None


def extract_number(text: str, *, last: bool = False) -> str | None:
    """The first number in a text (or the last), in plain digits: signs, commas, units, percent, fractions.

    Thousands may be parted by commas, apostrophes and unbreakable spaces, and by full stops where nothing
    else can be meant ("1.234.567", "1.234,5"); an ordinary space parts two numbers.

    >>> extract_number("about $1,234.50 a day"), extract_number("−3 °C"), extract_number("1 1/2 cups")
    ('1234.5', '-3', '1.5')
    >>> extract_number("from 3 to 12 eggs", last=True), extract_number("none") is None
    ('12', True)
    """
    text = _in_digits(text)
    found = [match for match in _NUMBER.finditer(text) if match["whole"] or match["part"]]
    if not found:
        return None
    return _digits(found[-1 if last else 0], text)


def read_number(text: str) -> str | None:
    """The number that a text is, in plain digits as `extract_number` gives it; None if it holds more.

    A currency sign, a per cent sign, a full stop and what parts thousands belong to the number.

    >>> read_number("$1,250.00"), read_number("-5."), read_number("1/4"), read_number("20 %")
    ('1250', '-5', '0.25', '20')
    >>> read_number("5 apples"), read_number("")
    (None, None)
    """
    text = _in_digits(text).strip().removesuffix(".").removesuffix("%").strip()
    match = _NUMBER.fullmatch(text)
    return _digits(match, text) if match and (match["whole"] or match["part"]) else None


def extract_first_word(text: str, *, options: Sequence[str] = ()) -> str | None:
    """The first word of a text, without the marks around it; an option that it is but for marks and case.

    >>> extract_first_word("Yes, it does.", options=["yes", "no"]), extract_first_word(" 'Rome' is")
    ('yes', 'Rome')
    >>> extract_first_word("(b) Paris", options=["(A)", "(B)"])
    '(B)'
    >>> extract_first_word("...") is None
    True
    """
    words = (word.strip(_MARKS) for word in text.split())
    word = next(filter(None, words), None)
    if word is None or word in options:
        return word
    named = [option for option in options if option.strip(_MARKS).lower() == word.lower()]
    return named[0] if len(named) == 1 else word


def extract_text(text: str) -> str | None:
    """The words of a short answer: its first line without quotation marks and closing marks.

    >>> extract_text(" 'Mount Everest'. "), extract_text("] ) ).")
    ('Mount Everest', '] ) )')
    """
    words = text.strip().partition("\n")[0]
    for _ in range(2):  # a stop may stand before the quotation mark or after it
        words = _CLOSING.sub("", words.strip())
        if len(words) > 1 and _QUOTES.get(words[0]) == words[-1]:
            words = words[1:-1]
    return words.strip(' "“”') or None


def _in_digits(text: str) -> str:
    """The text with fractions that are one character in digits."""
    return _VULGAR.sub(lambda found: f" {unicodedata.normalize('NFKC', found[0])}".replace("⁄", "/"), text)


def _led_option(tail: str, options: Sequence[str]) -> str | None:
    """The option after "the answer is": in that sentence, at its beginning, or else behind it."""
    sentence = _SENTENCE_END.split(tail, maxsplit=1)[0]
    return extract_option(sentence, options) or _begun(tail, options) or extract_option(tail, options)


def _begun(text: str, options: Sequence[str]) -> str | None:
    """The longest option that the text begins with."""
    lowered = text.lstrip(_MARKS).lower()
    words = {option: _bare(option) for option in options}
    found = [o for o, each in words.items() if each and re.match(rf"{re.escape(each)}(?![^\W_])", lowered)]
    return max(found, key=lambda option: len(words[option])) if found else None


def _led_number(tail: str) -> str | None:
    """The number after "the answer is"; of "3 + 4 = 7" the result."""
    sentence = _SENTENCE_END.split(tail, maxsplit=1)[0]
    return extract_number(sentence.rpartition("=")[2]) or extract_number(tail)


def _bare(text: str) -> str:
    return " ".join(text.strip(_MARKS).lower().replace("_", " ").split())


def _items(options: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """The names of lettered or numbered options, and the words behind them; None where they have no names."""
    found = [_ITEM.fullmatch(option.strip()) for option in options]
    names = [(match["a"] or match["b"]).lower() for match in found if match]
    if len(names) < len(options) or len(set(names)) < len(names):
        return None
    return names, [_bare(match["rest"]) for match in found if match]


def _named(text: str, names: Sequence[str], *, alone: bool) -> int | None:
    """The place of the one name that a text gives, in the plainest way in which it gives any."""
    for pattern in (*_NAMED, _ALONE) if alone else _NAMED:
        given = {name.lower() for name in pattern.findall(text)}.intersection(names)
        if given:
            return names.index(given.pop()) if len(given) == 1 else None
    return None


def _holds(text: str, words: str) -> bool:
    pattern = rf"(?<!\bnot )(?<!n't )(?<![^\W_]){re.escape(words)}(?![^\W_])"
    return re.search(pattern, text) is not None


def _digits(match: re.Match[str], text: str) -> str | None:
    whole, part, below = match["whole"] or "0", match["part"] or "", match["below"]
    if len(match[0]) > _MAX_DIGITS:
        return None
    value = Fraction(whole.translate(_SEPARATORS) + part.replace(",", "."))
    value *= Fraction(10) ** int((match["e"] or match["power"] or "0").replace("−", "-"))
    if below is not None and text[match.start() - 1 : match.start()] != "/":  # else the end of a date
        value = value / int(below) + int(match["mixed"] or 0)
    if match["sign"] is not None and match["sign"].strip() != "+" and not _joins(match, text):
        value = -value
    if value.denominator == 1:
        return str(value.numerator)
    with localcontext() as context:
        context.prec = len(str(abs(int(value)))) + 12
        # Rounded, it may end in zeros (3/308), which the same number written out would not have.
        return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():f}"


def _joins(match: re.Match[str], text: str) -> bool:
    """Whether a minus stands between two things: "3-4", "covid-19", "10 - 4"."""
    before = text[: match.start()]
    last = before.rstrip()[-1:]
    return before[-1:].isalnum() or last.isdigit() or last in (")", "%")
