"""Every metric against a hand computation and against scipy or scikit-learn; never NaN."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from ramekin.errors import DataError, UsageError
from ramekin.text.metrics import METRICS, Answers, bootstrap_draws, majority_level, score_predictions
from ramekin.text.score import wilson_interval

YES_NO = ("no", "yes")
answers = st.lists(st.tuples(st.sampled_from(YES_NO), st.sampled_from(YES_NO)), min_size=1, max_size=40)
numbers = st.lists(
    st.tuples(st.floats(-5, 5).map(lambda x: round(x, 1)), st.floats(0, 5).map(lambda x: round(x, 1))),
    min_size=2,
    max_size=30,
)


def columns(pairs):
    return [str(a) for a, _ in pairs], [str(b) for _, b in pairs]


# accuracy


def test_accuracy_is_exact_string_equality():
    predictions = ["yes", "Yes", "yes ", "no", ""]
    score = score_predictions("accuracy", predictions, ["yes"] * 4 + ["no"], options=YES_NO)
    assert score.value == 1 / 5
    assert (score.low, score.high) == wilson_interval(1, 5)
    assert (score.n, score.chance, score.unparsable, score.note) == (5, 0.5, 3, "")


def test_chance_of_free_text_is_zero_and_nothing_is_unparsable():
    score = score_predictions("accuracy", ["Paris"], ["Paris"])
    assert (score.value, score.chance, score.unparsable) == (1.0, 0.0, 0)


@given(answers)
def test_accuracy_equals_sklearn(pairs):
    predictions, targets = columns(pairs)
    assert score_predictions("accuracy", predictions, targets).value == pytest.approx(
        sk.accuracy_score(targets, predictions), abs=1e-15
    )


# F1


def test_f1_by_hand():
    predictions = ["yes", "yes", "no", "maybe", "no"]
    targets = ["yes", "no", "yes", "yes", "no"]  # TP 1, FP 1, FN 2
    score = score_predictions("f1", predictions, targets, options=YES_NO)
    assert score.value == pytest.approx(2 / 5)
    assert score.unparsable == 1
    assert score.chance == pytest.approx(0.6 / 1.1)
    swapped = score_predictions("f1", predictions, targets, options=YES_NO, positive="no")
    assert swapped.value == pytest.approx(2 / 4)


@pytest.mark.filterwarnings("ignore::UserWarning")  # sklearn, on one class only
@given(answers)
@settings(deadline=None, max_examples=50)
def test_f1_equals_sklearn(pairs):
    predictions, targets = columns(pairs)
    expected = sk.f1_score(
        targets, predictions, pos_label="yes", zero_division=0.0, labels=["yes"], average="macro"
    )
    assert score_predictions("f1", predictions, targets, options=YES_NO).value == pytest.approx(
        expected, abs=1e-12
    )


def test_f1_without_positive_targets_says_so():
    score = score_predictions("f1", ["no"], ["no"], options=YES_NO)
    assert (score.value, score.note) == (0.0, "no target is 'yes': f1 undefined, reported as 0")


def test_f1_needs_a_positive_option():
    with pytest.raises(UsageError, match=r"f1 needs to know.*two options.*got options \['a', 'b', 'c'\]"):
        score_predictions("f1", ["a"], ["a"], options=("a", "b", "c"))


def test_chance_f1_is_what_a_fair_coin_reaches():
    rng = np.random.default_rng(0)
    targets = ["yes" if x < 0.3 else "no" for x in rng.random(200_000)]
    coin = ["yes" if x < 0.5 else "no" for x in rng.random(200_000)]
    expected = sk.f1_score(targets, coin, pos_label="yes")
    chance = score_predictions("f1", targets[:5000], targets[:5000], options=YES_NO).chance
    assert chance == pytest.approx(expected, abs=0.01)


# Matthews


@pytest.mark.filterwarnings("ignore::UserWarning")  # sklearn, on one class only
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
@settings(deadline=None, max_examples=50)
def test_matthews_equals_sklearn(pairs):
    predictions, targets = columns(pairs)
    score = score_predictions("matthews", predictions, targets)
    assert score.value == pytest.approx(sk.matthews_corrcoef(targets, predictions), abs=1e-12)
    assert score.chance == 0.0


def test_unparsable_answers_are_one_class_of_their_own_for_matthews():
    predictions, targets = ["yes", "so", "la", "no"], ["yes", "no", "yes", "no"]
    score = score_predictions("matthews", predictions, targets, options=YES_NO)
    assert score.value == pytest.approx(sk.matthews_corrcoef(targets, ["yes", "?", "?", "no"]))
    assert score.unparsable == 2


# correlations: FusionBench's STS-B rule


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
@settings(deadline=None, max_examples=50)
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


# bootstrap


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
    ours = METRICS[name].resample(given, indices)
    theirs = [peer(predictions[row], targets[row]) for row in indices]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "f1", "matthews"])
def test_resampled_class_metrics_equal_the_metric_on_the_drawn_examples(name):
    rng = np.random.default_rng(4)
    pick = rng.choice(["yes", "no", "?"], (2, 30))
    predictions, targets = list(pick[0]), [t if t != "?" else "no" for t in pick[1]]
    indices = rng.integers(0, 30, (10, 30))
    given = Answers(tuple(predictions), tuple(targets), YES_NO)
    for row, value in zip(indices, METRICS[name].resample(given, indices), strict=True):
        drawn = score_predictions(
            name, [predictions[i] for i in row], [targets[i] for i in row], options=YES_NO
        )
        assert value == pytest.approx(drawn.value, abs=1e-12)


def test_the_interval_is_the_plain_percentile_bootstrap():
    rng = np.random.default_rng(5)
    x, y = rng.random(25).round(2), rng.random(25).round(2)
    score = score_predictions("pearson", list(map(str, x)), list(map(str, y)), seed=11)

    def one(indices):
        return float(np.corrcoef(x[indices], y[indices])[0, 1])

    draws = [one(rng.integers(0, 25, 25)) for _ in range(2000)]
    assert (score.low, score.high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.08)


def test_draws_depend_on_the_seed_alone_and_are_made_in_bounded_chunks(monkeypatch):
    import ramekin.text.metrics as module

    given = Answers(("1", "2", "3", "4"), ("1", "3", "2", "4"))
    once = bootstrap_draws("pearson", given, seed=1, resamples=50)
    monkeypatch.setattr(module, "_CHUNK_CELLS", 40)
    assert bootstrap_draws("pearson", given, seed=1, resamples=50).tolist() == once.tolist()
    assert bootstrap_draws("pearson", given, seed=2, resamples=50).tolist() != once.tolist()


def test_a_constant_resample_is_zero_not_rounding_dust():
    given = Answers(("0.1", "0.2", "0.3"), ("1", "2", "4"))
    values = METRICS["pearson"].resample(given, np.array([[0, 0, 0], [1, 1, 1], [0, 1, 2]]))
    assert values[:2].tolist() == [0.0, 0.0]
    assert values[2] > 0.9


# blind strategies and bad input


def test_majority_levels():
    targets = ["yes", "no", "no", "no"]
    assert majority_level("accuracy", targets) == 0.75
    assert majority_level("f1", targets, options=YES_NO) == pytest.approx(
        sk.f1_score(targets, ["yes"] * 4, pos_label="yes")
    )
    assert [majority_level(name, ["1", "2"]) for name in ("spearman", "pearson", "matthews")] == [0.0] * 3


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        score_predictions("acuracy", ["a"], ["a"])


def test_nothing_to_score_and_unequal_numbers_are_refused():
    with pytest.raises(DataError, match="nothing to score: expected at least one example, got none"):
        score_predictions("accuracy", [], [])
    with pytest.raises(DataError, match="differ in number: expected 2 predictions, got 1"):
        score_predictions("accuracy", ["a"], ["a", "b"])


def test_importing_the_metrics_loads_no_heavy_library():
    code = (
        "import sys, ramekin.text.metrics;"
        "print([m for m in ('torch', 'scipy', 'sklearn', 'numpy', 'transformers') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
