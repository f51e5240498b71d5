"""Matthews' correlation against scikit-learn."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ramekin.text.metrics import score_predictions

YES_NO = ("no", "yes")
answers = st.lists(st.tuples(st.sampled_from(YES_NO), st.sampled_from(YES_NO)), min_size=1, max_size=40)


def columns(pairs):
    return [str(a) for a, _ in pairs], [str(b) for _, b in pairs]


@pytest.mark.filterwarnings("ignore::UserWarning")  # sklearn, on one class only
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
@settings(max_examples=50)
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
