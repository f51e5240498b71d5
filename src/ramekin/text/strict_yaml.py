"""YAML read strictly: plain data, no surprises.

Against PyYAML's `safe_load`: a duplicate key is an error, `no`/`off`/`12:30` stay strings (only `true` and
`false` are booleans), `1e-4` is a number, aliases and tags are refused (an alias bomb cannot be built), and
a file has a size limit. Knows nothing of what the data means.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from ramekin.errors import DataError

__all__ = ["parse_yaml", "read_yaml"]

_MAX_BYTES = 4 << 20


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's scalars, unique keys, and no aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not accepted", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", ["t", "T", "f", "F"]),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$",
        list("-+.0123456789"),
    ),
):
    _StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def parse_yaml(text: str, *, where: str) -> Any:
    """Parse one YAML document.

    Args:
        text: the document.
        where: its name in errors, such as the file's path.

    Raises:
        DataError: it is not one plain YAML document; the message has file, line and column.
    """
    if len(text) > _MAX_BYTES:
        raise DataError(
            "the YAML file is too large", where=where, expected=f"at most {_MAX_BYTES} characters"
        )
    try:
        return _StrictLoader(text).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError("the YAML cannot be read", where=place, got=problem) from error


def read_yaml(path: Path) -> Any:
    """Read one YAML file.

    Raises:
        DataError: the file is missing, not UTF-8, or not plain YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError("the file is missing", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise DataError("the file is not UTF-8", where=f"{path}:byte {error.start}") from error
    return parse_yaml(text, where=str(path))
