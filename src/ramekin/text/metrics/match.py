"""Metrics that ask whether an answer is a reference, both in the form in which they are compared."""

from collections import Counter
from collections.abc import Callable

from ramekin.text.metrics.mean import expected_grade, grades, mean_resampler
from ramekin.text.metrics.metric import Metric
from ramekin.text.metrics.notes import text_note
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score, binomial_error, wilson_interval

__all__ = ["commonest", "match_metric"]


def match_metric(name: str, form: Callable[[str], str], unparsable: Callable[[Answers], int]) -> Metric:
    """The share of predictions that equal a reference; Wilson's interval.

    Args:
        name: the metric's.
        form: of a text, what is compared.
        unparsable: how many predictions are no answers.
    """

    def same(prediction: str, reference: str) -> float:
        return float(form(prediction) == form(reference))

    def compute(answers: Answers, seed: int) -> Score:
        right, n = sum(grades(same, answers)), len(answers.targets)
        low, high = wilson_interval(round(right), n)
        return Score(
            name,
            right / n,
            n,
            low,
            high,
            expected_grade(same, answers),
            binomial_error(right / n, n),
            unparsable=unparsable(answers),
            note=text_note(answers),
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
