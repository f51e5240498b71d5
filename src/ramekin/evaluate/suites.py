"""From the scores of a suite's parts to one number: over templates, tasks and parts, and how sure it is.

An entry is one task of a suite under one or several templates and label words. Its score is their mean or
median; its interval resamples the rows once for all of them, since they are the same rows. Entries of other
rows are independent. Which share an entry has, `text.suite` knows; this module knows nothing of their form.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import TaskEvaluation
from ramekin.evaluate.spread import Over, template_draws
from ramekin.evaluate.statistics import Comparison, bootstrap_comparison, check_paired
from ramekin.text.score import Score, normalised_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Average", "EntryScore", "compare_suites", "entry_score", "suite_average"]


@final
@dataclass(frozen=True)
class EntryScore:
    """One task of a suite, over its templates."""

    parts: tuple[TaskEvaluation, ...]
    over: Over
    score: Score
    seed: int = 0

    @property
    def majority(self) -> float:
        """What the best constant answer of each template reaches, taken together as the score is."""
        levels = [part.majority[part.headline.metric] for part in self.parts]
        return statistics.mean(levels) if self.over == "mean" else statistics.median(levels)

    @cached_property
    def draws(self) -> "NDArray[np.float64]":
        """The score on resampled rows: (1000,)."""
        return template_draws(self.parts, over=self.over, seed=self.seed)


@final
@dataclass(frozen=True, slots=True)
class Average:
    """The score of a suite, or of a part of it."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    chance: float
    """What guessing reaches."""
    num_tasks: int
    n: int
    """Examples in all tasks together."""


def entry_score(parts: Sequence[TaskEvaluation], *, over: Over = "mean", seed: int = 0) -> EntryScore:
    """The score of one task under several templates or label words.

    Args:
        parts: the task under each.
        over: what of their headlines is the task's.
        seed: of the interval.

    Raises:
        DataError: there are none, or they were scored by different metrics.
    """
    import numpy as np

    if not parts:
        raise DataError("there is nothing to score", expected="at least one template", got="none")
    metrics = sorted({part.headline.metric for part in parts})
    if len(metrics) > 1:
        raise DataError(
            "the templates of a task were scored by different metrics",
            where=parts[0].task,
            got=", ".join(metrics),
            fix="name one: metric=…",
        )
    if len(parts) == 1:
        return EntryScore(tuple(parts), over, parts[0].headline, seed)
    draws = template_draws(parts, over=over, seed=seed)
    low, high = np.percentile(draws, [2.5, 97.5])
    combine = np.mean if over == "mean" else np.median
    headlines = [part.headline for part in parts]
    if {each.value for each in headlines} <= {0.0, 1.0}:  # drawing all right or all wrong again is sure of it
        low, high = (combine([getattr(each, end) for each in headlines]) for end in ("low", "high"))
    score = Score(
        metrics[0],
        float(combine([each.value for each in headlines])),
        headlines[0].n,
        float(low),
        float(high),
        float(np.mean([each.chance for each in headlines])),
        float(np.std(draws, ddof=1)),
        unparsable=sum(each.unparsable for each in headlines),
        note=f"{over} of {len(parts)} prompts",
        clusters=headlines[0].clusters,
    )
    return EntryScore(tuple(parts), over, score, seed)


def suite_average(
    entries: Mapping[str, EntryScore], shares: Mapping[str, float], *, normalised: bool = False
) -> Average:
    """The headline of a suite: the sum of share times score.

    Its interval adds the distances to the ends of the entries' intervals in quadrature, each side by itself,
    as those of independent scores (MOVER: Zou and Donner 2008, https://doi.org/10.1002/sim.3095); unlike a
    resampled one it has a width where every answer is wrong. Entries that ask the same rows may err alike:
    their distances are added as they are, which is the widest that they can be together.

    Args:
        entries: by name.
        shares: of the same names; they sum to 1.
        normalised: each score x stands as (x - chance) / (1 - chance), Flan 2022's (arXiv 2210.11416).

    Raises:
        DataError: there are no entries, or the shares are of others.
    """
    _check_fit(entries, shares)
    value = chance = 0.0
    below: dict[tuple[str, str], float] = defaultdict(float)
    above: dict[tuple[str, str], float] = defaultdict(float)
    for name, entry in entries.items():
        low, middle, high = _on_scale(entry.score, normalised=normalised)
        rows = (entry.parts[0].task, entry.parts[0].split)
        value += shares[name] * middle
        chance += 0.0 if normalised else shares[name] * entry.score.chance
        below[rows] += shares[name] * (middle - low)
        above[rows] += shares[name] * (high - middle)
    return Average(
        value,
        value - math.hypot(*below.values()),
        value + math.hypot(*above.values()),
        chance,
        len(entries),
        sum(each.score.n for each in entries.values()),
    )


def compare_suites(
    first: Mapping[str, EntryScore],
    second: Mapping[str, EntryScore],
    shares: Mapping[str, float],
    *,
    normalised: bool = False,
) -> Comparison:
    """Compare two models by a suite's headline: the sum of share times difference, second minus first.

    Both are drawn the same rows, once for all templates of an entry.

    Args:
        first: the entries of one, by name.
        second: those of the other.
        shares: of the same names; they sum to 1.
        normalised: see `suite_average`.

    Raises:
        DataError: the entries or their shares differ, or a task's examples, templates or metric do.
    """
    import numpy as np

    for each in (first, second):
        _check_fit(each, shares)
    value, draws = 0.0, np.zeros(len(next(iter(first.values())).draws))
    for name, share in shares.items():
        one, other = first[name], second[name]
        if [part.name for part in one.parts] != [part.name for part in other.parts]:
            raise DataError(
                "the two models were not asked under the same templates",
                where=name,
                expected=", ".join(part.name for part in one.parts),
                got=", ".join(part.name for part in other.parts),
            )
        for pair in zip(one.parts, other.parts, strict=True):
            check_paired(*pair)
        chance = one.score.chance
        scale = share / (1 - chance) if normalised and chance != 1 else share
        value += scale * (other.score.value - one.score.value)
        draws += scale * (other.draws - one.draws)
    answers = [each.parts[0].answers for each in first.values()]
    return bootstrap_comparison(
        "average", value, draws, answers=answers, n=sum(each.score.n for each in first.values())
    )


def _check_fit(entries: Mapping[str, EntryScore], shares: Mapping[str, float]) -> None:
    if not entries or set(entries) != set(shares):
        raise DataError(
            "a suite's entries and shares do not fit",
            expected=", ".join(shares) or "at least one entry",
            got=", ".join(entries) or "none",
        )


def _on_scale(score: Score, *, normalised: bool) -> tuple[float, float, float]:
    """Lower end, value and upper end; of a score that is better the lower it is, the ends change sides."""
    ends = (score.low, score.value, score.high)
    if not normalised:
        return ends
    low, value, high = sorted(normalised_value(each, score.chance) for each in ends)
    return low, value, high
