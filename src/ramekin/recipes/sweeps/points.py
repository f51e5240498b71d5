"""From words with several values to the points of a sweep: their product, each with a name of its own.

Values stand in Hydra's sweep grammar: `a,b,c`, `choice(a,b)`, `range(0,1,0.1)`, lists as `[a],[a,b]`. Knows
nothing of what a verb does with a point.
"""

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError

__all__ = ["Points", "SweepPoint", "is_key", "named_point", "sweep_points"]

_LONGEST_NAME = 100


@final
@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One point."""

    name: str
    """Of its folder, such as `learning_rate=1e-4,adapter=lora`."""
    values: tuple[str, ...]
    """Of the keys that are swept, in their order."""
    words: tuple[str, ...]
    """All words of the point's command, but for its output."""


@final
@dataclass(frozen=True, slots=True)
class Points:
    """What a sweep goes over."""

    keys: tuple[str, ...]
    """The keys that have several values."""
    points: tuple[SweepPoint, ...]


def sweep_points(words: Sequence[str]) -> Points:
    """The points that words ask for, the last key changing fastest.

    Args:
        words: Hydra overrides; those with several values are swept, the others stand in every point.

    Raises:
        UsageError: no word has several values, one has none or is not understood, or a value or a key that is
            swept comes twice.

    >>> [point.name for point in sweep_points(["seed=1,2", "max_steps=5"]).points]
    ['seed=1', 'seed=2']
    """
    fixed: list[str] = []
    swept: list[tuple[str, tuple[str, ...]]] = []
    for word in words:
        key, values = _values(word)
        if values is None:
            fixed.append(word)
        elif len(set(values)) < len(values):
            raise UsageError("a value of the sweep comes twice", got=word)
        else:
            swept.append((key, values))
    if not swept:
        raise UsageError("nothing is swept", fix="give a key several values: learning_rate=1e-4,3e-4")
    keys = tuple(key for key, _ in swept)
    if twice := [key for key in keys if sum(is_key(word, key) for word in words) > 1]:
        raise UsageError(
            "a key that is swept is given twice", got=twice[0], fix="list all its values in one word"
        )
    chosen = itertools.product(*(values for _, values in swept))
    points = tuple(named_point(keys, values, fixed) for values in chosen)
    names = [point.name for point in points]
    if alike := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError("two points would have one folder", got=alike[0], fix="sweep them one by one")
    return Points(keys, points)


def _values(word: str) -> tuple[str, tuple[str, ...] | None]:
    """A word's key and its values, if it has several."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import RangeSweep
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(word)
        key = str(override.get_key_element())
        if not override.is_sweep_override():
            return key, None
        values = tuple(override.sweep_string_iterator())
        if isinstance(sweep := override.value(), RangeSweep):
            values = tuple(_rounded(each) for each in values)
            values = tuple(each for each in values if each != _rounded(str(sweep.stop)))
    except HydraException as error:
        raise UsageError(
            f"'{word}' cannot be swept",
            got=str(error).splitlines()[0],
            fix="list the values: key=a,b,c, or key=range(start,stop,step)",
        ) from error
    if not values:
        raise UsageError("a sweep over nothing", got=word, fix="range(start,stop,step) ends before its stop")
    return key, values


def _rounded(number: str) -> str:
    """A number of a range without the drift of its sums, which may even reach the end: 0.1 + 2 * 0.1."""
    return repr(float(f"{float(number):.12g}")) if {".", "e"} & set(number) else number


def is_key(word: str, key: str) -> bool:
    """Whether a word gives a key a value.

    >>> is_key("+output=runs", "output")
    True
    """
    return word.partition("=")[0].lstrip("+") == key


def named_point(keys: Sequence[str], values: Sequence[str], fixed: Sequence[str] = ()) -> SweepPoint:
    """The point where keys have values, beside words that all points share.

    >>> named_point(["seed", "model"], ["1", "google/flan-t5-base"]).name
    'seed=1,model=google-flan-t5-base'
    """
    given = [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
    return SweepPoint(_name(given), tuple(values), (*fixed, *given))


def _name(given: Sequence[str]) -> str:
    """A folder's name that says what is special of a point; a long one ends in a hash."""
    name = re.sub(r"[^A-Za-z0-9_.,=+\[\]\-]+", "-", ",".join(given)).strip("-.")
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(",".join(given).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}-{digest}"
