"""The settings of a merge method: from the words of a configuration to a checked, frozen value.

Every method has a dataclass of settings in its own file, whose `__post_init__` hands its fields to `settle`
with the kind of each; all that is wrong is said at once. `parse_settings` makes one: a preset's values first,
the given ones over them, an unknown key refused with the nearest. This module knows nothing of arrays.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ramekin.errors import UsageError
from ramekin.merge.parameters import (
    Check,
    Parameter,
    check_number,
    check_share,
    parse_parameter,
    parse_per_model,
)
from ramekin.registry import unknown_name

__all__ = [
    "Kind",
    "choice",
    "flag",
    "number",
    "parameter",
    "parse_settings",
    "parse_step",
    "per_model",
    "replace_scaling_factor",
    "settings_to_json",
    "settle",
    "share",
    "whole",
]

Kind = Callable[[str, object], object]
"""From a field's name and what was given to its value; raises `UsageError`."""

S = TypeVar("S")


def settle(settings: object, **kinds: Kind) -> None:
    """Check the named fields of a settings value that is being made, and give them the form of their kind.

    Raises:
        UsageError: values that cannot be; all of them at once.
    """
    problems: list[str] = []
    for key, kind in kinds.items():
        try:
            object.__setattr__(settings, key, kind(key, getattr(settings, key)))
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError.of_problems(problems)


def number(*, low: float | None = None, high: float | None = None, optional: bool = False) -> Kind:
    """A finite number, from `low` to `high` where these are given; or None where it is `optional`."""
    kind = _checked(_within(low, high), float)
    return lambda key, value: None if value is None and optional else kind(key, value)


def share() -> Kind:
    """A number from 0 to 1."""
    return _checked(check_share, float)


def whole(*, low: int = 0) -> Kind:
    """A whole number, `low` or more."""

    def check(key: str, value: object) -> list[str]:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            return [f"{key}: expected a whole number, {low} or more, got {value!r}"]
        return []

    return _checked(check, int)


def flag() -> Kind:
    """True or false."""
    return _checked(
        lambda key, value: (
            [] if isinstance(value, bool) else [f"{key}: expected true or false, got {value!r}"]
        ),
        bool,
    )


def choice(*allowed: str) -> Kind:
    """One of some words."""
    return _checked(
        lambda key, value: [] if value in allowed else [unknown_name(key, str(value), allowed)], str
    )


def parameter(*, low: float | None = None, high: float | None = None) -> Kind:
    """A number, or one by pattern or depth: a `Parameter`."""
    return lambda key, value: parse_parameter(key, value, check=_within(low, high))


def per_model(
    *, low: float | None = None, high: float | None = None, shares: bool = False, optional: bool = False
) -> Kind:
    """A `Parameter`, or a list of one for each model: a `PerModel`; or None where it is `optional`."""
    check = check_share if shares else _within(low, high)

    def kind(key: str, value: object) -> object:
        if (value is None and optional) or _is_parsed(value):
            return value
        return parse_per_model(key, value, check=check)

    return kind


def parse_settings(
    kind: type[S],
    given: Mapping[str, object],
    *,
    method: str,
    presets: Mapping[str, Mapping[str, object]],
    foreign: Callable[[Mapping[str, object], str], Mapping[str, object]] | None = None,
) -> S:
    """Settings of one kind from the words of a configuration.

    Args:
        kind: the settings dataclass of the method.
        given: key to value; `preset` names one of `presets`, whose values stand behind the given ones.
        method: the method's name, for messages.
        presets: values by preset.
        foreign: turns words of another tool, that a preset allows, into ours.

    Raises:
        UsageError: unknown keys, values or presets, all at once, with the nearest names.
    """
    values = dict(given)
    if presets:
        name = str(values.get("preset", "none"))
        if name not in presets and name != "none":
            raise UsageError(unknown_name(f"preset of {method}", name, ("none", *presets)))
        own = values if foreign is None else dict(foreign(values, name))
        values = {**presets.get(name, {}), **own, "preset": name}
    known = tuple(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
    unknown = [unknown_name(f"setting of {method}", key, known) for key in values if key not in known]
    if unknown:
        raise UsageError.of_problems(unknown)
    return kind(**values)


def parse_step(
    kinds: Mapping[str, type[S]],
    given: Mapping[str, object] | None,
    *,
    what: str,
    presets: Mapping[str, Mapping[str, object]],
) -> S | None:
    """A step beside the method, from `{name: …, key: value, …}`; None and `{name: none}` are none.

    Args:
        kinds: the settings of each step by its name.
        given: the configuration's words.
        what: what errors call such a step.
        presets: settings by preset.

    Raises:
        UsageError: no such step, unknown keys or values.
    """
    name = "none" if given is None else str(given.get("name"))
    if given is not None and name in ("none", "None") and len(given) > ("name" in given):
        raise UsageError(
            f"settings of {what} that is not named",
            got=", ".join(sorted(str(key) for key in given if key != "name")),
            expected=" or ".join(kinds),
            fix="name it, or leave them out",
        )
    if given is None or (name == "none" and len(given) == 1):
        return None
    if name not in kinds:
        raise UsageError(unknown_name(what, name, ("none", *kinds)))
    rest = {key: value for key, value in given.items() if key != "name"}
    return parse_settings(kinds[name], rest, method=name, presets=presets)


def replace_scaling_factor(settings: S, factor: float) -> S:
    """The same settings with another scaling factor."""
    return dataclasses.replace(settings, scaling_factor=factor)  # type: ignore[type-var]


def settings_to_json(settings: object) -> dict[str, object]:
    """Settings as JSON values that `parse_settings` makes the same settings of."""
    fields = dataclasses.fields(settings)  # type: ignore[arg-type]
    return {field.name: _plain(getattr(settings, field.name)) for field in fields}


def _plain(value: Any) -> object:
    if isinstance(value, Parameter):
        return value.to_json()
    if isinstance(value, tuple):
        return _plain(value[0]) if _is_parsed(value) and len(value) == 1 else [_plain(each) for each in value]
    return value


def _is_parsed(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(each, Parameter) for each in value)


def _within(low: float | None, high: float | None) -> Check:
    def check(key: str, value: object) -> list[str]:
        problems = check_number(key, value)
        if problems:
            return problems
        assert isinstance(value, int | float)
        if (low is not None and value < low) or (high is not None and value > high):
            limits = [
                f"at {word} {limit:g}"
                for word, limit in (("least", low), ("most", high))
                if limit is not None
            ]
            return [f"{key}: expected {' and '.join(limits)}, got {value:g}"]
        return []

    return check


def _checked(check: Callable[[str, object], Sequence[str]], form: Callable[[Any], object]) -> Kind:
    def kind(key: str, value: object) -> object:
        problems = check(key, value)
        if problems:
            raise UsageError.of_problems(problems)
        return form(value)

    return kind
