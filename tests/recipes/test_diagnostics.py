"""From answered tasks to the pictures of a report."""

import math

import pytest

from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.recipes.diagnostics import confusion_of, reliability_of, spread_of
from ramekin.text.score import Score, wilson_interval


def answered(task, predictions=(), *, template="ask", value=0.5, options=("yes", "no"), metric="accuracy"):
    score = Score(metric, value, max(1, len(predictions)), 0.0, 1.0, 0.5, 0.1)
    return TaskEvaluation(
        task, template, "validation", MODES["generate"], "toy", options, (score,), {}, tuple(predictions), 1.0
    )


def ranked(row, target, *log_probs):
    scores = dict(zip(("yes", "no"), log_probs, strict=True))
    chosen = max(scores, key=lambda option: scores[option])
    return Prediction(f"r{row}", "?", target, chosen, chosen == target, chosen, option_scores=scores)


SURE = (math.log(0.9), math.log(0.1))


def test_each_group_of_several_templates_has_a_box() -> None:
    parts = [answered("a/b", template=name, value=value) for name, value in (("x", 0.2), ("y", 0.6))]
    plot = spread_of({"a/b": parts, "c/d": [answered("c/d", value=0.9)]}, caption="Mode t0.")
    assert plot is not None and plot.caption == "Mode t0."
    (box,) = plot.boxes
    assert (box.label, box.chance) == ("a/b", 0.5)
    assert [(point.name, point.value) for point in box.points] == [("x", 0.2), ("y", 0.6)]
    assert spread_of({"a/b": parts[:1]}) is spread_of({}) is None
    losses = [answered("a/b", template=name, metric="perplexity", value=20.0) for name in "xy"]
    assert spread_of({"a/b": losses}) is None, "a perplexity is no share"


def test_ranked_answers_have_a_reliability() -> None:
    part = answered("a/b", [ranked(0, "yes", *SURE), ranked(1, "no", *SURE)])
    found = reliability_of(part)
    assert found is not None and found.title == "Calibration of a/b#ask"
    assert (found.accuracy.value, found.accuracy.n) == (0.5, 2)
    assert (found.accuracy.low, found.accuracy.high) == wilson_interval(1, 2)
    assert found.confidence == pytest.approx(0.9) and found.calibration_error == pytest.approx(0.4)
    assert found.brier.value == pytest.approx((0.02 + 1.62) / 2) and found.brier.chance == pytest.approx(0.5)
    assert found.negative_log_likelihood.value == pytest.approx(-(math.log(0.9) + math.log(0.1)) / 2)
    (only,) = found.bins
    assert (only.count, only.accuracy.n, only.accuracy.value) == (2, 2, 0.5)
    assert "softmax" in found.caption


def test_several_tasks_are_pooled() -> None:
    first, second = answered("a/b", [ranked(0, "yes", *SURE)]), answered("c/d", [ranked(1, "yes", *SURE)])
    found = reliability_of(first, second)
    assert found is not None and (found.title, found.accuracy.n) == ("Calibration", 2)
    again = reliability_of(first, second, title="All", num_bins=2)
    assert again is not None and again.title == "All" and again.bins[0].low == 0.5


def test_answers_that_were_not_ranked_by_log_probabilities_have_none() -> None:
    written = Prediction("w", "?", "yes", "yes", True, "yes")
    assert reliability_of(answered("a/b", [ranked(0, "yes", *SURE), written])) is None
    assert reliability_of(answered("a/b", [ranked(0, "yes", 0.7, -0.2)])) is None
    assert reliability_of(answered("a/b")) is None
    assert reliability_of() is None


def wrote(target, text):
    return Prediction("w", "?", target, text, text == target, text if text in ("yes", "no") else None)


def test_answers_become_a_picture_of_shares_with_their_counts() -> None:
    picture = confusion_of(answered("a/b", [wrote("yes", "yes"), wrote("yes", "no"), wrote("yes", "yes")]))
    assert picture is not None and picture.title == "Answers of a/b#ask"
    assert picture.rows == picture.columns == ("yes", "no")
    assert picture.counts == ((2, 1), (0, 0))
    assert picture.values == ((2 / 3, 1 / 3), (None, None))
    assert (picture.low, picture.high, picture.as_percent) == (0.0, 1.0, True)


def test_answers_that_could_not_be_read_have_a_column() -> None:
    part = answered("a/b", [wrote("yes", "yes"), wrote("no", "hm"), wrote("no", "no")])
    picture = confusion_of(part, title="T")
    assert picture is not None and picture.title == "T"
    assert picture.columns == ("yes", "no", "(unread)")
    assert picture.counts == ((1, 0, 0), (0, 1, 1))
    assert picture.values == ((1.0, 0.0, 0.0), (0.0, 0.5, 0.5))


def test_a_task_without_options_has_no_such_picture() -> None:
    assert confusion_of(answered("a/b", [wrote("42", "42")], options=())) is None
    assert confusion_of(answered("a/b", [wrote("yes", "yes")]), max_options=1) is None
