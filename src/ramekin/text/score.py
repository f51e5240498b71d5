"""A score: a number that says how sure it is and what blind guessing would reach.

It knows how intervals are made, not which metric made the number.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, final

__all__ = [
    "LOWER_IS_BETTER",
    "Z_95",
    "Score",
    "binomial_error",
    "have_a_mean",
    "normalised_value",
    "wilson_interval",
]

Z_95 = 1.959963984540054
"""The normal distribution's 97.5th percentile: half a 95 % interval is so many standard errors."""


LOWER_IS_BETTER: Final = frozenset({"perplexity"})
"""The metrics that are no fractions and of which less is better."""


@final
@dataclass(frozen=True, slots=True)
class Score:
    """One metric on one task.

    `value`, `low`, `high` and `chance` are fractions (an accuracy of 0.5, not 50) or, for
    correlations, lie in [-1, 1]; a perplexity is 1 or more.
    """

    metric: str
    """The metric's name, such as `accuracy`."""
    value: float
    """The score itself; never NaN (a metric that is undefined on its input says so in `note`)."""
    n: int
    """How many examples it was measured on."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    chance: float
    """What guessing without looking at the input reaches on average."""
    standard_error: float
    """Of a proportion by its formula, of every other metric the standard deviation of its bootstrap draws."""
    unparsable: int = 0
    """Predictions that could not be read as an answer and were counted as wrong (or as 0.0)."""
    note: str = ""
    """What a reader must know, such as "constant predictions: correlation undefined, reported as 0"."""
    clusters: int = 0
    """How many passages (or questions) the examples share, by which interval and standard error are made; 0:
    they are independent."""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "chance", "standard_error"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"Score.{name} must be finite, got {getattr(self, name)}")
        if self.standard_error < 0:
            raise ValueError(f"Score.standard_error must not be negative, got {self.standard_error}")

    @property
    def above_chance(self) -> bool:
        """Whether the 95 % interval lies wholly on the better side of the chance level."""
        return self.high < self.chance if self.metric in LOWER_IS_BETTER else self.low > self.chance

    @property
    def normalised(self) -> float:
        """The value on the scale on which chance is 0 and 1 is 1; see `normalised_value`."""
        return normalised_value(self.value, self.chance)


def normalised_value(value: float, chance: float) -> float:
    """How much of the way from chance to 1 a value has gone: (value - chance) / (1 - chance).

    Flan 2022's normalised score (Chung et al. 2022, arXiv 2210.11416) as a fraction; below chance it is
    negative. Where chance is 1 there is no way to go, and the value stays as it is.

    >>> normalised_value(0.625, 0.25), normalised_value(0.4, 0.0), normalised_value(1.0, 1.0)
    (0.5, 0.4, 1.0)
    """
    return value if chance == 1 else (value - chance) / (1 - chance)


def have_a_mean(metrics: Collection[str]) -> bool:
    """Whether scores by these metrics have a mean: a perplexity is of another kind than a share.

    >>> have_a_mean({"accuracy", "spearman"}), have_a_mean({"accuracy", "perplexity"})
    (True, False)
    """
    return len(set(metrics)) == 1 or LOWER_IS_BETTER.isdisjoint(metrics)


def binomial_error(p: float, n: float) -> float:
    """The standard error of a proportion of n independent examples: sqrt(p (1 - p) / n).

    >>> binomial_error(0.5, 100)
    0.05
    """
    return math.sqrt(max(0.0, p * (1 - p)) / n)


def wilson_interval(successes: float, n: float, *, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927): sound at 0 and 1, unlike the normal one.

    Numbers need not be whole: n may be an effective number of examples, z a quantile of Student's t.

    >>> low, high = wilson_interval(50, 100)
    >>> round(low, 4), round(high, 4)
    (0.4038, 0.5962)
    """
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    denominator = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / denominator
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / denominator
    # rounding may put an end that is 0 or 1 beyond the proportion itself
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))
