"""How much a task's score depends on the words that it is asked in: its templates side by side.

T0's tables give the median and the quartiles over prompts (Sanh et al. 2021, arXiv 2110.08207). The same rows
are asked under every template, so that a hard row is hard for most of them: the interval of the mean over
templates resamples rows, or the passages that they share, once for all templates. The templates are taken as
they are: nothing is said of others that might have been written. Knows nothing of how a task is asked.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from ramekin.errors import DataError
from ramekin.evaluate.answers import clusters_of, questions_of
from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.text.metrics import METRICS
from ramekin.text.metrics.bootstrap import resampled_counts
from ramekin.text.metrics.values import drawn_together
from ramekin.text.score import LOWER_IS_BETTER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ramekin.text.metrics.metric import Resampler

__all__ = ["Over", "TemplateSpread", "template_draws", "template_spread"]

Over: TypeAlias = Literal["mean", "median"]
"""What of the values under several templates is the task's."""


@final
@dataclass(frozen=True, slots=True)
class TemplateSpread:
    """The headline values of one task under its templates."""

    task: str
    metric: str
    num_templates: int
    n: int
    """Different rows, whatever template asked them."""
    mean: float
    low: float
    """Lower end of the mean's 95 % interval."""
    high: float
    """Upper end of the mean's 95 % interval."""
    standard_error: float
    """Of the mean: the standard deviation of its bootstrap draws."""
    median: float
    lower_quartile: float
    """The 25th percentile; between two values it lies on the line that joins them, as numpy has it."""
    upper_quartile: float
    """The 75th percentile."""
    best: float
    best_template: str
    """Of equals the first."""
    worst: float
    worst_template: str
    """Of equals the first."""


def template_spread(
    parts: Sequence[TaskEvaluation], *, seed: int = 0, resamples: int = 1000
) -> TemplateSpread:
    """The spread of one task's headline score over its templates.

    Args:
        parts: the task under one template each, on one split. Rows that only some templates ask (P3's leave
            rows out) are drawn with the others; templates that have no row in common are independent.
        seed: of the draws.
        resamples: how many draws.

    Raises:
        DataError: there are no parts, or they differ in task, split or metric, or two are of one template.
    """
    import numpy as np

    _check(parts)
    values = [part.headline.value for part in parts]
    lower, median, upper = map(float, np.percentile(values, [25, 50, 75]))
    draws = template_draws(parts, seed=seed, resamples=resamples)
    low, high = map(float, np.percentile(draws, [2.5, 97.5]))
    ends = values.index(max(values)), values.index(min(values))
    best, worst = reversed(ends) if parts[0].headline.metric in LOWER_IS_BETTER else ends
    return TemplateSpread(
        task=parts[0].task,
        metric=parts[0].headline.metric,
        num_templates=len(parts),
        n=len(_rows(parts)),
        mean=sum(values) / len(values),
        low=low,
        high=high,
        standard_error=float(draws.std(ddof=1)),
        median=median,
        lower_quartile=lower,
        upper_quartile=upper,
        best=values[best],
        best_template=parts[best].template,
        worst=values[worst],
        worst_template=parts[worst].template,
    )


def _check(parts: Sequence[TaskEvaluation]) -> None:
    if not parts:
        raise DataError("there are no templates to compare", expected="at least one", got="none")
    first = parts[0]
    for part in parts:
        mine = (part.task, part.split, part.headline.metric)
        if mine != (first.task, first.split, first.headline.metric):
            raise DataError(
                "the templates are not of one task, split and metric",
                where=f"{part.task}#{part.template}",
                expected=f"{first.task}, {first.split}, {first.headline.metric}",
                got=", ".join(mine),
            )
    names = [(part.template, part.label) for part in parts]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError("a template stands twice", where=f"{first.task}#{twice[0]}")


def _rows(parts: Sequence[TaskEvaluation]) -> dict[str, Prediction]:
    """Every row that a template asks, by split and number; of several answers to it the first."""
    rows: dict[str, Prediction] = {}
    for part in parts:
        for prediction in part.predictions:
            rows.setdefault(_row(part, prediction), prediction)
    return rows


def _row(part: TaskEvaluation, prediction: Prediction) -> str:
    return prediction.id.removeprefix(f"{part.task}#{part.template}/")


def template_draws(
    parts: Sequence[TaskEvaluation], *, over: Over = "mean", seed: int = 0, resamples: int = 1000
) -> "NDArray[np.float64]":
    """The mean or median over the templates on every draw of rows: (resamples,).

    The same seed draws the same rows, whichever model answered them. A template with no row in a draw is left
    out of it.
    """
    import numpy as np

    rows = _rows(parts)
    place = {row: number for number, row in enumerate(rows)}
    asked = [np.array([place[_row(part, p)] for p in part.predictions]) for part in parts]
    measures = [METRICS[part.headline.metric].prepare(part.answers) for part in parts]
    clusters = clusters_of((p.passage, row) for row, p in rows.items())
    questions = questions_of((p.question, row) for row, p in rows.items())
    shared = drawn_together(len(rows), clusters, questions)
    digest = hashlib.sha256(f"{seed} {parts[0].task}/{parts[0].split}".encode()).digest()
    combine = np.nanmean if over == "mean" else np.nanmedian
    found = []
    for counts in resampled_counts(
        len(rows), shared, seed=int.from_bytes(digest[:8], "big"), resamples=resamples
    ):
        pairs = (
            _measured(measure, counts[:, places]) for places, measure in zip(asked, measures, strict=True)
        )
        values = [np.where(is_held, value, np.nan) for value, is_held in pairs]
        found.append(combine(values, axis=0))
    return np.concatenate(found)


def _measured(
    measure: "Resampler", drawn: "NDArray[np.float64]"
) -> "tuple[NDArray[np.float64], NDArray[np.bool_]]":
    """The metric on each draw, and whether the draw has any of its rows (else the value means nothing)."""
    is_held = drawn.sum(axis=1) > 0
    drawn[~is_held] = 1.0
    return measure(drawn), is_held
