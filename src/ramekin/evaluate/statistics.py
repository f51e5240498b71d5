"""Whether two models differ on the same examples, task by task and on average.

They are compared paired: McNemar's exact test (1947) for accuracy of independent examples, the paired
bootstrap, of passages where there are any, for everything else and for averages (the plain mean of the
headline scores; examples are resampled within each task, tasks being fixed and independent).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, final

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import TaskEvaluation
from ramekin.text.metrics import Answers, bootstrap_draws

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Comparison",
    "bootstrap_comparison",
    "check_paired",
    "compare",
    "compare_averages",
    "holm",
]


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """The second model against the first on the same examples."""

    metric: str
    """The metric, or `average`."""
    difference: float
    """Second minus first."""
    low: float
    """Lower end of the difference's 95 % interval (paired bootstrap)."""
    high: float
    """Upper end of the difference's 95 % interval."""
    p_value: float
    """Two-sided, of no difference."""
    n: int
    test: Literal["mcnemar_exact", "paired_bootstrap", "paired_cluster_bootstrap"]
    """McNemar's is not valid for examples that share passages; then passages are resampled."""


def compare(
    first: TaskEvaluation, second: TaskEvaluation, *, seed: int = 0, resamples: int = 1000
) -> Comparison:
    """Compare two models on one task by its headline metric.

    Raises:
        DataError: the two did not answer the same examples with the same metric.
    """
    check_paired(first, second)
    mine, others = _paired_answers(first, second)
    draws = _draws(second, others, seed, resamples) - _draws(first, mine, seed, resamples)
    low, high = _ends(draws)
    exact = first.headline.metric == "accuracy" and not _is_clustered(mine)
    return Comparison(
        metric=first.headline.metric,
        difference=second.headline.value - first.headline.value,
        low=low,
        high=high,
        p_value=_mcnemar(first, second) if exact else _bootstrap_p_value(draws, _units(mine)),
        n=first.n,
        test="mcnemar_exact" if exact else _bootstrap_name(mine),
    )


def compare_averages(
    first: Sequence[TaskEvaluation],
    second: Sequence[TaskEvaluation],
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> Comparison:
    """Compare two models by their average over the same tasks.

    Raises:
        DataError: the tasks, their examples or their metrics differ.
    """
    if [part.task for part in first] != [part.task for part in second] or not first:
        raise DataError(
            "the two models were not evaluated on the same tasks",
            expected=", ".join(part.task for part in first) or "at least one task",
            got=", ".join(part.task for part in second) or "none",
        )
    for one, other in zip(first, second, strict=True):
        check_paired(one, other)
    pairs = [_paired_answers(one, other) for one, other in zip(first, second, strict=True)]
    mine, others = zip(*pairs, strict=True)
    draws = _mean_draws(second, others, seed, resamples) - _mean_draws(first, mine, seed, resamples)
    gains = [b.headline.value - a.headline.value for a, b in zip(first, second, strict=True)]
    return bootstrap_comparison(
        "average", sum(gains) / len(gains), draws, answers=mine, n=sum(part.n for part in first)
    )


def bootstrap_comparison(
    metric: str, difference: float, draws: "NDArray[np.float64]", *, answers: Sequence[Answers], n: int
) -> Comparison:
    """A difference with the interval and the p-value of its paired draws.

    Args:
        metric: what it is a difference of.
        difference: second minus first.
        draws: the same on resampled examples: (resamples,).
        answers: of one of the two, those that are drawn independently of one another.
        n: examples in all.
    """
    low, high = _ends(draws)
    p_value = _bootstrap_p_value(draws, sum(map(_units, answers)))
    return Comparison(metric, difference, low, high, p_value, n, _bootstrap_name(*answers))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for being several, in their order (Holm 1979, Scand. J. Statist. 6, 65-70).

    The k-th smallest of m becomes the largest of (m - j + 1) p_j over j up to k, at most 1. Who takes those
    below 0.05 for differences is wrong about any of them in one case of twenty at most, however the tests
    depend on one another.

    >>> holm([0.25, 0.125, 0.0625])
    (0.25, 0.25, 0.1875)
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return tuple(adjusted)


def _paired_answers(first: TaskEvaluation, second: TaskEvaluation) -> tuple[Answers, Answers]:
    """The answers of both, in the clusters of one: an older evaluation does not know its passages."""
    mine, others = first.answers, second.answers
    clusters, questions = mine.clusters or others.clusters, mine.questions or others.questions
    return (
        replace(mine, clusters=clusters, questions=questions),
        replace(others, clusters=clusters, questions=questions),
    )


def _is_clustered(answers: Answers) -> bool:
    return answers.num_clusters > 0


def _bootstrap_name(*each: Answers) -> Literal["paired_bootstrap", "paired_cluster_bootstrap"]:
    return "paired_cluster_bootstrap" if any(map(_is_clustered, each)) else "paired_bootstrap"


def _draws(part: TaskEvaluation, answers: Answers, seed: int, resamples: int) -> "NDArray[np.float64]":
    """Resampled headline scores. The seed depends on the task, so tasks of one size are independent, and
    not on the model, so two models see the same draws.
    """
    digest = hashlib.sha256(f"{seed} {part.task}#{part.template}/{part.split}".encode()).digest()
    task_seed = int.from_bytes(digest[:8], "big")
    return bootstrap_draws(part.headline.metric, answers, seed=task_seed, resamples=resamples)


def _mean_draws(
    parts: Sequence[TaskEvaluation],
    answers: Sequence[Answers],
    seed: int,
    resamples: int,
) -> "NDArray[np.float64]":
    import numpy as np

    each = [_draws(*pair, seed, resamples) for pair in zip(parts, answers, strict=True)]
    mean: NDArray[np.float64] = np.mean(each, axis=0)
    return mean


def _ends(draws: "NDArray[np.float64]") -> tuple[float, float]:
    import numpy as np

    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _units(answers: Answers) -> int:
    """How many passages, or independent examples, are drawn."""
    return answers.num_clusters or len(answers.targets)


def _bootstrap_p_value(draws: "NDArray[np.float64]", units: int) -> float:
    """Twice the smaller share of draws on either side of 0, the observed sample counted as a draw.

    Where all units gain, so do all draws, however few units there are. Yet under no difference the signs of
    as many gains are alike once in 2^(units - 1) times (the sign test), so the value is never below that.
    """
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    return min(1.0, max(2 * (min(below, above) + 1) / (len(draws) + 1), 2.0 ** (1 - units)))


def _mcnemar(first: TaskEvaluation, second: TaskEvaluation) -> float:
    """The exact binomial test of the examples that only one of the two got right."""
    from scipy.stats import binomtest

    pairs = [(a.correct, b.correct) for a, b in zip(first.predictions, second.predictions, strict=True)]
    lost, gained = pairs.count((True, False)), pairs.count((False, True))
    if lost + gained == 0:
        return 1.0
    return float(binomtest(gained, lost + gained, 0.5).pvalue)


def check_paired(first: TaskEvaluation, second: TaskEvaluation) -> None:
    """Refuse two models' answers that are not to the same examples, by the same metric.

    Raises:
        DataError: they are not.
    """
    if first.headline.metric != second.headline.metric:
        raise DataError(
            "the two models were scored by different metrics",
            where=first.task,
            expected=first.headline.metric,
            got=second.headline.metric,
        )
    mine = [(p.id, p.target) for p in first.predictions]
    others = [(p.id, p.target) for p in second.predictions]
    if mine != others:
        raise DataError(
            "the two models did not answer the same examples",
            where=first.task,
            expected=f"{first.n} examples, beginning with {mine[0][0] if mine else 'none'}",
            got=f"{second.n} examples, beginning with {others[0][0] if others else 'none'}",
            fix="evaluate both with the same tasks, limit, template and mode",
        )
