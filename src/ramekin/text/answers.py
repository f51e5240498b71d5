"""Reading an answer out of what a model wrote.

The rules are strict on purpose: no stripping, no lower case, no search for a number in a sentence. What
cannot be read is None, and whoever scores counts it. Knows nothing of tokens, tasks or metrics.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ParsedNumbers", "parse_number", "parse_numbers", "parse_option"]


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
