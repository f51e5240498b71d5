"""Which evaluation was the best, and when to stop waiting for a better one.

Pure functions of the evaluations: nothing is stored that these can compute, so that a resumed run decides
as an undisturbed one. Knows nothing of models or files.
"""

import math
from collections.abc import Mapping, Sequence

from ramekin.errors import UsageError
from ramekin.registry import unknown_name
from ramekin.train.events import EvalDone
from ramekin.train.recipe import Recipe

__all__ = ["best_evaluation", "improves", "is_exhausted", "refuse_blind"]


def refuse_blind(recipe: Recipe, *, evaluates: bool) -> None:
    """Refuse to select by a metric where nothing is evaluated.

    Raises:
        UsageError: the recipe selects, and there is no evaluation.
    """
    if recipe.best_metric is not None and not evaluates:
        raise UsageError(
            "there is no evaluation to select the model by",
            where="best_metric",
            expected=f"an evaluation that finds '{recipe.best_metric}'",
            got="none",
            fix="give an on_eval, or leave best_metric out",
        )


def best_evaluation(evals: Sequence[EvalDone], recipe: Recipe) -> EvalDone | None:
    """The evaluation that selects the model: of equal ones the first; None without a metric to select by."""
    best = [result for result in evals if result.is_best]
    return best[-1] if best and recipe.best_metric is not None else None


def improves(metrics: Mapping[str, float], before: Sequence[EvalDone], recipe: Recipe) -> bool:
    """Whether an evaluation is better than all before it by the recipe's metric.

    Raises:
        UsageError: the evaluation has no such metric.
    """
    if recipe.best_metric is None:
        return False
    value = _value(metrics, recipe)
    if math.isnan(value):
        return False
    best = best_evaluation(before, recipe)
    return best is None or value > _value(best.metrics, recipe)


def is_exhausted(evals: Sequence[EvalDone], recipe: Recipe) -> bool:
    """Whether the last `recipe.patience` evaluations brought nothing better."""
    if recipe.best_metric is None or recipe.patience is None:
        return False
    since = 0
    for result in evals:
        since = 0 if result.is_best else since + 1
    return since >= recipe.patience


def _value(metrics: Mapping[str, float], recipe: Recipe) -> float:
    """The metric, so that more is better."""
    name = recipe.best_metric
    assert name is not None
    if name not in metrics:
        raise UsageError(unknown_name("metric", name, metrics), where="best_metric")
    return metrics[name] if recipe.best_value == "highest" else -metrics[name]
