"""Metrics that ask whether an answer matches a reference, both in the form in which they are compared."""

import operator
from collections import Counter
from collections.abc import Callable

from ramekin.text.metrics.mean import expected_grade, grades, mean_resampler
from ramekin.text.metrics.metric import Metric
from ramekin.text.metrics.notes import class_note, joined, passage_note, text_note
from ramekin.text.metrics.proportion import proportion_score
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

__all__ = ["commonest", "match_metric"]


def match_metric(
    name: str,
    form: Callable[[str], str],
    unparsable: Callable[[Answers], int],
    *,
    matches: Callable[[str, str], bool] = operator.eq,
    note: Callable[[Answers], str] = lambda answers: "",
) -> Metric:
    """The share of predictions that match a reference; see `proportion_score`.

    Args:
        name: the metric's.
        form: of a text, what is compared.
        unparsable: how many predictions are no answers.
        matches: whether the form of a prediction matches that of a reference; by default, if they are equal.
        note: what else a reader must know.
    """

    def same(prediction: str, reference: str) -> float:
        return float(matches(form(prediction), form(reference)))

    def compute(answers: Answers, seed: int) -> Score:
        return proportion_score(
            name,
            [grade == 1 for grade in grades(same, answers)],
            answers.drawn_together,
            chance=expected_grade(same, answers),
            unparsable=unparsable(answers),
            note=joined(text_note(answers), class_note(answers), note(answers), passage_note(answers)),
        )

    return Metric(
        name,
        compute,
        lambda answers: mean_resampler(grades(same, answers)),
        lambda answers: commonest(answers, form)[1] / len(answers.targets),
    )


def commonest(answers: Answers, form: Callable[[str], str]) -> tuple[str, int]:
    """The answer that is right most often, and how often; of equals the last by alphabet."""
    counts = Counter(each for accepted in answers.accepted for each in set(map(form, accepted)))
    return max(counts.items(), key=lambda item: (item[1], item[0]))
