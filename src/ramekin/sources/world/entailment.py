"""The tasks on what follows from what: mnli, rte and qnli.

The hypothesis (or question) is drawn first, in the same way for every label, and a text is then made to fit the
label: so the hypothesis alone says nothing about it. The label is always what `judge` says, never what the
maker intended.
"""

from dataclasses import replace
from random import Random

from ramekin.sources.world.change import miss, narrow, wide
from ramekin.sources.world.draw import chance, draw_comparison, draw_count, draw_event, pick
from ramekin.sources.world.grammar import Asked, ask, say
from ramekin.sources.world.lexicon import ENTITIES, DIMENSIONS, NUMBERS, PLACES
from ramekin.sources.world.meaning import (
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    Comparison,
    Count,
    Event,
    Fact,
    Verdict,
    judge,
)

__all__ = ["mnli", "qnli", "rte"]

VERDICTS: tuple[Verdict, ...] = (ENTAILMENT, NEUTRAL, CONTRADICTION)


def mnli(rng: Random, label: int) -> dict[str, object]:
    """A premise and a hypothesis; label 0 entailment, 1 neutral, 2 contradiction."""
    hypothesis = _hypothesis(rng, 0.7)
    premise = _premise(rng, hypothesis, VERDICTS[label])
    return {"premise": say(rng, premise), "hypothesis": say(rng, hypothesis), "label": label}


def rte(rng: Random, label: int) -> dict[str, object]:
    """A text and a sentence; label 0 when the text entails the sentence, else 1."""
    hypothesis = _hypothesis(rng, 0.5)
    verdict = ENTAILMENT if label == 0 else pick(rng, (NEUTRAL, CONTRADICTION))
    premise = _premise(rng, hypothesis, verdict)
    return {"sentence1": say(rng, premise), "sentence2": say(rng, hypothesis), "label": label}


def _hypothesis(rng: Random, events: float) -> Fact:
    if chance(rng, events):
        return draw_event(rng, place=0.3, never=0.5, kind=0.3)
    return draw_comparison(rng) if chance(rng, 0.6) else draw_count(rng, exact=0.5)


def _premise(rng: Random, hypothesis: Fact, verdict: Verdict) -> Fact:
    """A fact of which `judge` says `verdict` for `hypothesis`."""
    while True:
        premise = _candidate(rng, hypothesis, verdict)
        if judge([premise], hypothesis) == verdict:
            return premise


def _candidate(rng: Random, hypothesis: Fact, verdict: Verdict) -> Fact:
    if verdict == NEUTRAL:
        # broken from what would have entailed or contradicted, so that a neutral text looks like the others
        aimed = _candidate(rng, hypothesis, pick(rng, (ENTAILMENT, CONTRADICTION)))
        return miss(rng, aimed)
    if isinstance(hypothesis, Event):
        happened = hypothesis.happened == (verdict == ENTAILMENT)
        made = narrow(rng, hypothesis) if happened else wide(rng, hypothesis)
        return replace(made, happened=happened)
    if isinstance(hypothesis, Comparison):
        if verdict == ENTAILMENT:
            return hypothesis
        return Comparison(hypothesis.lesser, hypothesis.dimension, hypothesis.greater)
    return replace(draw_count(rng), owner=hypothesis.owner, thing=hypothesis.thing)


def qnli(rng: Random, label: int) -> dict[str, object]:
    """A question and a sentence; label 0 when the sentence answers the question, else 1."""
    fact, asked = draw_question(rng)
    told = fact if label == 0 else _no_answer(rng, fact, asked)
    question = ask(rng, fact, asked)
    return {"question": question, "sentence": say(rng, told), "label": label}


def draw_question(rng: Random) -> tuple[Fact, Asked]:
    """A fact and the part of it to ask for."""
    which = rng.random()
    if which < 0.7:
        asked: Asked = pick(rng, ("agent", "patient", "place"))
        event = draw_event(rng, place=0.4)
        return (replace(event, place=pick(rng, PLACES)) if asked == "place" else event), asked
    if which < 0.9:
        return draw_comparison(rng), pick(rng, ("greater", "lesser"))
    return draw_count(rng, exact=1.0), "number"


def _no_answer(rng: Random, fact: Fact, asked: Asked) -> Fact:
    """A near miss of `fact` which does not answer the question about it."""
    while True:
        told = miss(rng, fact)
        if not answers(told, fact, asked):
            return told


def answers(told: Fact, fact: Fact, asked: Asked) -> bool:
    """Whether `told` gives the part `asked` of a fact that otherwise is as `fact`."""
    if isinstance(told, Event) and isinstance(fact, Event):
        if told.action != fact.action or not told.happened:
            return False
        return all(
            part == asked or getattr(fact, part) is None or getattr(fact, part) == getattr(told, part)
            for part in ("agent", "patient", "place")
        ) and getattr(told, asked) is not None
    if isinstance(told, Comparison) and isinstance(fact, Comparison):
        if told.dimension != fact.dimension:
            return False
        return told.lesser == fact.lesser if asked == "greater" else told.greater == fact.greater
    if isinstance(told, Count) and isinstance(fact, Count):
        return (told.owner, told.thing) == (fact.owner, fact.thing) and told.least == told.most
    return False
