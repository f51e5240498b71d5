"""JSON as RFC 8259 has it, read strictly: no NaN or Infinity, no number that overflows, no key given twice.

Python's own reader accepts all of these silently. This module knows nothing of rows or columns.
"""

import json
import math
from typing import Any, NoReturn, final

from ramekin.sources.rows import show

__all__ = ["NotJSON", "parse_json"]


@final
class NotJSON(Exception):  # noqa: N818
    """The text is not JSON; never reaches a user (the readers turn it into a bad row).

    Args:
        reason: why, in words.
        at: the character where that was noticed, from 1, if known.
    """

    def __init__(self, reason: str, at: int | None = None) -> None:
        super().__init__(reason)
        self.at = at


def parse_json(text: str) -> Any:
    """The value that a JSON text holds.

    >>> parse_json('{"label": 1}')
    {'label': 1}

    Raises:
        NotJSON: the text is not JSON, or is JSON that readers disagree about.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        near = text[error.pos : error.pos + 20]
        met = f"at {show(near)}" if near else "at the end of the line"
        raise NotJSON(f"{error.msg} {met}", error.pos + 1) from error
    except RecursionError as error:
        raise NotJSON("values are nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in made if keys.count(key) > 1)
        raise NotJSON(f"the key {show(twice)} is given twice in one object")
    return made


def _constant(name: str) -> NoReturn:
    raise NotJSON(f"{name} is not JSON")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise NotJSON(f"the number {show(digits)} is too large")
    return value


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:  # more than 4,300 digits
        raise NotJSON(f"the number {show(digits)} is too large") from error


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
)
