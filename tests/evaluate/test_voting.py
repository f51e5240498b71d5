"""Votes by hand, and what holds of any."""

import doctest
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

import ramekin.evaluate.voting as module
from ramekin.evaluate.voting import Vote, vote

ANSWERS = st.lists(st.one_of(st.none(), st.sampled_from(["", "7", "9", "12"])), max_size=9)


def test_the_example_of_the_docstring():
    found = doctest.testmod(module)
    assert (found.failed, found.attempted) == (0, 2)


def test_the_commonest_wins_and_what_was_not_read_has_no_vote():
    assert vote(["7", None, None, None, "9", "9"]) == Vote("9", {"7": 1, "9": 2, "": 3}, is_tied=False)
    assert vote(["", None]) == Vote(None, {"": 2}, is_tied=False)
    assert vote([]) == Vote(None, {}, is_tied=False)


def test_of_equals_the_first_come_wins_and_that_is_said():
    assert vote(["9", "7", "7", "9", "1"]) == Vote("9", {"9": 2, "7": 2, "1": 1}, is_tied=True)
    assert not vote(["9", "9", "7", "1"]).is_tied, "those behind are no ties"


def test_answers_of_one_form_are_one_answer_as_it_was_first_written():
    found = vote(
        ["The cat", "dog", "cat", "CAT."], form=lambda text: text.lower().strip(".").removeprefix("the ")
    )
    assert found == Vote("The cat", {"The cat": 3, "dog": 1}, is_tied=False)


@given(ANSWERS)
def test_every_answer_is_counted_once(answers):
    found = vote(answers)
    assert sum(found.votes.values()) == len(answers)
    assert found.unread == sum(not answer for answer in answers)
    read = Counter(answer for answer in answers if answer)
    assert (found.answer is None) == (not read)
    if read:
        assert read[found.answer] == max(read.values())
        assert found.is_tied == (list(read.values()).count(max(read.values())) > 1)


@given(ANSWERS, st.randoms())
def test_without_a_tie_the_order_is_of_no_matter(answers, random):
    found = vote(answers)
    if not found.is_tied:
        turned = list(answers)
        random.shuffle(turned)
        assert vote(turned).answer == found.answer
