"""A task under several templates: order statistics by hand, the interval by simulation and plain loops."""

import dataclasses

import numpy as np
import pytest

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.spread import template_spread
from ramekin.text.metrics import score_answers


def under(template, right, *, rows=None, metric="accuracy", passages=None, task="toy/wet", split="v"):
    """The task under one template: which of the rows it gets right."""
    rows = range(len(right)) if rows is None else rows
    passages = [""] * len(right) if passages is None else passages
    predictions = tuple(
        Prediction(
            f"{task}#{template}/{split}/{row}",
            "asked",
            "a",
            "a" if hit else "b",
            bool(hit),
            "a",
            passage=passage,
        )
        for row, hit, passage in zip(rows, right, passages, strict=True)
    )
    part = TaskEvaluation(task, template, split, MODES["generate"], "toy", (), (), {}, predictions, 0.0)
    return dataclasses.replace(part, scores=(score_answers(metric, part.answers),))


def width(found):
    return found.high - found.low


def test_order_statistics_by_hand():
    parts = [
        under(name, [1] * hits + [0] * (10 - hits))
        for name, hits in zip("abcde", (3, 9, 5, 9, 3), strict=True)
    ]
    found = template_spread(parts)
    assert (found.task, found.metric, found.num_templates, found.n) == ("toy/wet", "accuracy", 5, 10)
    assert found.mean == pytest.approx(0.58)
    assert (found.lower_quartile, found.median, found.upper_quartile) == (0.3, 0.5, 0.9)
    assert (found.best, found.best_template) == (0.9, "b")
    assert (found.worst, found.worst_template) == (0.3, "a")
    four = template_spread(parts[:4])
    assert (four.lower_quartile, four.median) == (pytest.approx(0.45), pytest.approx(0.7))


def test_one_template_is_its_own_mean_and_every_order_statistic():
    found = template_spread([under("a", [1, 1, 0, 1])])
    numbers = (found.mean, found.median, found.lower_quartile, found.upper_quartile, found.best, found.worst)
    assert numbers == (0.75,) * 6
    assert found.low < 0.75 < found.high <= 1


def test_the_same_answers_under_every_template_say_no_more_than_under_one():
    """Resampled apart, eight templates would look eight times as sure as one."""
    right = [1, 0, 1, 1] * 25
    one = template_spread([under("a", right)], resamples=3000)
    eight = template_spread([under(f"t{place}", right) for place in range(8)], resamples=3000)
    assert (eight.low, eight.high) == (one.low, one.high)
    assert one.standard_error == pytest.approx((0.75 * 0.25 / 100) ** 0.5, rel=0.05)


def test_templates_without_a_row_in_common_are_independent():
    right = [1, 0] * 100
    apart = [under("a", right), under("b", right, rows=range(200, 400))]
    found = template_spread(apart, resamples=4000)
    assert found.standard_error == pytest.approx((0.25 / 400) ** 0.5, rel=0.06)
    assert found.n == 400


def test_rows_that_some_templates_leave_out_are_drawn_with_the_others():
    """A loop over draws of rows, each template scored on those of its rows that were drawn."""
    rng = np.random.default_rng(0)
    kept = {"a": range(60), "b": range(0, 60, 2), "c": range(30, 90)}
    hits = {name: rng.integers(0, 2, 90) for name in kept}
    parts = [under(name, hits[name][list(rows)], rows=rows) for name, rows in kept.items()]
    means = []
    for _ in range(4000):
        drawn = rng.integers(0, 90, 90)
        each = [hits[name][[row for row in drawn if row in rows]].mean() for name, rows in kept.items()]
        means.append(np.mean(each))
    found = template_spread(parts, resamples=4000)
    assert found.n == 90
    assert found.standard_error == pytest.approx(np.std(means), rel=0.06)
    assert (found.low, found.high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.015)


def test_the_order_of_rows_is_of_no_matter():
    right = [1, 0, 0, 1, 1, 0, 1]
    turned = under("b", right[::-1], rows=range(6, -1, -1))
    pairs = [under("a", right), under("b", right)], [under("a", right), turned]
    first, second = (template_spread(pair, seed=3) for pair in pairs)
    assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_a_template_without_a_row_in_a_draw_is_left_out_of_its_mean():
    found = template_spread([under("a", [1] * 9), under("b", [1], rows=[9])])
    assert (found.low, found.mean, found.high, found.standard_error) == (1.0, 1.0, 1.0, 0.0)


def test_passages_are_drawn_whole():
    rng = np.random.default_rng(1)
    right = np.repeat(rng.integers(0, 2, 30), 10)
    passages = [f"p{row // 10}" for row in range(300)]
    rows = template_spread([under(name, right) for name in "ab"], resamples=3000)
    whole = template_spread([under(name, right, passages=passages) for name in "ab"], resamples=3000)
    assert whole.standard_error == pytest.approx(10**0.5 * rows.standard_error, rel=0.1)
    assert width(whole) > 2.5 * width(rows)


def test_the_interval_covers_the_mean_over_templates():
    """150 data sets, four templates that find the same rows hard."""
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(150):
        ease = rng.beta(1, 1, 80)
        found = template_spread(
            [under(f"t{place}", rng.random(80) < ease) for place in range(4)], seed=seed, resamples=300
        )
        held += found.low <= 0.5 <= found.high
    assert held >= 0.9 * 150


def test_any_metric_has_a_spread_and_a_seed_makes_it():
    parts = [under(name, [1, 0, 1, 0, 0, 1], metric="squad_f1") for name in "ab"]
    found = template_spread(parts, seed=5)
    assert found.metric == "squad_f1"
    assert found == template_spread(parts, seed=5)
    assert (found.low, found.high) != (found.mean, found.mean)


def test_of_perplexities_the_least_is_the_best():
    parts = []
    for name, loss in (("a", 2.0), ("b", 1.0)):
        predictions = tuple(
            Prediction(f"toy/wet#{name}/v/{row}", "asked", "a", "", False, None, log_prob=-loss, num_tokens=1)
            for row in range(4)
        )
        part = TaskEvaluation("toy/wet", name, "v", MODES["perplexity"], "toy", (), (), {}, predictions, 0.0)
        parts.append(dataclasses.replace(part, scores=(score_answers("perplexity", part.answers),)))
    found = template_spread(parts)
    assert (found.best_template, found.best) == ("b", pytest.approx(np.e))
    assert (found.worst_template, found.worst) == ("a", pytest.approx(np.e**2))


def test_what_is_no_task_under_its_templates_is_refused():
    one = under("a", [1, 0])
    with pytest.raises(DataError, match="no templates to compare"):
        template_spread([])
    for other in (
        under("b", [1, 0], task="toy/dry"),
        under("b", [1, 0], split="w"),
        under("b", [1, 0], metric="squad_f1"),
    ):
        with pytest.raises(
            DataError, match="not of one task, split and metric: toy/.*expected toy/wet, v, acc"
        ):
            template_spread([one, other])
    with pytest.raises(DataError, match="a template stands twice: toy/wet#a"):
        template_spread([one, one])
