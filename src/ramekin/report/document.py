"""A report as a JSON document and back, without loss.

The document is the report's own fields, tuples as lists, under a `format` line. Reading is strict: an
unknown, missing or ill-typed field is an error that says where. It knows no files.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, Union, cast

from ramekin.errors import DataError
from ramekin.registry import nearest
from ramekin.report.values import Report

__all__ = ["FORMAT", "from_json", "to_json"]

FORMAT = "ramekin.report/1"

T = TypeVar("T")


def to_json(report: Report) -> dict[str, object]:
    """The report as JSON values; `from_json` gives an equal report back."""
    return {"format": FORMAT, **cast(dict[str, object], _plain(report))}


def from_json(document: Mapping[str, object]) -> Report:
    """The report that `to_json` wrote.

    Raises:
        DataError: the format is another one, or a field is unknown, missing or of the wrong type.
    """
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        got = document.get("format") if isinstance(document, Mapping) else type(document).__name__
        raise DataError(
            "this is not a report",
            where="format",
            expected=FORMAT,
            got=str(got),
            fix="give the report.json of a ramekin run",
        )
    fields = {name: value for name, value in document.items() if name != "format"}
    return _dataclass(Report, fields, "report")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _dataclass(kind: type[T], value: object, where: str) -> T:
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object", value)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in value:
        if name not in fields:
            near = nearest(str(name), fields)
            raise DataError(
                "unknown field in a report",
                where=f"{where}.{name}",
                fix=f"did you mean '{near}'?" if near else "remove it",
            )
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and name not in value:
            raise DataError("a field of a report is missing", where=f"{where}.{name}")
    hints = _hints(cast(Any, kind))
    return kind(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _read(hint: Any, value: object, where: str) -> Any:
    """`value` as what `hint` says: a dataclass, a tuple, a mapping of strings, an optional or a scalar."""
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (arm for arm in typing.get_args(hint) if arm is not type(None))
        return None if value is None else _read(inner, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(where, "a list", value)
        inner = typing.get_args(hint)[0]
        return tuple(_read(inner, item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise _wrong(where, "an object", value)
        return {str(key): _read(str, item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return _dataclass(cast(type, hint), value, where)
    return _scalar(hint, value, where)


_SCALARS: Mapping[type, str] = types.MappingProxyType(
    {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
)


def _scalar(hint: type, value: object, where: str) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(where, _SCALARS[hint], value)
    return value


def _wrong(where: str, expected: str, value: object) -> DataError:
    return DataError(
        "a field of a report is of the wrong type",
        where=where,
        expected=expected,
        got="nothing" if value is None else f"{type(value).__name__} {str(value)[:60]!r}",
    )
