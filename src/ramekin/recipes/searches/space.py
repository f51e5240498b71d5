"""What a search goes over: numbers between bounds, as a point of the unit cube and as a method's settings.

Knows nothing of what a point is worth.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

__all__ = ["Dimension", "Space", "space_of"]

_STEPS = 3  # decimals of the width of a range that a value is rounded to


@final
@dataclass(frozen=True, slots=True)
class Dimension:
    """One number."""

    key: str
    """Of the method."""
    model: int | None
    """The place of the model whose number it is; None where the method has one for all."""
    low: float
    high: float

    def value(self, place: float) -> float:
        """The value at a place between 0 and 1, rounded to a thousandth of the range or finer.

        >>> Dimension("scaling_factor", None, 0, 2).value(0.33333)
        0.667
        """
        inside = self.low + min(1.0, max(0.0, place)) * (self.high - self.low)
        return round(inside, _STEPS - math.floor(math.log10(self.high - self.low)))

    def place(self, value: float) -> float:
        """Where a value is between the bounds, 0 to 1; beyond them at the nearer end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@final
@dataclass(frozen=True, slots=True)
class Space:
    """All numbers that are searched."""

    dimensions: tuple[Dimension, ...]

    def settings(self, point: Sequence[float]) -> dict[str, float | list[float]]:
        """The method's settings at a point of the unit cube.

        >>> space = space_of({"scaling_factor": (0, 1), "weights": (0, 2)}, ["weights"], num_models=2)
        >>> space.settings([0.25, 0.5, 1])
        {'scaling_factor': 0.25, 'weights': [1.0, 2.0]}
        """
        found: dict[str, float | list[float]] = {}
        for dimension, place in zip(self.dimensions, point, strict=True):
            value = dimension.value(place)
            if dimension.model is None:
                found[dimension.key] = value
            else:
                listed = found.setdefault(dimension.key, [])
                assert isinstance(listed, list)  # a key is searched by model, or it is not
                listed.append(value)
        return found

    def start(self, settings: Mapping[str, Any]) -> tuple[float, ...]:
        """Where the given settings are, as a point of the unit cube; the middle where they give no number."""
        return tuple(self._start(dimension, settings) for dimension in self.dimensions)

    def _start(self, dimension: Dimension, settings: Mapping[str, Any]) -> float:
        value = settings.get(dimension.key)
        if isinstance(value, Sequence) and not isinstance(value, str) and dimension.model is not None:
            value = value[dimension.model] if dimension.model < len(value) else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return dimension.place(float(value)) if is_number else 0.5  # type: ignore[arg-type]


def space_of(over: Mapping[str, tuple[float, float]], by_model: Sequence[str], *, num_models: int) -> Space:
    """The space of some keys between bounds.

    Args:
        over: the bounds of each key.
        by_model: those that have a number for each model.
        num_models: how many models there are.
    """
    return Space(
        tuple(
            Dimension(key, model, low, high)
            for key, (low, high) in over.items()
            for model in (range(num_models) if key in by_model else (None,))
        )
    )
