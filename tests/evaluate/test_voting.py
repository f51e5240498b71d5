"""Votes by hand, what holds of any, and as the runner carries them out."""

import doctest
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramekin.evaluate.voting as module
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.reading import read_answer
from ramekin.evaluate.runner import evaluate
from ramekin.evaluate.voting import Vote, vote
from ramekin.text.metrics.squad import normalised

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
def test_without_a_tie_the_order_is_of_no_matter(answers, dice):
    found = vote(answers)
    if not found.is_tied:
        turned = list(answers)
        dice.shuffle(turned)
        assert vote(turned).answer == found.answer


def test_where_the_right_answer_is_the_commonest_of_many_more_voters_find_it_more_often() -> None:
    """Right four times in ten, wrong in three ways twice in ten each: 40 % alone, and nearly always by many."""
    rng = random.Random(0)
    rows = [rng.choices(["right", "x", "y", "z"], [4, 2, 2, 2], k=81) for _ in range(500)]
    shares = [sum(vote(row[:n]).answer == "right" for row in rows) / len(rows) for n in (1, 9, 81)]
    assert 0.33 < shares[0] < 0.47 and 0.55 < shares[1] < 0.85 and shares[2] > 0.97


@pytest.fixture
def world(model, tokenizer, choice_set, eval_set, text_task):
    """Answers among options, which seldom can be read, and free text, which always can."""
    choices = choice_set([(["cat", "red dog", "old fish"], row % 3, []) for row in range(9)])
    return model, tokenizer, [choices, eval_set(text_task(), ["the cat", "a dog", "red"] * 4)]


@pytest.mark.parametrize("samples", [2, 5, 11])
def test_fewer_samples_are_the_first_of_more(world, samples: int) -> None:
    """So that votes of any number can be counted of samples that were drawn once."""
    model, tokenizer, sets = world
    rules = {"sampling_temperature": 0.9, "max_new_tokens": 4}
    more = evaluate(model, tokenizer, sets, mode=MODES["self_consistency"].changed(num_samples=12, **rules))
    mode = MODES["self_consistency"].changed(num_samples=samples, **rules)
    for one, other in zip(evaluate(model, tokenizer, sets, mode=mode).tasks, more.tasks, strict=True):
        tied = unread = 0
        for few, many in zip(one.predictions, other.predictions, strict=True):
            assert len(many.samples) == 12 and few.samples == many.samples[:samples]
            options = few.options or one.options
            read = [read_answer(text, mode, options=options) for text in few.samples]
            counted = vote(read, form=str if options else normalised)
            assert few.prediction == (counted.answer or "") and few.votes == counted.votes
            tied, unread = tied + counted.is_tied, unread + counted.unread
        assert (one.ties, one.unread_samples) == (tied, unread)
    assert {each.samples[0] for each in more.tasks[1].predictions} != {""}, "something is written"


def test_a_single_sample_is_read_as_one_vote(world) -> None:
    model, tokenizer, sets = world
    rules = {"sampling_temperature": 0.9, "max_new_tokens": 4}
    more = evaluate(model, tokenizer, sets, mode=MODES["self_consistency"].changed(num_samples=3, **rules))
    mode = MODES["self_consistency"].changed(num_samples=1, **rules)
    for one, other in zip(evaluate(model, tokenizer, sets, mode=mode).tasks, more.tasks, strict=True):
        for single, many in zip(one.predictions, other.predictions, strict=True):
            read = read_answer(many.samples[0], mode, options=many.options or other.options)
            assert single.prediction == (read or "")
