"""Names to things, with the nearest name in the error.

A registry is an immutable mapping made where its members are listed: nothing registers itself on
import, so what exists does not depend on what was imported. It knows nothing of what it holds.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, final

from ramekin.errors import UsageError

__all__ = ["Registry", "dotted", "nearest", "unknown_name"]

T = TypeVar("T")

_PARTS = re.compile(r"[_/.-]")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None when none is close.

    >>> nearest("task_arithmatic", ["simple_average", "task_arithmetic"])
    'task_arithmetic'
    >>> nearest("tise", ["simple_average", "ties_merging"])
    'ties_merging'
    """
    known = list(known)
    if name in known:
        return name
    turned = [each for each in known if sorted(each) == sorted(name)]  # 'modle' is 'model', not 'mode'
    found = turned or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if found:
        return found[0]
    lowered = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    if found:
        return lowered[found[0]]
    parts = {part: k for k in known for part in _PARTS.split(k.lower())}
    found = difflib.get_close_matches(name.lower(), list(parts), n=1, cutoff=0.7)
    return parts[found[0]] if found else None


def unknown_name(kind: str, name: str, known: Iterable[str], *, shown: int = 12) -> str:
    """The sentence `unknown KIND 'NAME': did you mean 'NEAR'?`, or the list of what there is.

    >>> unknown_name("method", "fisher", ["ties_merging", "dummy"])
    "unknown method 'fisher'; known: dummy, ties_merging"
    """
    known = sorted(known)
    near = nearest(name, known)
    if near is not None:
        return f"unknown {kind} '{name}': did you mean '{near}'?"
    listed = ", ".join(known[:shown]) + (f", … ({len(known)} in all)" if len(known) > shown else "")
    return f"unknown {kind} '{name}'; known: {listed or 'none'}"


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by the names that users give them.

    >>> dotted({"training": {"max_steps": 3}, "seed": 0})
    {'training.max_steps': 3, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(dotted(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@final
class Registry(Mapping[str, T], Generic[T]):
    """An immutable mapping whose missing key is a `UsageError` with the nearest name.

    Args:
        kind: what its members are called in errors, such as "method".
        members: (name, thing) pairs; a name given twice is an error.
    """

    def __init__(self, kind: str, members: Iterable[tuple[str, T]]) -> None:
        self.kind = kind
        self._members: dict[str, T] = {}
        for name, thing in members:
            if name in self._members:
                raise UsageError(f"{kind} '{name}' is defined twice", fix="rename one of them")
            self._members[name] = thing

    def __getitem__(self, name: str) -> T:
        try:
            return self._members[name]
        except KeyError:
            raise UsageError(unknown_name(self.kind, name, self._members)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)
