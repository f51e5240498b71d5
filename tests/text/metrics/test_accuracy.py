"""Accuracy: character for character, against a hand count and scikit-learn; chance by the options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from ramekin.text.metrics import score_predictions
from ramekin.text.score import wilson_interval

YES_NO = ("no", "yes")
answers = st.lists(st.tuples(st.sampled_from(YES_NO), st.sampled_from(YES_NO)), min_size=1, max_size=40)


def columns(pairs):
    return [str(a) for a, _ in pairs], [str(b) for _, b in pairs]


def test_accuracy_is_exact_string_equality():
    predictions = ["yes", "Yes", "yes ", "no", ""]
    score = score_predictions("accuracy", predictions, ["yes"] * 4 + ["no"], options=YES_NO)
    assert score.value == 1 / 5
    assert (score.low, score.high) == wilson_interval(1, 5)
    assert (score.n, score.chance, score.unparsable, score.note) == (5, 0.5, 3, "1 empty prediction")


def test_chance_of_free_text_is_zero_and_nothing_is_unparsable():
    score = score_predictions("accuracy", ["Paris"], ["Paris"])
    assert (score.value, score.chance, score.unparsable) == (1.0, 0.0, 0)


@given(answers)
def test_accuracy_equals_sklearn(pairs):
    predictions, targets = columns(pairs)
    assert score_predictions("accuracy", predictions, targets).value == pytest.approx(
        sk.accuracy_score(targets, predictions), abs=1e-15
    )


def test_any_reference_is_right_but_only_character_for_character():
    score = score_predictions(
        "accuracy", ["Rome", "rome", "Roma"], ["Roma"] * 3, references=[["Rome"], ["Rome"], []]
    )
    assert score.value == pytest.approx(2 / 3)
    assert (score.low, score.high) == wilson_interval(2, 3)


def test_chance_is_the_mean_over_each_examples_own_options():
    options = [["a", "b"], ["a", "b", "c", "d"], []]
    score = score_predictions("accuracy", ["a", "e", "f"], ["a", "b", "c"], example_options=options)
    assert score.chance == pytest.approx((1 / 2 + 1 / 4 + 0) / 3)
    assert (score.value, score.unparsable) == (pytest.approx(1 / 3), 1)
    several = score_predictions(
        "accuracy", ["a"], ["a"], references=[["a", "b"]], example_options=[["a", "b", "c", "d"]]
    )
    assert several.chance == 0.5
