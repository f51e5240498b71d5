"""F1 of one option and over all, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ramekin.errors import UsageError
from ramekin.text.metrics import score_predictions

YES_NO = ("no", "yes")
answers = st.lists(st.tuples(st.sampled_from(YES_NO), st.sampled_from(YES_NO)), min_size=1, max_size=40)


def columns(pairs):
    return [str(a) for a, _ in pairs], [str(b) for _, b in pairs]


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
@settings(max_examples=50)
def test_f1_equals_sklearn(pairs):
    predictions, targets = columns(pairs)
    expected = sk.f1_score(
        targets, predictions, pos_label="yes", zero_division=0.0, labels=["yes"], average="macro"
    )
    assert score_predictions("f1", predictions, targets, options=YES_NO).value == pytest.approx(
        expected, abs=1e-12
    )


def test_f1_without_positive_targets_says_so():
    score = score_predictions("f1", ["no", "no"], ["no", "no"], options=YES_NO)
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


# the mean over options


@pytest.mark.filterwarnings("ignore::UserWarning")  # sklearn, on one class only
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", "?", "!"]), st.sampled_from("abc")), min_size=1, max_size=40
    )
)
@settings(max_examples=50)
def test_macro_f1_equals_sklearn_over_the_options_that_occur(pairs):
    predictions, targets = columns(pairs)
    held = [option for option in "abc" if option in predictions or option in targets]
    expected = sk.f1_score(targets, predictions, labels=held, average="macro", zero_division=0.0)
    score = score_predictions("f1_macro", predictions, targets, options=("a", "b", "c", "d"))
    assert score.value == pytest.approx(expected, abs=1e-12)
    assert score.unparsable == sum(text in "?!" for text in predictions)


def test_macro_f1_by_hand():
    predictions = ["a", "a", "b", "?", "c"]
    targets = ["a", "b", "b", "c", "c"]  # F1: a 2/3, b 2/3, c 2/3 with one of its two missed
    score = score_predictions("f1_macro", predictions, targets, options=("a", "b", "c"))
    assert score.value == pytest.approx(2 / 3)
    wrong = score_predictions("f1_macro", ["a", "?"], ["a", "b"], options=("a", "b"))
    assert wrong.value == pytest.approx((1 + 0) / 2), "an unparsable answer is wrong, and no class of its own"


def test_chance_macro_f1_is_what_a_fair_die_reaches():
    rng = np.random.default_rng(0)
    targets = rng.choice(["a", "b", "c"], 200_000, p=[0.6, 0.3, 0.1])
    die = rng.choice(["a", "b", "c"], 200_000)
    expected = sk.f1_score(targets, die, average="macro")
    some = [str(target) for target in targets[:5000]]
    chance = score_predictions("f1_macro", some, some, options=("a", "b", "c")).chance
    assert chance == pytest.approx(expected, abs=0.01)


def test_macro_f1_needs_options_and_says_where_no_target_is_one():
    with pytest.raises(
        UsageError, match=r"f1_macro needs the options.*that all examples share, got options \[\]"
    ):
        score_predictions("f1_macro", ["a"], ["a"])
    score = score_predictions("f1_macro", ["a", "b"], ["x", "y"], options=("a", "b"))
    assert (score.value, score.note) == (0.0, "no target is an option: f1_macro reported as 0")
