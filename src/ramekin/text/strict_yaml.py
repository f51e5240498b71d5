"""YAML read strictly: plain data, no surprises.

Against PyYAML's `safe_load`: a duplicate key is an error, `no`/`off`/`12:30` stay strings (only `true` and
`false` are booleans), `1e-4` is a number, aliases and tags are refused (an alias bomb cannot be built), and
a file has a size limit. The values are built here from libyaml's events, which is about ten times as fast as
PyYAML's own composer and knows every key's line. Knows nothing of what the data means.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, final

import yaml

from ramekin.errors import DataError

__all__ = ["Document", "KeyPath", "parse_document", "parse_yaml", "read_document", "read_yaml"]

_MAX_BYTES = 4 << 20
_MAX_DEPTH = 100
_MAX_LINE_DEPTH = 10  # deeper values are known by the line of what is around them
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where PyYAML was built with it

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a document: `("templates", "ask")`."""

_SCALARS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), int),
    (re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"), float),
)
_PLAIN_START = frozenset("tTfFnN~-+.0123456789")


@final
@dataclass(frozen=True)
class Document:
    """What a YAML file holds, and where in the file each key and item stands."""

    value: Any
    lines: Mapping[KeyPath, int]
    """The line, from 1, at which each value begins (the first line of a block text is the one after `|-`)."""

    def line(self, *path: str | int) -> int | None:
        """The line of the value at `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def parse_document(
    text: str, *, where: str, tags: frozenset[str] = frozenset(), aliases: bool = False
) -> Document:
    """Parse one YAML document.

    Args:
        text: the document.
        where: its name in errors, such as the file's path.
        tags: tags that a mapping may bear and that are ignored, such as `!Template`; any other is refused.
        aliases: accept aliases to values that hold no alias themselves, so that no bomb can be built.

    Raises:
        DataError: it is not one plain YAML document; the message has file, line and column.
    """
    if len(text) > _MAX_BYTES:
        raise DataError(
            "the YAML file is too large", where=where, expected=f"at most {_MAX_BYTES} characters"
        )
    try:
        builder = _Builder(iter(yaml.parse(text, Loader=_LOADER)), tags, aliases)
        return Document(builder.document(), builder.lines)
    except UnicodeEncodeError as error:
        place = f"{where}:{text.count(chr(10), 0, error.start) + 1}"
        raise DataError("the YAML cannot be read", where=place, got="half a surrogate pair") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError("the YAML cannot be read", where=place, got=problem) from error


def parse_yaml(text: str, *, where: str) -> Any:
    """The value of one YAML document; see `parse_document`."""
    return parse_document(text, where=where).value


def read_document(path: Path, *, tags: frozenset[str] = frozenset(), aliases: bool = False) -> Document:
    """Read one YAML file with the lines of its keys.

    Raises:
        DataError: the file is missing, cannot be read, is not UTF-8, or not plain YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError("the file is missing", where=str(path)) from error
    except OSError as error:
        raise DataError("the file cannot be read", where=str(path), got=error.strerror) from error
    except UnicodeDecodeError as error:
        raise DataError("the file is not UTF-8", where=f"{path}:byte {error.start}") from error
    return parse_document(text, where=str(path), tags=tags, aliases=aliases)


def read_yaml(path: Path) -> Any:
    """The value of one YAML file; see `read_document`."""
    return read_document(path).value


def _line(event: Any) -> int:
    line: int = event.start_mark.line + 1
    return line


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, mark)


@final
class _Builder:
    """Events to values, strictly."""

    def __init__(self, events: Iterator[Any], tags: frozenset[str], aliases: bool) -> None:
        self.events = events
        self.tags = tags
        self.aliases = aliases
        self.anchors: dict[str, Any] = {}
        self.met = 0
        self.lines: dict[KeyPath, int] = {}

    def document(self) -> Any:
        value = None
        found = False
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found:
                    raise _refused("there is a second document", event.start_mark)
                found = True
                value = self._value(next(self.events), ())
        return value

    def _value(self, event: Any, path: KeyPath) -> Any:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise _refused("aliases are not accepted", event.start_mark)
            self.met += 1
            self._note(path, _line(event))
            return self.anchors[event.anchor]
        met = self.met
        value = self._own_value(event, path)
        if self.aliases and event.anchor is not None and self.met == met:
            self.anchors[event.anchor] = value
        return value

    def _own_value(self, event: Any, path: KeyPath) -> Any:
        if event.tag is not None and event.tag not in self.tags and event.tag != "!":
            raise _refused(f"the tag '{event.tag}' is not accepted", event.start_mark)
        if len(path) > _MAX_DEPTH:
            raise _refused("it is nested too deeply", event.start_mark)
        line = _line(event)
        if isinstance(event, yaml.ScalarEvent):
            self._note(path, line + (event.style in ("|", ">")))
            # `! '1'`, as PyYAML writes some texts, is a text; its parser calls it plain.
            return _plain(event) if event.implicit[0] and event.tag is None else event.value
        self._note(path, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._mapping(path)

    def _note(self, path: KeyPath, line: int) -> None:
        if len(path) <= _MAX_LINE_DEPTH:
            self.lines[path] = line

    def _list(self, path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, len(values))))
        return values

    def _mapping(self, path: KeyPath) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _refused("a key must be a text", event.start_mark)
            key = _plain(event) if event.implicit[0] else event.value
            if key in values:
                raise _refused(f"the key '{event.value}' stands twice", event.start_mark)
            mark = event.start_mark
            if event.tag is not None or (event.value == "<<" and event.implicit[0]):
                raise _refused("tags and merges are not accepted in keys", mark)
            values[key] = self._value(next(self.events), (*path, str(key)))
        return values


def _plain(event: Any) -> Any:
    try:
        value = _scalar(event.value)
    except ValueError as error:  # Python refuses to read a number of thousands of digits
        raise _refused("the number is too long", event.start_mark) from error
    if isinstance(value, float) and math.isinf(value):
        raise _refused("the number is too large", event.start_mark)
    return value


def _scalar(text: str) -> Any:
    """A plain scalar by YAML 1.2's core rules, without octal, hexadecimal, infinities and NaN."""
    if text and text[0] not in _PLAIN_START:
        return text
    for pattern, make in _SCALARS:
        if pattern.fullmatch(text):
            return make(text)
    return text
