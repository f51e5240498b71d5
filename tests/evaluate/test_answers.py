"""Examples and what was written for them, side by side."""

import pytest

from ramekin.errors import DataError
from ramekin.evaluate.answers import answers_of
from ramekin.text.example import Example, Provenance


def example(target="yes", options=(), references=(), row=0, **shared):
    place = Provenance("t/s", "a", "v", row)
    return Example("q", target, tuple(options), place, tuple(references), **shared)


def test_shared_options_have_the_tasks_order_however_they_were_shown():
    shown = [example(options=("yes", "no")), example(options=("no", "yes"))]
    answers = answers_of(shown, ["yes", "no"], options=("no", "yes"))
    assert (answers.options, answers.example_options, answers.references) == (("no", "yes"), (), ())


def test_options_in_other_words_take_the_place_of_the_tasks():
    answers = answers_of([example("(B)", ("(A)", "(B)"))] * 2, ["(B)", "no"], options=("no", "yes"))
    assert (answers.options, answers.unparsable) == (("(A)", "(B)"), 1)


def test_examples_without_options_have_the_tasks():
    assert answers_of([example()], ["yes"], options=("no", "yes")).options == ("no", "yes")
    assert answers_of([example()], ["yes"]).options == ()


def test_options_that_differ_stay_with_their_examples():
    answers = answers_of([example("a", "ab"), example("c", "cd"), example("e")], ["a", "a", "a"])
    assert (answers.options, answers.example_options) == ((), (("a", "b"), ("c", "d"), ()))


def test_references_go_along_and_may_be_replaced():
    shown = [example("a", references=("a", "b")), example("c")]
    assert answers_of(shown, ["b", "b"]).accepted == (("a", "b"), ("c",))
    replaced = answers_of(shown, ["b", "b"], golds=["x", "y"], references=[["z"], []])
    assert replaced.accepted == (("x", "z"), ("y",))


def test_what_is_missing_is_refused():
    with pytest.raises(DataError, match="predictions and targets differ in number"):
        answers_of([example()], [])
    with pytest.raises(DataError, match="nothing to score"):
        answers_of([], [])


def test_rows_of_one_passage_are_a_cluster_and_a_row_without_one_is_its_own():
    shown = [example(passage=passage, row=row) for row, passage in enumerate(("p", "", "p", "q", ""))]
    clusters = answers_of(shown, ["yes"] * 5).clusters
    assert clusters == ("p", "t/s#a/v/1", "p", "q", "t/s#a/v/4")


def test_passages_that_do_not_repeat_make_no_clusters():
    for passages in (("p", "q"), ("p", ""), ("", "")):
        shown = [example(passage=passage, row=row) for row, passage in enumerate(passages)]
        assert answers_of(shown, ["yes"] * 2).clusters == ()


def test_questions_stay_even_where_none_is_asked_twice():
    shown = [example(question=question, row=row) for row, question in enumerate(("a", "b", ""))]
    assert answers_of(shown, ["yes"] * 3).questions == ("a", "b", "t/s#a/v/2")
    assert answers_of([example(), example(row=1)], ["yes"] * 2).questions == ()
