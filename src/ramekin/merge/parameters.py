"""Numbers that a merge may be told once, for each model, for each layer, or along the depth of the network.

    0.3                                    one number
    [0.3, 0.5]                             one for each model, where a method takes one a model
    {'encoder': 0.2, '.*': 0.4}            by tensor: the first regular expression found in its name
    {depth: [0.1, 0.5, 0.3]}               along the depth: these values evenly spaced, straight lines between
    {stack: [0.1, 0.5, 0.3]}               the same along the encoder's layers and again along the decoder's

A value of a list may itself be by pattern or along the depth, one of a pattern along the depth. The depth of
a tensor is 0 at the embedding and 1 at the head; the layers lie between, the encoder's before the decoder's
(`depths`). Along the stacks a tensor of no layer has the first value. This module knows nothing of files or
methods.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError

__all__ = [
    "Depth",
    "Parameter",
    "PerModel",
    "Values",
    "check_number",
    "check_share",
    "depths",
    "for_models",
    "layer_places",
    "parse_parameter",
    "parse_per_model",
    "places",
]

Check = Callable[[str, object], list[str]]
"""From a key and a value, what is wrong with it."""

_AXES = {"depth": "network", "stack": "stack"}
_LARGEST = (2 - 2**-23) * 2.0**127  # of fp32, in which all is computed
_SMALLEST_SHARE = 1e-30  # whose inverse fp32 has too
_STACKS = ("encoder", "decoder")
_LAYER = re.compile(r"(?:^|\.)(encoder|decoder)\..*?(?:block|layers?)\.(\d+)\.")


@final
@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that may differ from tensor to tensor."""

    rules: tuple[tuple[str | None, "Values"], ...]
    """Patterns with their values; None is every name."""

    @classmethod
    def of(cls, value: float) -> "Parameter":
        """One number for every tensor."""
        return cls(((None, Values((float(value),))),))

    def at(self, name: str, depth: "float | Depth" = 0.0) -> float:
        """The number for a tensor.

        Args:
            name: the tensor.
            depth: where it is, see `depths`; a number is its place in the network and in its stack.

        Raises:
            UsageError: no pattern is found in its name.

        >>> parse_parameter("density", {"encoder": 0.2, ".*": {"depth": [0.0, 1.0]}}).at("decoder.x", 0.25)
        0.25
        """
        for pattern, values in self.rules:
            if pattern is None or re.search(pattern, name):
                place = depth if isinstance(depth, float | int) else getattr(depth, _AXES[values.axis])
                return _along(values.numbers, place)
        raise UsageError(
            "no pattern of a parameter is found in the name of a tensor",
            where=name,
            expected=" or ".join(repr(pattern) for pattern, _ in self.rules),
            fix="end the patterns with '.*': VALUE for all others",
            kind="pattern",
        )

    @property
    def constant(self) -> float | None:
        """The number, where it is one for every tensor."""
        pattern, values = self.rules[0]
        return values.numbers[0] if pattern is None and len(values.numbers) == 1 else None

    def to_json(self) -> object:
        """What `parse_parameter` makes this of."""
        plain = {pattern: values.to_json() for pattern, values in self.rules}
        return plain.get(None, plain)


@final
@dataclass(frozen=True, slots=True)
class Values:
    """One number, or several evenly spaced along an axis of the network."""

    numbers: tuple[float, ...]
    axis: str = "depth"
    """`depth` through the whole network, or `stack` by stack."""

    def to_json(self) -> object:
        """What it is made of again."""
        return self.numbers[0] if len(self.numbers) == 1 else {self.axis: list(self.numbers)}


@final
@dataclass(frozen=True, slots=True)
class Depth:
    """Where a tensor is, from 0 to 1."""

    network: float
    """From the embedding to the head, the encoder before the decoder."""
    stack: float
    """From the first to the last layer of its own stack; 0 for a tensor of no layer."""


PerModel = tuple[Parameter, ...]
"""One parameter for each model, or one alone for all of them."""


def parse_parameter(key: str, given: object, *, check: Check | None = None) -> Parameter:
    """A parameter from the words of a configuration.

    Args:
        key: what it is called, for messages.
        given: a number, `{PATTERN: …}` or `{depth: […]}`; a `Parameter` passes.
        check: what a number must be; any finite one by default.

    Raises:
        UsageError: something else was given; all problems at once.
    """
    if isinstance(given, Parameter):
        return given
    problems: list[str] = []
    rules = _rules(key, given, check or check_number, problems)
    if problems:
        raise UsageError.of_problems(problems)
    return Parameter(tuple(rules))


def parse_per_model(key: str, given: object, *, check: Check | None = None) -> PerModel:
    """One parameter, or a list of one for each model.

    Raises:
        UsageError: as `parse_parameter` does.

    >>> [each.at("w") for each in parse_per_model("weight", [1, 0.5])]
    [1.0, 0.5]
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        return (parse_parameter(key, given, check=check),)
    if not given:
        raise UsageError(f"{key}: expected a number for each model, got an empty list")
    return tuple(parse_parameter(f"{key}[{place}]", each, check=check) for place, each in enumerate(given))


def for_models(values: PerModel, num_models: int, *, key: str) -> PerModel:
    """One parameter a model, from one for all or one for each.

    Raises:
        UsageError: another number of them.
    """
    if len(values) == 1:
        return values * num_models
    if len(values) != num_models:
        raise UsageError(
            f"{key} must be one number, or one for each model",
            expected=f"{num_models} numbers",
            got=str(len(values)),
            fix=f"give method.{key} one number, or as many as there are models",
            kind="values-per-model",
        )
    return values


def check_number(key: str, value: object) -> list[str]:
    """What is wrong with a value that must be a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        return [f"{key}: expected a finite number, got {value!r}"]
    return []


def check_share(key: str, value: object) -> list[str]:
    """What is wrong with a value that must be a share, from 0 to 1."""
    problems = check_number(key, value)
    if problems:
        return problems
    assert isinstance(value, int | float)
    if 1 < value <= 100:
        return [f"{key}: expected a fraction from 0 to 1, got {value:g}; fix: {key}={value / 100:g}"]
    if 0 < value < _SMALLEST_SHARE:
        return [f"{key}: expected 0, or a fraction from {_SMALLEST_SHARE:g} to 1, got {value:g}"]
    return [] if 0 <= value <= 1 else [f"{key}: expected a fraction from 0 to 1, got {value:g}"]


def depths(names: Iterable[str]) -> dict[str, float]:
    """Where each tensor is between the embedding (0) and the head (1).

    The layers of the encoder come first, then those of the decoder, evenly spaced, the first at 0 and the
    last at 1. What belongs to no layer is at the end of what it stands next to: an embedding at 0, the
    encoder's last normalisation at the encoder's last layer, the decoder's and the head at 1.

    >>> depths(["shared.weight", "encoder.block.0.a", "encoder.block.1.a", "decoder.block.0.a"])
    {'encoder.block.0.a': 0.0, 'encoder.block.1.a': 0.5, 'decoder.block.0.a': 1.0, 'shared.weight': 0.0}
    """
    names = tuple(names)
    found = layer_places(names)
    encoder = max((found[name] for name in found if "encoder." in name), default=0.0)
    for name in names:
        if name in found:
            continue
        if "embed" in name or "shared" in name:
            found[name] = 0.0
        else:
            found[name] = encoder if "encoder." in name else 1.0
    return found


def places(names: Iterable[str]) -> dict[str, Depth]:
    """Where each tensor is, in the network and in its stack."""
    names = tuple(names)
    by_stack = layer_places(names, by_stack=True)
    return {name: Depth(depth, by_stack.get(name, 0.0)) for name, depth in depths(names).items()}


def layer_places(names: Iterable[str], *, by_stack: bool = False) -> dict[str, float]:
    """Where the layer of each tensor is, from 0 for the first to 1 for the last; without those in none.

    Args:
        names: the tensors of a model.
        by_stack: encoder and decoder each from 0 to 1, instead of the one before the other.

    >>> layer_places(["encoder.block.0.a", "decoder.block.0.a", "decoder.block.1.a"], by_stack=True)
    {'encoder.block.0.a': 0.0, 'decoder.block.0.a': 0.0, 'decoder.block.1.a': 1.0}
    """
    layers = {name: (match[1], int(match[2])) for name in names if (match := _LAYER.search(name))}
    counts = {stack: 1 + max((i for s, i in layers.values() if s == stack), default=-1) for stack in _STACKS}
    if by_stack:
        return {name: index / max(1, counts[stack] - 1) for name, (stack, index) in layers.items()}
    last = max(1, sum(counts.values()) - 1)
    before = {"encoder": 0, "decoder": counts["encoder"]}
    return {name: (before[stack] + index) / last for name, (stack, index) in layers.items()}


def _along(values: Sequence[float], depth: float) -> float:
    place = depth * (len(values) - 1)
    left = min(int(place), max(0, len(values) - 2))
    if len(values) == 1 or place == left:
        return values[left]
    if place == left + 1:
        return values[left + 1]  # the line does not end there to the last bit
    return values[left] + (values[left + 1] - values[left]) * (place - left)


def _rules(key: str, given: object, check: Check, problems: list[str]) -> list[tuple[str | None, Values]]:
    if not isinstance(given, Mapping):
        found = check(key, given)
        problems += found
        return [] if found else [(None, Values((float(given),)))]  # type: ignore[arg-type]
    if _is_gradient(given):
        ((axis, values),) = given.items()
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            problems.append(f"{key}.{axis}: expected a list of numbers, got {values!r}")
            return []
        for place, value in enumerate(values):
            problems += check(f"{key}.{axis}[{place}]", value)
        return [] if problems else [(None, Values(tuple(float(value) for value in values), axis))]
    if not given:
        problems.append(f"{key}: expected at least one pattern")
    rules: list[tuple[str | None, Values]] = []
    for pattern, value in given.items():
        try:
            re.compile(str(pattern))
        except re.error as error:
            problems.append(f"{key}: {pattern!r} is not a regular expression: {error}")
        if isinstance(value, Mapping) and not _is_gradient(value):
            problems.append(f"{key}.{pattern}: expected a number or {{depth: [...]}}, got {value!r}")
            continue
        rules += [(str(pattern), values) for _, values in _rules(f"{key}.{pattern}", value, check, problems)]
    return rules


def _is_gradient(given: Mapping[object, object]) -> bool:
    """Whether a mapping is values along an axis, and no patterns."""
    return len(given) == 1 and next(iter(given)) in _AXES
