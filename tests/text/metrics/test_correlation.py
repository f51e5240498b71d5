"""Correlations of numbers against scipy; never NaN."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ramekin.errors import DataError
from ramekin.text.metrics import METRICS, Answers, score_predictions

YES_NO = ("no", "yes")
answers = st.lists(st.tuples(st.sampled_from(YES_NO), st.sampled_from(YES_NO)), min_size=1, max_size=40)
numbers = st.lists(
    st.tuples(st.floats(-5, 5).map(lambda x: round(x, 1)), st.floats(0, 5).map(lambda x: round(x, 1))),
    min_size=2,
    max_size=30,
)


def columns(pairs):
    return [str(a) for a, _ in pairs], [str(b) for _, b in pairs]


def test_spearman_is_scipys_with_unparsable_as_zero():
    predictions = ["2.2", "abc", "5.0", "1.0", "nan"]
    targets = ["2.2", "0.8", "4.0", "3.0", "1.0"]
    score = score_predictions("spearman", predictions, targets)
    expected = stats.spearmanr([2.2, 0.0, 5.0, 1.0, 0.0], [2.2, 0.8, 4.0, 3.0, 1.0]).statistic
    assert score.value == float(expected)
    assert score.unparsable == 2
    assert score.note == "2 unparsable predictions counted as 0.0"
    assert -1 <= score.low <= score.value <= score.high <= 1


def test_spearman_by_hand():
    # ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24)
    score = score_predictions("spearman", ["1", "2", "3", "4", "5"], ["2", "1", "40", "3", "50"])
    assert score.value == pytest.approx(0.8)


@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_constant_predictions_are_zero_with_a_note(name):
    score = score_predictions(name, ["x", "y", "0.0"], ["1", "2", "3"])
    assert (score.value, score.low, score.high) == (0.0, 0.0, 0.0)
    assert score.note == (
        "constant predictions: correlation undefined, reported as 0; 2 unparsable predictions counted as 0.0"
    )
    assert score_predictions(name, ["1", "2"], ["3", "3"]).note.startswith("constant targets: ")
    assert score_predictions(name, ["1"], ["3"]).note.startswith("fewer than two examples: ")


@given(numbers)
@settings(max_examples=50)
def test_correlations_equal_scipy_and_are_never_nan(pairs):
    predictions, targets = columns(pairs)
    x, y = np.array(pairs).T
    for name, peer in (("spearman", stats.spearmanr), ("pearson", stats.pearsonr)):
        score = score_predictions(name, predictions, targets)
        assert all(map(math.isfinite, (score.value, score.low, score.high)))
        if len(set(x)) > 1 and len(set(y)) > 1:
            assert score.value == pytest.approx(float(peer(x, y).statistic), abs=1e-9)
        else:
            assert score.value == 0.0
            assert "undefined" in score.note


def test_numbers_beyond_arithmetic_are_zero_with_a_note():
    score = score_predictions("pearson", ["1.7e308", "1.7e308", "1e308"], ["1", "2", "3"])
    assert score.value == 0.0
    assert score.note.startswith("numbers too large or too close together")


def test_a_target_that_is_no_number_is_named():
    with pytest.raises(
        DataError, match=r"needs numeric targets: target 1: expected a finite number, got 'nan'"
    ):
        score_predictions("spearman", ["1", "2"], ["1", "nan"])


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("spearman", lambda p, t: stats.spearmanr(p, t).statistic),
        ("pearson", lambda p, t: stats.pearsonr(p, t).statistic),
    ],
)
def test_resampled_correlations_equal_scipys_one_by_one(name, peer):
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 26, 40) / 5
    predictions = targets + rng.normal(0, 1, 40).round(1)
    given = Answers(tuple(map(str, predictions)), tuple(map(str, targets)))
    indices = rng.integers(0, 40, (25, 40))
    ours = METRICS[name].prepare(given)(np.stack([np.bincount(row, minlength=40) for row in indices]) * 1.0)
    theirs = [peer(predictions[row], targets[row]) for row in indices]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_a_constant_resample_is_zero_not_rounding_dust():
    given = Answers(("0.1", "0.2", "0.3"), ("1", "2", "4"))
    values = METRICS["pearson"].prepare(given)(np.array([[3.0, 0, 0], [0, 3.0, 0], [1, 1, 1]]))
    assert values[:2].tolist() == [0.0, 0.0]
    assert values[2] > 0.9
