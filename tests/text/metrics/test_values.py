"""Answers: what is accepted, what may be chosen, what was read."""

import pytest

from ramekin.errors import DataError
from ramekin.text.metrics import Answers


def test_without_references_the_target_alone_is_right():
    assert Answers(("a", "b"), ("x", "y")).accepted == (("x",), ("y",))


def test_the_target_is_right_beside_its_references_and_counts_once():
    answers = Answers(("a", "b"), ("x", "y"), references=(("z", "x", "z"), ()))
    assert answers.accepted == (("x", "z"), ("y",))


def test_options_of_the_example_come_before_those_of_the_set():
    fixed = Answers(("no", "No"), ("no", "yes"), ("no", "yes"))
    assert (fixed.choices, fixed.read, fixed.unparsable) == ((("no", "yes"),) * 2, ("no", None), 1)
    own = Answers(("b", "b"), ("a", "c"), example_options=(("a", "b"), ("c", "d")))
    assert (own.choices, own.read, own.unparsable) == ((("a", "b"), ("c", "d")), ("b", None), 1)
    mixed = Answers(("b", "b"), ("a", "c"), example_options=(("a", "b"), ()))
    assert mixed.unparsable == 0, "an example without options is free text"


def test_columns_of_different_length_are_refused():
    with pytest.raises(
        DataError, match="predictions and targets differ in number: expected 1 predictions, got 0"
    ):
        Answers((), ("a",))
    with pytest.raises(DataError, match="there is nothing to score"):
        Answers((), ())


def test_passages_are_drawn_and_of_one_alone_its_questions():
    def drawn(clusters, questions=()):
        answers = Answers(("a",) * 4, ("a",) * 4, clusters=tuple(clusters), questions=tuple(questions))
        return "".join(answers.drawn_together), answers.num_clusters

    assert drawn("") == drawn("pqrs") == drawn("pppp") == drawn("", "abcd") == ("", 0)
    assert drawn("ppqr") == drawn("ppqr", "aabc") == ("ppqr", 3)
    assert drawn("pppp", "aabc") == drawn("", "aabc") == ("aabc", 3)
    with pytest.raises(DataError, match="clusters and targets differ in number: expected 4 clusters, got 1"):
        drawn("p")
