"""Contains: a reference as whole words somewhere in the answer."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.text.metrics import majority_level, score_predictions
from ramekin.text.metrics.squad import normalised

texts = st.lists(st.sampled_from(["Rome", "rome.", "the", "new", "Newark", "in", "1,000"]), max_size=5).map(
    " ".join
)


@pytest.mark.parametrize(
    ("prediction", "reference", "held"),
    [
        ("It was built in Rome.", "rome", True),
        ("Built in the city of the (Rome)!", "A Rome", True),
        ("Newark", "New", False),
        ("new york city", "New York", True),
        ("new big york", "New York", False),
        ("York New", "New York", False),
        ("", "Rome", False),
        ("Rome", "in Rome", False),
        ("anything", "", False),
        ("", "", False),
    ],
)
def test_whole_words_in_order(prediction, reference, held):
    assert score_predictions("contains", [prediction], [reference]).value == float(held)


@given(st.lists(st.tuples(texts, texts, st.lists(texts, max_size=2)), min_size=1, max_size=6))
def test_it_equals_a_search_for_words(rows):
    written, wanted, references = zip(*rows, strict=True)

    def found(prediction, reference):
        pattern = r"(?<!\S)" + re.escape(normalised(reference)) + r"(?!\S)"
        return bool(normalised(reference)) and re.search(pattern, normalised(prediction)) is not None

    hits = [any(found(p, right) for right in (t, *r)) for p, t, r in rows]
    score = score_predictions("contains", written, wanted, references=references)
    assert score.value == pytest.approx(sum(hits) / len(rows))


def test_chance_is_that_of_writing_an_option_and_the_majority_that_of_the_best_constant():
    options = ("Rome", "Paris", "Rome or Paris")
    score = score_predictions("contains", ["In Rome, I think"], ["Rome"], options=options)
    assert (score.value, score.chance) == (1.0, pytest.approx(2 / 3))
    assert majority_level("contains", ["Rome", "rome.", "Paris"]) == pytest.approx(2 / 3)
    assert score_predictions("contains", ["x"], ["y"]).chance == 0.0


def test_an_answer_that_names_several_options_is_said_and_one_that_names_none_counted():
    written = ["Rome or Paris", "Oslo", "New York", "York, I think"]
    options = [["Rome", "Paris"], ["Rome", "Paris"], ["York", "New York"], ["York", "New York"]]
    score = score_predictions(
        "contains", written, ["Rome", "Rome", "New York", "York"], example_options=options
    )
    assert (score.value, score.unparsable) == (0.75, 1)
    assert score.note == "1 prediction names several options"
