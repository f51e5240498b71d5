"""The words of a merge method, its name, settings and presets, without the method.

What a configuration may say is checked here before torch is imported; `methods` joins it to what is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from ramekin.errors import UsageError
from ramekin.merge.settings import (
    DummySettings,
    SimpleAverageSettings,
    TaskArithmeticSettings,
    TiesSettings,
    parse_settings,
)
from ramekin.registry import Registry

__all__ = ["WORDS", "MethodWords", "parse_method"]


@final
@dataclass(frozen=True, slots=True)
class MethodWords:
    """What a method can be told."""

    settings: type[Any]
    """The dataclass of its settings."""
    presets: Mapping[str, Mapping[str, object]]
    """Values by preset; empty for a method without presets."""


_NO_PRESETS: Mapping[str, Mapping[str, object]] = {}
_TIES_PRESETS: Mapping[str, Mapping[str, object]] = {
    "none": {},
    "fusionbench": {"keep": "official", "counting": "fusionbench"},
    "paper": {"keep": "official", "merge_func": "mean", "scaling_factor": 1.0},
    "mergekit": {
        "scope": "tensor",
        "keep": "floor",
        "merge_func": "mean",
        "zero_sign": "positive",
        "density": 1.0,
        "scaling_factor": 1.0,
    },
}

WORDS: Registry[MethodWords] = Registry(
    "merge method",
    [
        ("dummy", MethodWords(DummySettings, _NO_PRESETS)),
        ("simple_average", MethodWords(SimpleAverageSettings, _NO_PRESETS)),
        ("task_arithmetic", MethodWords(TaskArithmeticSettings, _NO_PRESETS)),
        ("ties_merging", MethodWords(TiesSettings, _TIES_PRESETS)),
    ],
)
"""The words of every merge method by its name."""


def parse_method(given: Mapping[str, object]) -> Any:
    """The settings of `{name: METHOD, key: value, …}`.

    Raises:
        UsageError: no such method, unknown keys or values; all of a method's at once, with nearest names.
    """
    if not isinstance(given.get("name"), str):
        raise UsageError("a method needs its name", expected="name: task_arithmetic", got=repr(dict(given)))
    words = WORDS[str(given["name"])]
    rest = {key: value for key, value in given.items() if key != "name"}
    return parse_settings(words.settings, rest, method=str(given["name"]), presets=words.presets)
