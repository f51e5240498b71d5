"""Pearson's and Spearman's correlation of numbers; a text that is no number counts as 0.0."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ramekin.errors import DataError
from ramekin.text.answers import parse_number, parse_numbers
from ramekin.text.metrics.bootstrap import bootstrapped
from ramekin.text.metrics.classes import class_counts
from ramekin.text.metrics.metric import Metric, Resampler, no_majority
from ramekin.text.metrics.notes import joined
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ramekin.text.metrics.values import Floats

__all__ = ["PEARSON", "SPEARMAN", "constant_note"]

_UNDEFINED = "correlation undefined, reported as 0"


def constant_note(predictions: Sequence[object], targets: Sequence[object]) -> str:
    """Why a correlation is undefined, or nothing."""
    if len(targets) < 2:
        return f"fewer than two examples: {_UNDEFINED}"
    if len(set(predictions)) == 1:
        return f"constant predictions: {_UNDEFINED}"
    return f"constant targets: {_UNDEFINED}" if len(set(targets)) == 1 else ""


def _pearson(answers: Answers, seed: int) -> Score:
    """Pearson's product-moment correlation of the numbers."""
    from scipy import stats

    return _correlation("pearson", stats.pearsonr, _pearson_prepare(answers), answers, seed)


def _spearman(answers: Answers, seed: int) -> Score:
    """Spearman's rank correlation with mean ranks for ties."""
    from scipy import stats

    return _correlation("spearman", stats.spearmanr, _spearman_prepare(answers), answers, seed)


def _correlation(
    name: str, measure: Callable[..., Any], resampler: Resampler, answers: Answers, seed: int
) -> Score:
    targets = _target_numbers(answers.targets)
    parsed = parse_numbers(answers.predictions)
    note = constant_note(parsed.values, targets)
    value = 0.0
    if not note:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nearly constant input, overflow: seen in the value itself
            value = float(measure(parsed.values, targets).statistic)
        if not math.isfinite(value):
            value, note = 0.0, f"numbers too large or too close together: {_UNDEFINED}"
    counted = f"{parsed.unparsable} unparsable predictions counted as 0.0" if parsed.unparsable else ""
    return bootstrapped(
        name,
        answers,
        resampler,
        seed,
        value=value,
        unparsable=parsed.unparsable,
        note=joined(note, counted),
    )


def _target_numbers(targets: Sequence[str]) -> tuple[float, ...]:
    numbers = []
    for position, text in enumerate(targets):
        number = parse_number(text)
        if number is None:
            raise DataError(
                "a correlation needs numeric targets",
                where=f"target {position}",
                expected="a finite number",
                got=repr(text),
            )
        numbers.append(number)
    return tuple(numbers)


def _pearson_prepare(answers: Answers) -> Resampler:
    x, y = _numbers(answers)
    return lambda drawn: _correlations(drawn, x, y)


def _spearman_prepare(answers: Answers) -> Resampler:
    first, second = map(_ranker, _numbers(answers))
    return lambda drawn: _correlations(drawn, first(drawn), second(drawn))


def _ranker(numbers: "Floats") -> "Callable[[Floats], Floats]":
    """From draws to the rank of each number within each of them, ties at their mean: (resamples, n)."""
    import numpy as np

    _, place = np.unique(numbers, return_inverse=True)
    classes = int(place.max()) + 1

    def ranked(drawn: "Floats") -> "Floats":
        equal = class_counts(drawn, place, classes)
        ranks: Floats = (np.cumsum(equal, axis=1) - (equal - 1) / 2)[:, place]
        return ranks

    return ranked


def _numbers(answers: Answers) -> "tuple[Floats, Floats]":
    import numpy as np

    return np.array(parse_numbers(answers.predictions).values), np.array(_target_numbers(answers.targets))


def _correlations(drawn: "Floats", x: "Floats", y: "Floats") -> "Floats":
    """Pearson's correlation of each draw: (resamples, n), numbers of its width -> (resamples,).

    It is 0 where it is undefined.
    """
    import numpy as np

    # a constant draw is told by its ends: subtracting its mean leaves rounding dust that would correlate
    varied = _is_varied(drawn, x) & _is_varied(drawn, y)
    with np.errstate(over="ignore", invalid="ignore"):
        size = drawn.sum(axis=1, keepdims=True)
        x = x - (drawn * x).sum(axis=1, keepdims=True) / size
        y = y - (drawn * y).sum(axis=1, keepdims=True) / size
        weighted = drawn * x
        shared, spread_x = (weighted * y).sum(axis=1), (weighted * x).sum(axis=1)
        spread = np.sqrt(spread_x * (drawn * y * y).sum(axis=1))
        values = shared / np.where(spread > 0, spread, 1.0)
    defined = varied & (spread > 0) & np.isfinite(values)
    return np.where(defined, np.clip(values, -1.0, 1.0), 0.0)


def _is_varied(drawn: "Floats", numbers: "Floats") -> "NDArray[np.bool_]":
    """Whether each draw holds two different numbers."""
    import numpy as np

    held = drawn > 0
    highest = np.where(held, numbers, -np.inf).max(axis=1)
    different: NDArray[np.bool_] = highest > np.where(held, numbers, np.inf).min(axis=1)
    return different


PEARSON = Metric("pearson", _pearson, _pearson_prepare, no_majority)
"""In [-1, 1]."""
SPEARMAN = Metric("spearman", _spearman, _spearman_prepare, no_majority)
"""In [-1, 1]."""
