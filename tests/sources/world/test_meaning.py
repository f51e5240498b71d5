"""The logic of the world: laws that hold for all facts."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ramekin.sources.world.change import miss, narrow, swap, wide
from ramekin.sources.world.draw import another, draw_comparison, draw_count, draw_event, draw_fact, two_of
from ramekin.sources.world.grammar import draw_wording, reword, say
from ramekin.sources.world.meaning import (
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    Count,
    Event,
    agreement,
    answers,
    judge,
    same_question,
)

RNG = st.integers(0, 2**31).map(Random)


@given(RNG)
def test_a_fact_entails_itself(rng: Random) -> None:
    fact = draw_fact(rng, never=0.5, kind=0.3)
    assert judge(fact, fact) == ENTAILMENT


@given(RNG)
def test_contradiction_goes_both_ways(rng: Random) -> None:
    one = draw_fact(rng, never=0.5, kind=0.3)
    other = miss(rng, one)
    assert (judge(one, other) == CONTRADICTION) == (judge(other, one) == CONTRADICTION)


@given(RNG)
def test_a_case_entails_what_it_is_a_case_of(rng: Random) -> None:
    event = draw_event(rng)
    case, general = narrow(rng, event), wide(rng, event)
    assert judge(case, event) == judge(event, general) == judge(case, general) == ENTAILMENT
    denied = replace(general, happened=False)
    assert judge(denied, replace(case, happened=False)) == ENTAILMENT
    assert judge(case, denied) == judge(denied, case) == CONTRADICTION


@given(RNG)
def test_a_comparison_excludes_its_swap(rng: Random) -> None:
    fact = draw_comparison(rng)
    assert judge(fact, swap(fact)) == CONTRADICTION
    assert judge(fact, replace(fact, greater=another(rng, ("a", "b"), fact.greater))) == NEUTRAL


@given(RNG, st.integers(0, 9))
def test_counts_agree_with_the_numbers_they_allow(rng: Random, number: int) -> None:
    bound = draw_count(rng)
    exact = Count(bound.owner, bound.thing, number, number)
    allowed = bound.least <= number and (bound.most is None or number <= bound.most)
    assert judge(exact, bound) == (ENTAILMENT if allowed else CONTRADICTION)


def test_facts_of_different_sorts_say_nothing_of_each_other() -> None:
    rng = Random(0)
    assert judge(draw_event(rng), draw_count(rng)) == NEUTRAL
    assert not same_question(draw_event(rng), draw_count(rng), "agent")
    assert not answers(draw_event(rng), draw_count(rng), "agent")


@given(RNG)
def test_a_near_miss_is_another_fact(rng: Random) -> None:
    fact = draw_fact(rng, never=0.5, kind=0.3)
    assert miss(rng, fact) != fact


@given(RNG)
def test_two_wordings_are_two_texts(rng: Random) -> None:
    fact = draw_fact(rng, never=0.5, kind=0.3)
    wording = draw_wording(rng)
    assert say(fact, wording) != say(fact, reword(rng, fact, wording))


@given(RNG)
def test_agreement_is_five_for_the_same_and_symmetric(rng: Random) -> None:
    one, other = (draw_event(rng, place=1.0, time=1.0) for _ in range(2))
    assert agreement(one, one) == 5.0
    assert agreement(one, other) == agreement(other, one) <= 5.0


@given(RNG)
def test_two_of_are_two(rng: Random) -> None:
    one, other = two_of(rng, ("a", "b", "c"))
    assert one != other


def test_an_event_that_never_happened_answers_nothing_new() -> None:
    asked = Event("dog", "help", "cat", "park")
    assert answers(asked, asked, "place")
    assert not answers(replace(asked, happened=False), asked, "place")
    assert not answers(replace(asked, place=None), asked, "place")
