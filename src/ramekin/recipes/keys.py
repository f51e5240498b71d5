"""The keys of a configuration by their full names, and what is wrong with one: the schema knows.

Knows the schema's types, and nothing of words, files or values.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from ramekin.registry import unknown_name

__all__ = ["full_key", "key_problem"]


def full_key(schema: type[BaseModel], key: str, value: Any) -> str:
    """The full name of a key as a user may write it: without its group, or a group for its name.

    `max_steps=3` is `training.max_steps=3`, and `mixture=glue` is `mixture.name=glue`.
    """
    lifted = _lifted(schema, key)
    return f"{lifted}.name" if lifted in getattr(schema, "NAMED", ()) and isinstance(value, str) else lifted


def _lifted(schema: type[BaseModel], key: str) -> str:
    first = key.partition(".")[0]
    fields = _fields(schema)
    if first in fields:
        return key
    for group in getattr(schema, "LIFTED", ()):
        if first in _fields(_inner(fields[group])):
            return f"{group}.{key}"
    return key


def key_problem(schema: type[BaseModel], path: Sequence[str]) -> str | None:
    """What is wrong with a key, a name a level, or None: each level is looked up in the schema."""
    here: Any = schema
    walked: list[str] = []
    for part in path:
        fields = _fields(here)
        if fields:
            if part not in fields:
                return _unknown(here, walked, part)
            here = _inner(fields[part])
        elif get_origin(here) is dict:
            here = _inner(get_args(here)[1])
        elif here is not Any:
            return f"the key '{'.'.join(walked)}' has no keys below it, yet '{'.'.join(path)}' was given"
        walked.append(part)
    return None


def _unknown(model: Any, walked: Sequence[str], part: str) -> str:
    """The sentence that a model has no such key, with the group that has it, or else the nearest name."""
    name = ".".join([*walked, part])
    groups = [group for group, each in _fields(model).items() if part in _fields(_inner(each))]
    if len(groups) == 1:
        return f"unknown key '{name}': did you mean '{'.'.join([*walked, groups[0], part])}'?"
    return unknown_name("key", name, [".".join([*walked, known]) for known in _known_below(model)])


def _known_below(model: Any) -> list[str]:
    """A model's keys, those that may be written without their group included."""
    fields = _fields(model)
    lifted = [name for group in getattr(model, "LIFTED", ()) for name in _fields(_inner(fields[group]))]
    return [*fields, *lifted]


def _fields(annotation: Any) -> Mapping[str, Any]:
    """Key to type of a pydantic model or a dataclass; empty for anything else."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return typing.get_type_hints(annotation)
    return {}


def _inner(annotation: Any) -> Any:
    """The type behind Optional and Annotated."""
    if get_origin(annotation) is typing.Annotated:
        return _inner(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, UnionType):
        models = [a for a in get_args(annotation) if a is not type(None)]
        return _inner(models[0]) if len(models) == 1 else annotation
    return annotation
