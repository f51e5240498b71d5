"""The settings of each method: names, defaults and limits, checked before anything is read.

A settings value is a frozen dataclass whose construction checks every field and shows all that is wrong at
once. `parse_settings` makes one from the words of a configuration: a preset's values first, the given ones
over them, an unknown key refused with the nearest. This module knows nothing of tensors.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, final, get_args

from ramekin.errors import UsageError
from ramekin.registry import unknown_name

__all__ = [
    "Counting",
    "DummySettings",
    "Keep",
    "MergeFunc",
    "Scope",
    "SimpleAverageSettings",
    "TaskArithmeticSettings",
    "TiesSettings",
    "ZeroSign",
    "parse_settings",
    "replace_scaling_factor",
]

Scope = Literal["model", "tensor"]
MergeFunc = Literal["sum", "mean", "max"]
Keep = Literal["round", "floor", "official"]
ZeroSign = Literal["majority", "positive"]
Counting = Literal["unique", "fusionbench"]

S = TypeVar("S")


@final
@dataclass(frozen=True, kw_only=True)
class DummySettings:
    """`dummy` has no settings."""


@final
@dataclass(frozen=True, kw_only=True)
class SimpleAverageSettings:
    """What `simple_average` can be told."""

    weights: tuple[float, ...] | None = None
    """One number a model, in the order of the models; None counts each once."""
    normalize: bool = True
    """Divide by the sum of the weights."""

    def __post_init__(self) -> None:
        problems = _not_bool("normalize", self.normalize)
        if self.weights is not None:
            if not isinstance(self.weights, Sequence) or isinstance(self.weights, str):
                problems.append(f"weights: expected a list of numbers, got {self.weights!r}")
            else:
                object.__setattr__(self, "weights", tuple(self.weights))
                for position, weight in enumerate(self.weights or ()):
                    problems += _not_number(f"weights[{position}]", weight)
        _raise(problems)


@final
@dataclass(frozen=True, kw_only=True)
class TaskArithmeticSettings:
    """What `task_arithmetic` can be told."""

    scaling_factor: float = 0.3
    """How far to go along the summed deltas."""

    def __post_init__(self) -> None:
        _raise(_not_number("scaling_factor", self.scaling_factor))


@final
@dataclass(frozen=True, kw_only=True)
class TiesSettings:
    """What `ties_merging` can be told."""

    scaling_factor: float = 0.3
    """How far to go along the merged delta."""
    density: float = 0.2
    """The fraction of each model's delta that is kept, from 0 (the base) to 1 (no trimming)."""
    scope: Scope = "model"
    """Whether the largest of the whole model are kept, or of each tensor."""
    merge_func: MergeFunc = "sum"
    """What becomes of the values that have the elected sign."""
    keep: Keep = "round"
    """How many of n values a density keeps: `round` the nearest whole number, `floor` the one below
    (mergekit), `official` one more than that (the paper's code, FusionBench). Values equal to the smallest
    kept one are kept in each."""
    zero_sign: ZeroSign = "majority"
    """The sign elected where the deltas cancel: that of most other elements, or plus."""
    counting: Counting = "unique"
    """How often a tied embedding counts in the model-wide cut: once, or as often as FusionBench counts it."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        problems = _not_number("scaling_factor", self.scaling_factor) + _not_density(self.density)
        for key, allowed in (
            ("scope", get_args(Scope)),
            ("merge_func", get_args(MergeFunc)),
            ("keep", get_args(Keep)),
            ("zero_sign", get_args(ZeroSign)),
            ("counting", get_args(Counting)),
        ):
            value = getattr(self, key)
            if value not in allowed:
                problems.append(unknown_name(key, str(value), allowed))
        _raise(problems)


def parse_settings(
    kind: type[S],
    given: Mapping[str, object],
    *,
    method: str,
    presets: Mapping[str, Mapping[str, object]],
) -> S:
    """Settings of one kind from the words of a configuration.

    Args:
        kind: the settings dataclass of the method.
        given: key to value; `preset` names one of `presets`, whose values stand behind the given ones.
        method: the method's name, for messages.
        presets: values by preset.

    Raises:
        UsageError: unknown keys, values or presets, all at once, with the nearest names.
    """
    values = dict(given)
    if presets:
        name = str(values.get("preset", "none"))
        if name not in presets:
            raise UsageError(unknown_name(f"preset of {method}", name, presets))
        values = {**presets[name], **_fusionbench_words(values, name), "preset": name}
    known = tuple(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
    unknown = [unknown_name(f"setting of {method}", key, known) for key in values if key not in known]
    if unknown:
        raise UsageError.of_problems(unknown)
    return kind(**values)


def replace_scaling_factor(settings: S, factor: float) -> S:
    """The same settings with another scaling factor."""
    return dataclasses.replace(settings, scaling_factor=factor)  # type: ignore[type-var]


def _fusionbench_words(given: Mapping[str, object], preset: str) -> dict[str, object]:
    """FusionBench's `threshold` (a percent above 1, else a fraction) and `remove_keys` in our words."""
    values = dict(given)
    if "threshold" not in values and "remove_keys" not in values:
        return values
    if preset != "fusionbench":
        raise UsageError(
            "threshold and remove_keys are FusionBench's words",
            where="ties_merging",
            fix="say density=0.2 for the top 20 %, or add preset=fusionbench",
        )
    if values.pop("remove_keys", None):
        raise UsageError(
            "remove_keys is not supported: with tied embeddings it fails in FusionBench too",
            where="ties_merging",
            fix="leave it out; counting=unique counts each tied tensor once",
        )
    if "threshold" in values:
        threshold = values.pop("threshold")
        if "density" in values:
            raise UsageError("density and threshold say the same thing", fix="leave one out")
        problems = _not_number("threshold", threshold)
        if problems:
            raise UsageError.of_problems(problems)
        assert isinstance(threshold, int | float)
        values["density"] = threshold / 100 if threshold > 1 else threshold
    return values


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise UsageError.of_problems(problems)


def _not_bool(key: str, value: object) -> list[str]:
    return [] if isinstance(value, bool) else [f"{key}: expected true or false, got {value!r}"]


def _not_number(key: str, value: object) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return [f"{key}: expected a finite number, got {value!r}"]
    return []


def _not_density(value: object) -> list[str]:
    problems = _not_number("density", value)
    if problems:
        return problems
    assert isinstance(value, int | float)
    if 1 < value <= 100:
        return [f"density: expected a fraction from 0 to 1, got {value:g}; fix: density={value / 100:g}"]
    return [] if 0 <= value <= 1 else [f"density: expected a fraction from 0 to 1, got {value:g}"]
