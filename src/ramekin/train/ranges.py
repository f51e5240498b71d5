"""Ranges of a recipe's numbers, told in words."""

import math
from collections.abc import Mapping

__all__ = ["Range", "out_of_range"]

Range = tuple[float, float, bool]
"""(lowest, highest, whether the lowest is allowed); the highest is."""


def out_of_range(values: Mapping[str, float | None], ranges: Mapping[str, Range]) -> list[str]:
    """What is wrong with each number that has a range; None is left out.

    >>> out_of_range({"dropout": 2.0, "epochs": None}, {"dropout": (0, 0.99, True), "epochs": (1, 9, True)})
    ['dropout: expected >= 0 and <= 0.99, got 2.0']
    """
    problems = []
    for key, (low, high, low_is_in) in ranges.items():
        value = values[key]
        if value is None:
            continue
        inside = (low <= value if low_is_in else low < value) and value <= high
        if not inside:
            sign = ">=" if low_is_in else ">"
            bound = "" if high == math.inf else f" and <= {high:g}"
            problems.append(f"{key}: expected {sign} {low:g}{bound}, got {value}")
    return problems
