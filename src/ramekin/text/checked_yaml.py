"""A parsed YAML document checked key by key: every problem is found at once, with its line.

A kind is what a key's value should be, as a type says it: `str`, `int`, `float`, `bool`, `list`, `dict`, a
`Literal`, `list[str]` or `tuple[str, ...]` (both a list of texts), or a union of these. Knows nothing of what
any key means.
"""

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeAlias, Union, final, get_args, get_origin, get_type_hints

from ramekin.errors import DataError, UsageError
from ramekin.registry import unknown_name
from ramekin.text.strict_yaml import Document

__all__ = ["YamlChecker"]

_TEXTS: Final = list[str]
_WORDS: Final[Mapping[Any, str]] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list",
    dict: "a mapping", NoneType: "nothing", _TEXTS: "a list of texts", tuple[str, ...]: "a list of texts",
}  # fmt: skip

_Words: TypeAlias = tuple[tuple[str, str], ...]


@final
class YamlChecker:
    """Reads the parts of a document, and keeps what is wrong with them."""

    def __init__(self, document: Document) -> None:
        self.line = document.line
        self.problems: list[tuple[int | None, str]] = []
        """Lines, and what is wrong there."""

    def add(self, line: int | None, said: str) -> None:
        """Keep a problem."""
        self.problems.append((line, said))

    def sound(self, data: Mapping[Any, Any], kinds: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
        """What is known and of the right kind; the rest is a problem."""
        found = {}
        for key, value in data.items():
            line = self.line(*path, str(key))
            if key not in kinds:
                self.add(line, unknown_name("key", str(key), kinds))
            elif not _is_of(kinds[key], value):
                self.add(line, _mistaken(key, kinds[key], value))
            else:
                found[key] = value
        return found

    def made(self, kind: Callable[..., Any], data: Any, path: tuple[str | int, ...]) -> Any:
        """A value whose fields are the keys; None if something is wrong with it."""
        if not isinstance(data, dict):
            self.add(self.line(*path), f"expected a mapping, got {data!r}")
            return None
        before = len(self.problems)
        values = self.sound(data, get_type_hints(kind), path)
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return None if len(self.problems) > before else self.checked(kind, values, self.line(*path))

    def checked(self, kind: Callable[..., Any], values: Mapping[str, Any], line: int | None) -> Any:
        """A value, or a problem where its numbers are out of range."""
        try:
            return kind(**values)
        except UsageError as error:
            self.add(line, str(error))
            return None

    def words(self, data: Any, line: int | None) -> tuple[_Words, ...] | None:
        """Other words for options: one mapping, or a list of them; None if it is neither."""
        listed = data if isinstance(data, list) else [data]
        for each in listed:
            if not (
                isinstance(each, dict) and all(isinstance(t, str) for pair in each.items() for t in pair)
            ):
                self.add(line, f"'words' maps options to words, or lists such mappings; got {each!r}")
                return None
        return tuple(tuple(each.items()) for each in listed)

    def refuse(self, what: str, *, where: str) -> None:
        """Raise if there is a problem.

        Raises:
            DataError: all problems with their lines; one alone has its line beside the file's name.
        """
        if self.problems:
            listed = "; ".join(each if at is None else f"line {at}: {each}" for at, each in self.problems)
            (line, problem), *others = self.problems
            place, said = (where, listed) if others or line is None else (f"{where}:{line}", problem)
            raise DataError(what, where=place, got=said, fix="edit the file")


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a value is of a kind: a type, a `Literal`, a list of texts, or any of several."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, type) and get_origin(kind) is None:
        return isinstance(value, kind)
    if get_origin(kind) in (list, tuple):
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    return any(_is_of(each, value) for each in _kinds(kind))


def _mistaken(key: str, kind: Any, value: Any) -> str:
    if get_origin(kind) is Literal:
        return unknown_name(key, str(value), get_args(kind))
    words = " or ".join(_WORDS[each] for each in _kinds(kind))
    return f"'{key}' must be {words}, not {value!r}"


def _kinds(kind: Any) -> tuple[Any, ...]:
    """The kinds that a union is of, or the one."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
