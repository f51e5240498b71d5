"""Proportions of examples in clusters: the sandwich against matrices, the interval against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from ramekin.text.metrics import score_predictions
from ramekin.text.metrics.proportion import clustered_error, effective_number, proportion_score
from ramekin.text.score import Z_95, binomial_error, wilson_interval

clustered = st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")), min_size=2, max_size=40)


def sandwich(values, clusters):
    """(X'X)^-1 (sum over g of X_g' u_g u_g' X_g) (X'X)^-1 with X a column of ones, in matrices."""
    y, labels = np.array(values, dtype=np.float64), np.array(list(clusters))
    x = np.ones((len(y), 1))
    bread = np.linalg.inv(x.T @ x)
    residuals = y - x @ (bread @ x.T @ y)
    names = np.unique(labels)
    scores = [x[labels == name].T @ residuals[labels == name] for name in names]
    meat = sum(np.outer(score, score) for score in scores)
    factor = len(names) / (len(names) - 1)
    return float(np.sqrt(factor * (bread @ meat @ bread)[0, 0]))


def intraclass(rng, groups, size, rate, spread):
    """Groups that differ in their own rate (a beta distribution), so that rows of one are alike."""
    rates = rng.beta(rate * spread, (1 - rate) * spread, groups)
    right = rng.random((groups, size)) < rates[:, None]
    return right.ravel().tolist(), np.repeat(np.arange(groups), size).astype(str).tolist()


@given(clustered)
def test_the_error_is_the_sandwich_of_a_regression_on_a_constant(pairs):
    values, clusters = zip(*pairs, strict=True)
    if len(set(clusters)) > 1:
        assert clustered_error(values, clusters) == pytest.approx(sandwich(values, clusters), abs=1e-12)


def test_clusters_of_one_example_have_the_error_of_a_sample_mean():
    values = [1, 0, 0, 1, 1]
    assert clustered_error(values, "abcde") == pytest.approx(np.std(values, ddof=1) / np.sqrt(5))


def test_clusters_that_are_wholly_alike_count_as_one_example_each():
    values, clusters = [1] * 6 + [0] * 6 + [1] * 6 + [0] * 6, "aaaaaabbbbbbccccccdddddd"
    assert clustered_error(values, clusters) == pytest.approx(np.std([1, 0, 1, 0], ddof=1) / 2)
    assert effective_number(0.5, clustered_error(values, clusters), 24, 4) == pytest.approx(3)


@given(clustered)
def test_the_interval_is_in_order_inside_one_and_never_of_more_examples_than_there_are(pairs):
    right, clusters = zip(*pairs, strict=True)
    score = proportion_score("accuracy", right, clusters, chance=0.0)
    n = len(right)
    assert 0 <= score.low <= score.value <= score.high <= 1
    assert score.low < score.high
    low, high = wilson_interval(sum(right), n)
    assert score.high - score.low >= high - low - 1e-12
    if score.clusters > 1:
        assert 0 < effective_number(score.value, score.standard_error, n, score.clusters) <= n
        assert score.standard_error == pytest.approx(sandwich(right, clusters), abs=1e-12)
    else:
        assert (score.low, score.high) == (low, high)
        assert score.standard_error == binomial_error(score.value, n)


def test_the_interval_is_wilsons_of_the_effective_number_with_students_t():
    right, clusters = [1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1], "aaabbbcccddd"
    score = proportion_score("accuracy", list(map(bool, right)), clusters, chance=0.0)
    p, error = 7 / 12, sandwich(right, clusters)
    n, z = min(12, p * (1 - p) / error**2), t.ppf(0.975, 3)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (score.low, score.high) == pytest.approx((centre - half, centre + half))
    assert (score.clusters, score.n) == (4, 12)


@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_all_wrong_is_as_sure_as_the_number_of_passages(right):
    score = proportion_score("accuracy", [right] * 60, [str(row // 10) for row in range(60)], chance=0.0)
    ends = wilson_interval(6 * right, 6, z=float(t.ppf(0.975, 5)))
    assert (score.low, score.high) == pytest.approx(ends, abs=1e-12)
    assert score.high - score.low > 0.4, "60 independent rows would have 0.06"
    assert score.standard_error == 0.0


@pytest.mark.parametrize("name", ["accuracy", "exact_match", "contains"])
def test_one_passage_alone_says_for_what_its_interval_holds(name):
    score = score_predictions(name, ["a", "b", "a"], ["a", "c", "a"], clusters="ppp")
    assert (score.low, score.high) == wilson_interval(2, 3)
    assert score.note == "all examples share one passage: the interval holds for that passage alone"
    assert score.clusters == 0
    alone = score_predictions(name, ["a"], ["a"], clusters="p")
    assert alone.note == ""


def test_passages_that_do_not_repeat_change_nothing():
    alone = proportion_score("accuracy", [True, False, True], "abc", chance=0.0)
    assert alone == proportion_score("accuracy", [True, False, True], "", chance=0.0)


@pytest.mark.parametrize(("groups", "rate"), [(20, 0.7), (60, 0.9)])
def test_the_clustered_interval_covers_and_the_other_does_not(groups, rate):
    """300 data sets with rows of a passage alike (intraclass correlation 1 / 4), 15 rows a passage."""
    rng = np.random.default_rng(0)
    held = {"clustered": 0, "independent": 0}
    errors, values = [], []
    for _ in range(300):
        right, clusters = intraclass(rng, groups, 15, rate, spread=3.0)
        for name, given_clusters in (("clustered", clusters), ("independent", ())):
            score = proportion_score("accuracy", right, given_clusters, chance=0.0)
            held[name] += score.low <= rate <= score.high
            if name == "clustered":
                errors.append(score.standard_error)
                values.append(score.value)
    assert held["clustered"] >= 0.9 * 300
    assert held["independent"] <= 0.75 * 300
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)


def test_a_correlation_of_none_costs_little():
    rng = np.random.default_rng(1)
    right = (rng.random(1000) < 0.6).tolist()
    clusters = [str(row // 5) for row in range(1000)]
    plain, other = (proportion_score("accuracy", right, c, chance=0.0) for c in ((), clusters))
    assert other.high - other.low == pytest.approx(plain.high - plain.low, rel=0.15)
    assert plain.high - plain.low == pytest.approx(2 * Z_95 * plain.standard_error, rel=0.01)


@pytest.mark.parametrize("name", ["accuracy", "exact_match", "number_match", "contains"])
def test_every_metric_that_is_a_proportion_goes_by_passages(name):
    written, targets, clusters = ["1", "1", "2", "2"], ["1", "1", "3", "3"], ["p", "p", "q", "q"]
    score = score_predictions(name, written, targets, clusters=clusters)
    assert (score.clusters, score.standard_error) == (2, 0.5)
    assert score_predictions(name, written, targets).standard_error == 0.25
