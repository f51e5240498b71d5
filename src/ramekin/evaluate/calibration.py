"""Whether a model that ranks options is as sure as it is right: confidence against accuracy.

Confidence is the softmax over the scores that the options of an example were ranked by. Where these are sums
of log-probabilities that is the model's own distribution over the options (for `flipped` and `channel` by
Bayes' rule, all options equally likely beforehand). A mode that divides by length ranks by something else,
and then the confidence is that of what it ranks by. Knows nothing of modes and of how anything is shown.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import Prediction
from ramekin.text.score import wilson_interval

__all__ = [
    "Calibration",
    "ConfidenceBin",
    "Estimate",
    "calibration",
    "has_log_probabilities",
    "option_probabilities",
]

_ROUNDING: Final = 1e-6  # by so much a sum of log-probabilities may come out above 0
_Z: Final = 1.959963984540054


@final
@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over examples with its 95 % interval: 1.96 standard errors to either side, None of one."""

    value: float
    low: float | None
    high: float | None


@final
@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """The examples whose confidence lies in one part of the scale; there is one at least."""

    low: float
    """The lower edge, which belongs to the bin before."""
    high: float
    """The upper edge, which belongs to this one."""
    count: int
    confidence: float
    """Mean confidence of its examples."""
    accuracy: float
    """Share of its examples that are right."""
    accuracy_low: float
    """Lower end of the accuracy's 95 % interval (Wilson)."""
    accuracy_high: float
    """Upper end of the accuracy's 95 % interval."""


@final
@dataclass(frozen=True, slots=True)
class Calibration:
    """How confidence and accuracy go together; all but `n` and the log-likelihoods are fractions."""

    n: int
    bins: tuple[ConfidenceBin, ...]
    """Those with examples, from the least confident."""
    accuracy: float
    confidence: float
    """Mean confidence of the chosen options."""
    calibration_error: float
    """Expected calibration error: |accuracy − confidence| of the bins, weighted by their counts."""
    calibration_noise: float
    """What that error would be on average if the confidences were true, for so few examples."""
    brier: Estimate
    """Brier score: sum over options of (probability − outcome)², from 0 to 2."""
    negative_log_likelihood: Estimate
    """−log of the probability of the right option, in nats."""
    even_brier: float
    """The Brier score of giving all options the same probability."""
    even_negative_log_likelihood: float
    """The negative log-likelihood of giving all options the same probability."""


def option_probabilities(scores: Mapping[str, float]) -> dict[str, float]:
    """The softmax of what options were ranked by.

    >>> option_probabilities({"yes": -1.0, "no": -1.0})
    {'yes': 0.5, 'no': 0.5}
    """
    total = _log_sum(scores.values())
    return {option: math.exp(score - total) for option, score in scores.items()}


def has_log_probabilities(predictions: Sequence[Prediction]) -> bool:
    """Whether there is something to calibrate: every example has scored options, the right one among them.

    No log-probability is above 0; a score that is comes of something else, such as pointwise information.
    """
    return bool(predictions) and all(
        p.option_scores
        and all(math.isfinite(score) and score <= _ROUNDING for score in p.option_scores.values())
        and _right(p)
        and p.prediction in p.option_scores
        for p in predictions
    )


def calibration(predictions: Sequence[Prediction], *, num_bins: int = 10) -> Calibration:
    """Calibration of ranked answers (Guo et al. 2017, arXiv 1706.04599, equations 1 to 5; Brier 1950).

    Bin m of M holds the confidences in ((m − 1)/M, m/M]. Where several options count as right, they are one
    outcome, their probabilities added up. The calibration error is biased upwards, the more the fewer
    examples a bin has; `calibration_noise` says by how much it would be off if nothing were wrong (each bin's
    error then has the variance Σ c(1 − c), taken as normal).

    Args:
        predictions: answers with `option_scores`.
        num_bins: of equal width, from 0 to 1.

    Raises:
        DataError: there are no predictions, one has no scores that could be log-probabilities, its right
            answer is not among the options, or there is no bin.

    >>> scores = {"yes": math.log(0.8), "no": math.log(0.2)}
    >>> right = Prediction("a", "?", "yes", "yes", True, "yes", option_scores=scores)
    >>> wrong = Prediction("b", "?", "no", "yes", False, "yes", option_scores=scores)
    >>> found = calibration([right, right, right, wrong])
    >>> round(found.confidence, 2), found.accuracy, round(found.calibration_error, 2)
    (0.8, 0.75, 0.05)
    """
    if num_bins < 1:
        raise DataError("there are no bins", expected="num_bins of 1 or more", got=str(num_bins))
    _check(predictions)
    asked = [option_probabilities(p.option_scores) for p in predictions]
    sure = [found[p.prediction] for found, p in zip(asked, predictions, strict=True)]
    right = [p.prediction in _right(p) for p in predictions]
    bins = _bins(sure, right, num_bins)
    n = len(predictions)
    return Calibration(
        n=n,
        bins=bins,
        accuracy=sum(right) / n,
        confidence=math.fsum(sure) / n,
        calibration_error=math.fsum(each.count * abs(each.accuracy - each.confidence) for each in bins) / n,
        calibration_noise=_noise(sure, num_bins),
        brier=_mean([_brier(found, _right(p)) for found, p in zip(asked, predictions, strict=True)]),
        negative_log_likelihood=_mean([_surprise(p.option_scores, _right(p)) for p in predictions]),
        even_brier=_mean([_brier(_even(p), _right(p)) for p in predictions]).value,
        even_negative_log_likelihood=_mean(
            [-math.log(len(_right(p)) / len(p.option_scores)) for p in predictions]
        ).value,
    )


def _right(prediction: Prediction) -> list[str]:
    """The options that count as right."""
    accepted = {prediction.target, *prediction.references}
    return [option for option in prediction.option_scores if option in accepted]


def _even(prediction: Prediction) -> dict[str, float]:
    return dict.fromkeys(prediction.option_scores, 1 / len(prediction.option_scores))


def _check(predictions: Sequence[Prediction]) -> None:
    if not predictions:
        raise DataError("there is nothing to calibrate", expected="at least one ranked answer", got="none")
    for p in predictions:
        if not has_log_probabilities([p]):
            raise DataError(
                "an answer has no log-probabilities of its options to calibrate",
                where=p.id,
                expected="a score of 0 or less an option, the answer and the target among them",
                got=f"answer {p.prediction!r}, target {p.target!r}, scores {dict(p.option_scores)}"[:300],
                fix="use a mode that ranks options by their log-probability",
            )


def _log_sum(scores: Iterable[float]) -> float:
    values = list(scores)
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def _place(confidence: float, num_bins: int) -> int:
    """The bin of a confidence, from 0: an edge belongs to the bin below it."""
    edges = [(i + 1) / num_bins for i in range(num_bins)]
    return min(bisect_left(edges, confidence), num_bins - 1)


def _bins(sure: Sequence[float], right: Sequence[bool], num_bins: int) -> tuple[ConfidenceBin, ...]:
    members: dict[int, list[int]] = {}
    for i, confidence in enumerate(sure):
        members.setdefault(_place(confidence, num_bins), []).append(i)
    found = []
    for place, inside in sorted(members.items()):
        count, hits = len(inside), sum(right[i] for i in inside)
        low, high = wilson_interval(hits, count)
        mean = math.fsum(sure[i] for i in inside) / count
        found.append(
            ConfidenceBin(place / num_bins, (place + 1) / num_bins, count, mean, hits / count, low, high)
        )
    return tuple(found)


def _noise(sure: Sequence[float], num_bins: int) -> float:
    """The mean of |right − Σ c| of each bin, if each example were right with probability c."""
    variances: dict[int, float] = {}
    for confidence in sure:
        place = _place(confidence, num_bins)
        variances[place] = variances.get(place, 0.0) + confidence * max(0.0, 1 - confidence)
    return math.fsum(math.sqrt(2 / math.pi * variance) for variance in variances.values()) / len(sure)


def _brier(found: Mapping[str, float], right: Sequence[str]) -> float:
    hit = math.fsum(found[option] for option in right)
    return (1 - hit) ** 2 + math.fsum(p * p for option, p in found.items() if option not in right)


def _surprise(scores: Mapping[str, float], right: Sequence[str]) -> float:
    """−log of the share of the right options, exact where that share is too small for a number."""
    return _log_sum(scores.values()) - _log_sum([scores[option] for option in right])


def _mean(values: Sequence[float]) -> Estimate:
    n = len(values)
    value = math.fsum(values) / n
    if n < 2:
        return Estimate(value, None, None)
    half = _Z * math.sqrt(math.fsum((each - value) ** 2 for each in values) / (n - 1) / n)
    return Estimate(value, value - half, value + half)
