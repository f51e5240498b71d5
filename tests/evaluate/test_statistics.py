"""Paired comparisons against scipy, hand counts and simulation."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binomtest

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.statistics import compare, compare_averages
from ramekin.text.metrics import score_answers, score_predictions


def part(written, targets, *, metric="accuracy", task="toy/wet"):
    score = score_predictions(metric, written, targets)
    predictions = tuple(
        Prediction(f"{task}#ask/v/{row}", "asked", target, text, text == target, text)
        for row, (text, target) in enumerate(zip(written, targets, strict=True))
    )
    return TaskEvaluation(
        task, "ask", "v", MODES["generate"], "toy", (), (score,), {metric: 0.0}, predictions, 0.0
    )


def with_right(right, *, task="toy/wet"):
    return part(["a" if hit else "b" for hit in right], ["a"] * len(right), task=task)


def in_passages(each, size):
    """The same rows, `size` neighbours a passage, scored anew."""
    rows = [dataclasses.replace(p, passage=f"p{row // size}") for row, p in enumerate(each.predictions)]
    placed = dataclasses.replace(each, predictions=tuple(rows))
    return dataclasses.replace(placed, scores=(score_answers(each.headline.metric, placed.answers),))


def test_an_averages_interval_is_that_of_independent_tasks():
    """Two tasks of equal size must not be resampled alike: the variance is a half, not the whole."""
    first, second = (
        [with_right(right), with_right(right, task="toy/dry")] for right in ([0] * 200, [1, 0] * 100)
    )
    found = compare_averages(first, second, resamples=4000)
    half = 1.96 * np.sqrt(0.25 / 200 / 2)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.006)


def test_mcnemar_is_the_exact_binomial_test_of_the_discordant():
    first = with_right([1] * 10 + [0] * 9 + [1] * 2 + [0] * 4)
    second = with_right([1] * 10 + [1] * 9 + [0] * 2 + [0] * 4)
    found = compare(first, second)
    assert found.p_value == pytest.approx(binomtest(2, 11).pvalue)
    assert found.difference == pytest.approx(7 / 25)
    assert (found.metric, found.test, found.n) == ("accuracy", "mcnemar_exact", 25)
    assert 0 < found.low < found.difference < found.high
    assert compare(second, first).p_value == pytest.approx(found.p_value)
    assert compare(second, first).difference == -found.difference


def test_the_same_model_twice_does_not_differ():
    one = with_right([1, 0, 1])
    found = compare(one, one)
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    numbers = part(["1", "2", "4"], ["1", "3", "2"], metric="spearman")
    assert compare(numbers, numbers).p_value == 1.0


def test_correlations_are_compared_by_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    targets = [f"{x:.3f}" for x in truth]
    good = part([f"{x:.3f}" for x in truth + rng.normal(0, 0.3, 200)], targets, metric="pearson")
    poor = part([f"{x:.3f}" for x in truth + rng.normal(0, 3.0, 200)], targets, metric="pearson")
    found = compare(poor, good, seed=0)
    assert found.test == "paired_bootstrap"
    assert found.p_value == pytest.approx(2 / 1001)
    assert found.low > 0.4
    assert compare(good, poor, seed=0).high < -0.4


def test_pairing_sees_what_two_intervals_do_not():
    """The second model is right wherever the first is, and on 12 more of 400."""
    rng = np.random.default_rng(1)
    right = (rng.random(400) < 0.6).astype(int)
    better = right.copy()
    better[np.flatnonzero(right == 0)[:12]] = 1
    first, second = with_right(right), with_right(better)
    assert first.headline.high > second.headline.value
    assert compare(first, second).p_value < 0.001
    assert compare_averages([first], [second]).p_value < 0.01


def test_averages_are_compared_on_the_same_draws():
    first = [with_right([1, 0] * 30), with_right([0, 0, 1] * 20, task="toy/dry")]
    second = [with_right([1, 1] * 30), with_right([0, 0, 1] * 20, task="toy/dry")]
    found = compare_averages(first, second)
    assert found.difference == pytest.approx(0.25)
    assert (found.metric, found.n, found.test) == ("average", 120, "paired_bootstrap")
    assert found.p_value < 0.01
    assert found.low > 0.15
    same = compare_averages(first, first)
    assert (same.difference, same.p_value) == (0.0, 1.0)


def test_what_cannot_be_compared_is_refused():
    one, other = with_right([1, 0, 1]), with_right([1, 0])
    with pytest.raises(
        DataError, match=r"same examples: toy/wet: expected 3 examples.*got 2 examples.*same tasks"
    ):
        compare(one, other)
    moved = dataclasses.replace(one.predictions[0], target="z")
    with pytest.raises(DataError, match="did not answer the same examples"):
        compare(one, dataclasses.replace(one, predictions=(moved, *one.predictions[1:])))
    with pytest.raises(DataError, match="different metrics: toy/wet: expected accuracy, got spearman"):
        compare(with_right([1, 0]), part(["1", "2"], ["1", "2"], metric="spearman"))
    with pytest.raises(DataError, match="not evaluated on the same tasks: expected toy/wet, got toy/dry"):
        compare_averages([one], [with_right([1, 0, 1], task="toy/dry")])
    with pytest.raises(DataError, match="same tasks: expected at least one task, got none"):
        compare_averages([], [])


def test_corpus_metrics_are_compared_by_the_paired_bootstrap_with_their_references():
    targets = [f"the cat number {row} sat on the old mat" for row in range(40)]
    near = [text.replace("old", "red") for text in targets]
    first = part(near, targets, metric="bleu")
    right = tuple(dataclasses.replace(p, references=(p.prediction,)) for p in first.predictions)
    second = dataclasses.replace(first, predictions=right)
    second = dataclasses.replace(second, scores=(score_answers("bleu", second.answers),))
    found = compare(first, second)
    assert (found.metric, found.test) == ("bleu", "paired_bootstrap")
    assert (second.headline.value, found.high) == (1.0, pytest.approx(1 - first.headline.value, abs=0.01))
    assert found.low > 0


def alike(rng, groups, size, rate):
    """Rows of a passage that are all right or all wrong."""
    return np.repeat(rng.random(groups) < rate, size).astype(int)


def test_mcnemars_test_gives_way_to_the_bootstrap_of_passages():
    """Of 12 passages of 20 rows the second model gains four and loses one."""
    first = with_right(np.repeat([1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1], 20))
    second = with_right(np.repeat([1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0], 20))
    rows, passages = compare(first, second), compare(in_passages(first, 20), in_passages(second, 20))
    assert (rows.test, passages.test) == ("mcnemar_exact", "paired_cluster_bootstrap")
    assert rows.difference == passages.difference
    assert passages.high - passages.low > 3 * (rows.high - rows.low)
    assert passages.p_value > 0.05 > rows.p_value, "240 rows look sure of what 12 passages cannot show"


def test_no_difference_is_found_as_often_as_promised():
    """120 pairs of equally good models on 25 passages of 8 rows that are right or wrong together."""
    rng = np.random.default_rng(4)
    found = {"passages": 0, "rows": 0}
    for seed in range(120):
        first, second = (with_right(alike(rng, 25, 8, 0.5)) for _ in range(2))
        found["rows"] += compare(first, second, resamples=200).p_value < 0.05
        pair = in_passages(first, 8), in_passages(second, 8)
        found["passages"] += compare(*pair, seed=seed, resamples=200).p_value < 0.05
    assert found["passages"] <= 0.11 * 120
    assert found["rows"] >= 0.3 * 120


def test_three_passages_cannot_show_what_two_hundred_rows_seem_to():
    first, second = with_right([0] * 210), with_right([0, 1, 1] * 70)
    assert compare(in_passages(first, 70), in_passages(second, 70)).p_value == 0.25, (
        "three heads of three coins"
    )
    two = [
        in_passages(each, 70)
        for each in (with_right([0] * 140, task="toy/dry"), with_right([1] * 140, task="toy/dry"))
    ]
    pairs = [in_passages(first, 70), two[0]], [in_passages(second, 70), two[1]]
    assert compare_averages(*pairs).p_value == 2**-4, "five passages"


def test_passages_of_the_one_serve_for_the_other():
    first, second = with_right([1, 0] * 10), with_right([1, 1] * 10)
    placed = in_passages(second, 4)
    assert compare(first, placed) == compare(in_passages(first, 4), placed)
    assert (
        compare(first, placed).test == compare_averages([first], [placed]).test == "paired_cluster_bootstrap"
    )


def test_of_one_passage_alone_its_rows_are_compared():
    first, second = (in_passages(with_right(right), 9) for right in ([1, 0, 0] * 3, [1, 1, 0] * 3))
    assert compare(first, second).test == "mcnemar_exact"


def test_averages_draw_passages():
    rng = np.random.default_rng(5)
    parts = [with_right(alike(rng, 30, 10, 0.5)), with_right(alike(rng, 30, 10, 0.7), task="toy/dry")]
    none = [with_right([0] * each.n, task=each.task) for each in parts]
    rows, passages = (compare_averages(none, each) for each in (parts, [in_passages(e, 10) for e in parts]))
    assert rows.difference == passages.difference
    assert passages.high - passages.low == pytest.approx(10**0.5 * (rows.high - rows.low), rel=0.15)
    found = compare_averages(parts, [in_passages(each, 10) for each in parts])
    assert (found.test, found.difference, found.p_value) == ("paired_cluster_bootstrap", 0.0, 1.0)
