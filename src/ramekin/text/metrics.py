"""Metrics over texts: from what was written and what should have been to a `Score` with its interval.

Accuracy carries Wilson's interval; every other metric the percentile bootstrap (Efron 1979) over examples.
A metric that is undefined on its input (a correlation with constant predictions) is 0.0 and says so in the
score's note: no score is ever NaN. Answers are compared character for character; `text/answers.py` says
what counts as a number. Knows nothing of models, tokens or tasks; numpy and scipy load on first use.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

from ramekin.errors import DataError, UsageError
from ramekin.registry import Registry
from ramekin.text.answers import parse_number, parse_numbers, parse_option
from ramekin.text.score import Score, wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Indices: TypeAlias = NDArray[np.int64]

__all__ = ["METRICS", "Answers", "Metric", "bootstrap_draws", "majority_level", "score_predictions"]

RESAMPLES = 1000
_CHUNK_CELLS = 4_000_000
_UNDEFINED = "correlation undefined, reported as 0"


@dataclass(frozen=True, slots=True)
class Answers:
    """What was written and what should have been, side by side.

    Raises:
        DataError: there are no answers, or not as many predictions as targets.
    """

    predictions: tuple[str, ...]
    targets: tuple[str, ...]
    options: tuple[str, ...] = ()
    """The admissible answers; empty for free text and numbers."""
    positive: str | None = None
    """The option F1 looks for; None: the second of two options, which is label 1."""

    def __post_init__(self) -> None:
        if len(self.predictions) != len(self.targets):
            raise DataError(
                "predictions and targets differ in number",
                expected=f"{len(self.targets)} predictions",
                got=str(len(self.predictions)),
            )
        if not self.targets:
            raise DataError("there is nothing to score", expected="at least one example", got="none")

    @property
    def unparsable(self) -> int:
        """How many predictions are none of the options (0 where there are no options)."""
        return sum(parse_option(text, self.options) is None for text in self.predictions)


@final
@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its value, its value on resampled examples, and what blind strategies reach.

    Calling it gives the score: `METRICS["accuracy"](predictions, targets, options=("yes", "no"))`.
    """

    name: str
    compute: Callable[[Answers, int], Score]
    """The score, with its interval made from the seed."""
    resample: "Callable[[Answers, Indices], Floats]"
    """Values at example indices (resamples, n) -> (resamples,); undefined ones are 0.0."""
    majority: Callable[[Answers], float]
    """What writing the best constant answer reaches."""

    def __call__(
        self,
        predictions: Sequence[str],
        targets: Sequence[str],
        *,
        options: Sequence[str] = (),
        positive: str | None = None,
        seed: int = 0,
    ) -> Score:
        """Score predictions against targets; see `score_predictions`."""
        return self.compute(Answers(tuple(predictions), tuple(targets), tuple(options), positive), seed)


def score_predictions(
    metric: str,
    predictions: Sequence[str],
    targets: Sequence[str],
    *,
    options: Sequence[str] = (),
    positive: str | None = None,
    seed: int = 0,
) -> Score:
    """Score predictions by the metric of that name.

    Args:
        metric: `accuracy`, `f1`, `matthews`, `pearson` or `spearman`.
        predictions: what the model wrote, a text an example.
        targets: what it should have written.
        options: the admissible answers, for the chance level and the count of unparsable answers.
        positive: for F1, the option that counts as positive.
        seed: of the bootstrap.

    Raises:
        UsageError: no such metric, or F1 without a positive option.
        DataError: nothing to score, unequal numbers, or a target that is no number for a correlation.

    >>> score = score_predictions("accuracy", ["yes", "maybe"], ["yes", "no"], options=["yes", "no"])
    >>> score.value, score.chance, score.unparsable
    (0.5, 0.5, 1)
    """
    return METRICS[metric](predictions, targets, options=options, positive=positive, seed=seed)


def majority_level(
    metric: str, targets: Sequence[str], *, options: Sequence[str] = (), positive: str | None = None
) -> float:
    """What the best constant answer reaches on these targets (0.0 for correlations).

    >>> majority_level("accuracy", ["yes", "no", "no"])
    0.6666666666666666
    """
    return METRICS[metric].majority(Answers(tuple(targets), tuple(targets), tuple(options), positive))


def bootstrap_draws(metric: str, answers: Answers, *, seed: int, resamples: int = RESAMPLES) -> "Floats":
    """The metric on `resamples` draws of n examples with repeats: (resamples,).

    Memory is bounded: the draws are made in chunks, and the same seed gives the same draws whatever n is
    compared, so two models on the same examples are resampled alike.
    """
    import numpy as np

    n = len(answers.targets)
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_CELLS // n)
    parts = [
        METRICS[metric].resample(answers, rng.integers(0, n, size=(min(rows, resamples - done), n)))
        for done in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def _bootstrapped(
    name: str, value: float, answers: Answers, seed: int, *, chance: float, unparsable: int, note: str
) -> Score:
    import numpy as np

    low, high = np.percentile(bootstrap_draws(name, answers, seed=seed), [2.5, 97.5])
    return Score(
        name, value, len(answers.targets), float(low), float(high), chance, unparsable=unparsable, note=note
    )


# accuracy


def _accuracy(answers: Answers, seed: int) -> Score:
    """Share of predictions equal to their target; chance is 1 / options, 0 for free text."""
    right = sum(map(str.__eq__, answers.predictions, answers.targets))
    n = len(answers.targets)
    low, high = wilson_interval(right, n)
    chance = 1 / len(answers.options) if answers.options else 0.0
    return Score("accuracy", right / n, n, low, high, chance, unparsable=answers.unparsable)


def _accuracy_resampled(answers: Answers, indices: "Indices") -> "Floats":
    import numpy as np

    right = np.array(list(map(str.__eq__, answers.predictions, answers.targets)), dtype=np.float64)
    resampled: Floats = right[indices].mean(axis=1)
    return resampled


def _accuracy_majority(answers: Answers) -> float:
    return Counter(answers.targets).most_common(1)[0][1] / len(answers.targets)


# F1 of one option


def _positive(answers: Answers) -> str:
    if answers.positive is not None:
        return answers.positive
    if len(answers.options) != 2:
        raise UsageError(
            "f1 needs to know which option is positive",
            expected="two options (the second is positive), or positive=OPTION",
            got=f"options {list(answers.options)}",
        )
    return answers.options[1]


def _f1(answers: Answers, seed: int) -> Score:
    """F1 of the positive option; an unparsable prediction is never positive.

    Chance is p / (p + 1/2): precision p (the positive share) and recall 1/2 of a fair coin.
    """
    import numpy as np

    positive = _positive(answers)
    value = float(_f1_resampled(answers, np.arange(len(answers.targets))[None, :])[0])
    share = answers.targets.count(positive) / len(answers.targets)
    note = "" if share else f"no target is '{positive}': f1 undefined, reported as 0"
    chance = share / (share + 0.5)
    return _bootstrapped("f1", value, answers, seed, chance=chance, unparsable=answers.unparsable, note=note)


def _f1_resampled(answers: Answers, indices: "Indices") -> "Floats":
    """2 TP / (2 TP + FP + FN), 0 where that is 0 / 0."""
    import numpy as np

    positive = _positive(answers)
    predicted = np.array([text == positive for text in answers.predictions])
    wanted = np.array([text == positive for text in answers.targets])
    both = (predicted & wanted)[indices].sum(axis=1)
    either = (predicted.astype(np.int64) + wanted)[indices].sum(axis=1)
    return np.where(either > 0, 2 * both / np.maximum(either, 1), 0.0)


def _f1_majority(answers: Answers) -> float:
    share = answers.targets.count(_positive(answers)) / len(answers.targets)
    return 2 * share / (1 + share)


# Matthews' correlation


def _matthews(answers: Answers, seed: int) -> Score:
    """Matthews' correlation (multi-class: Gorodkin's R_K, 2004); unparsable answers form one class."""
    import numpy as np

    value = float(_matthews_resampled(answers, np.arange(len(answers.targets))[None, :])[0])
    note = _constant_note(answers.predictions, answers.targets)
    return _bootstrapped(
        "matthews", value, answers, seed, chance=0.0, unparsable=answers.unparsable, note=note
    )


def _matthews_resampled(answers: Answers, indices: "Indices") -> "Floats":
    """(c s - p·t) / sqrt((s² - p·p) (s² - t·t)) from class counts p, t, agreements c and size s."""
    import numpy as np

    predicted, wanted, classes = _class_codes(answers)
    size = float(indices.shape[1])
    agreements = (predicted == wanted)[indices].sum(axis=1)
    p = _class_counts(predicted[indices], classes)
    t = _class_counts(wanted[indices], classes)
    spread = np.sqrt((size**2 - (p * p).sum(axis=1)) * (size**2 - (t * t).sum(axis=1)))
    shared = agreements * size - (p * t).sum(axis=1)
    return np.where(spread > 0, shared / np.where(spread > 0, spread, 1.0), 0.0)


def _class_codes(answers: Answers) -> "tuple[Indices, Indices, int]":
    import numpy as np

    read = [parse_option(text, answers.options) for text in answers.predictions]
    codes: dict[str | None, int] = {}
    for answer in (*answers.targets, *read):
        codes.setdefault(answer, len(codes))
    predicted = np.array([codes[answer] for answer in read], dtype=np.int64)
    wanted = np.array([codes[answer] for answer in answers.targets], dtype=np.int64)
    return predicted, wanted, len(codes)


def _class_counts(codes: "Indices", classes: int) -> "Floats":
    """Counts of each class a row: (rows, n) -> (rows, classes)."""
    import numpy as np

    rows = codes.shape[0]
    flat = (codes + classes * np.arange(rows)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * classes).reshape(rows, classes).astype(np.float64)


# correlations of numbers


def _pearson(answers: Answers, seed: int) -> Score:
    """Pearson's product-moment correlation of the numbers."""
    return _correlation("pearson", answers, seed)


def _spearman(answers: Answers, seed: int) -> Score:
    """Spearman's rank correlation with mean ranks for ties."""
    return _correlation("spearman", answers, seed)


def _correlation(name: str, answers: Answers, seed: int) -> Score:
    from scipy import stats

    targets = _target_numbers(answers.targets)
    parsed = parse_numbers(answers.predictions)
    note = _constant_note(parsed.values, targets)
    value = 0.0
    if not note:
        measure = stats.spearmanr if name == "spearman" else stats.pearsonr
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nearly constant input, overflow: seen in the value itself
            value = float(measure(parsed.values, targets).statistic)
        if not math.isfinite(value):
            value, note = 0.0, f"numbers too large or too close together: {_UNDEFINED}"
    if parsed.unparsable:
        counted = f"{parsed.unparsable} unparsable predictions counted as 0.0"
        note = f"{note}; {counted}" if note else counted
    return _bootstrapped(name, value, answers, seed, chance=0.0, unparsable=parsed.unparsable, note=note)


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


def _constant_note(predictions: Sequence[object], targets: Sequence[object]) -> str:
    if len(targets) < 2:
        return f"fewer than two examples: {_UNDEFINED}"
    if len(set(predictions)) == 1:
        return f"constant predictions: {_UNDEFINED}"
    return f"constant targets: {_UNDEFINED}" if len(set(targets)) == 1 else ""


def _pearson_resampled(answers: Answers, indices: "Indices") -> "Floats":
    import numpy as np

    x = np.array(parse_numbers(answers.predictions).values)
    y = np.array(_target_numbers(answers.targets))
    return _row_correlations(x[indices], y[indices])


def _spearman_resampled(answers: Answers, indices: "Indices") -> "Floats":
    import numpy as np
    from scipy.stats import rankdata

    x = np.array(parse_numbers(answers.predictions).values)
    y = np.array(_target_numbers(answers.targets))
    return _row_correlations(rankdata(x[indices], axis=1), rankdata(y[indices], axis=1))


def _row_correlations(x: "Floats", y: "Floats") -> "Floats":
    """Pearson's correlation of each row: (rows, n), (rows, n) -> (rows,); 0 where undefined."""
    import numpy as np

    # a constant row is told by its ends: subtracting its mean leaves rounding dust that would correlate
    varied = (x.max(axis=1) > x.min(axis=1)) & (y.max(axis=1) > y.min(axis=1))
    with np.errstate(over="ignore", invalid="ignore"):
        x = x - x.mean(axis=1, keepdims=True)
        y = y - y.mean(axis=1, keepdims=True)
        shared = (x * y).sum(axis=1)
        spread = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        values = shared / np.where(spread > 0, spread, 1.0)
    defined = varied & (spread > 0) & np.isfinite(values)
    return np.where(defined, np.clip(values, -1.0, 1.0), 0.0)


def _no_majority(answers: Answers) -> float:
    return 0.0


METRICS: Registry[Metric] = Registry(
    "metric",
    [
        (metric.name, metric)
        for metric in (
            Metric("accuracy", _accuracy, _accuracy_resampled, _accuracy_majority),
            Metric("f1", _f1, _f1_resampled, _f1_majority),
            Metric("matthews", _matthews, _matthews_resampled, _no_majority),
            Metric("pearson", _pearson, _pearson_resampled, _no_majority),
            Metric("spearman", _spearman, _spearman_resampled, _no_majority),
        )
    ],
)
"""Every metric by name."""
