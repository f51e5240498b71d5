"""Metrics of a whole corpus: counts are added up over examples before anything is divided.

A resample adds up the same counts, so texts are read once however many draws there are.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ramekin.text.metrics.bootstrap import bootstrapped
from ramekin.text.metrics.metric import Metric, Resampler, no_majority
from ramekin.text.metrics.notes import joined, text_note
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats

__all__ = ["corpus_metric"]


def corpus_metric(
    name: str,
    counts: "Callable[[Answers], Floats]",
    value: "Callable[[Floats], Floats]",
    note: "Callable[[Floats], str] | None" = None,
) -> Metric:
    """A metric made of counts.

    Args:
        name: the metric's.
        counts: the counts of every example: (n, k).
        value: from sums of counts to the metric: (rows, k) -> (rows,).
        note: what a reader must know of the sums over all examples, (k,), if anything.
    """

    def compute(answers: Answers, seed: int) -> Score:
        each = counts(answers)
        said = joined(text_note(answers), "" if note is None else note(each.sum(axis=0)))
        return bootstrapped(name, answers, _resampler(each, value), seed, note=said)

    return Metric(name, compute, lambda answers: _resampler(counts(answers), value), no_majority)


def _resampler(each: "Floats", value: "Callable[[Floats], Floats]") -> Resampler:
    return lambda drawn: value(drawn @ each)
