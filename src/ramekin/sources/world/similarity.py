"""The tasks on sameness of meaning: mrpc (sentences), qqp (questions) and stsb (graded)."""

from dataclasses import replace
from random import Random

from ramekin.sources.world.change import miss, swap
from ramekin.sources.world.draw import another, chance, draw_event, draw_fact, pick
from ramekin.sources.world.entailment import draw_question
from ramekin.sources.world.grammar import Asked, ask, say
from ramekin.sources.world.lexicon import ACTIONS, CLASSES, CLASS_OF, ENTITIES, PLACES, TIMES
from ramekin.sources.world.meaning import Comparison, Count, Event, Fact

__all__ = ["mrpc", "qqp", "stsb"]

_ACTIONS = tuple(ACTIONS)


def mrpc(rng: Random, label: int) -> dict[str, object]:
    """Two sentences; label 1 when they mean the same, else 0."""
    fact = draw_fact(rng, never=0.25)
    other = fact if label == 1 else _different(rng, fact)
    return {"sentence1": say(rng, fact), "sentence2": say(rng, other), "label": label}


def _different(rng: Random, fact: Fact) -> Fact:
    if isinstance(fact, Event) and chance(rng, 0.2):
        return replace(fact, happened=not fact.happened)
    return miss(rng, fact)


def qqp(rng: Random, label: int) -> dict[str, object]:
    """Two questions; label 1 when they ask for the same, else 0."""
    fact, asked = draw_question(rng)
    other, other_asked = (fact, asked) if label == 1 else _other_question(rng, fact, asked)
    return {"question1": ask(rng, fact, asked), "question2": ask(rng, other, other_asked), "label": label}


def _other_question(rng: Random, fact: Fact, asked: Asked) -> tuple[Fact, Asked]:
    while True:
        other = miss(rng, fact)
        if isinstance(fact, Event) and chance(rng, 0.3):
            # 'who helped the dog' and 'whom did the dog help' share every word but one
            other = swap(fact)
            flipped: Asked = "patient" if asked == "agent" else "agent" if asked == "patient" else "place"
            return other, flipped
        if question_key(other, asked) != question_key(fact, asked):
            return other, asked


def question_key(fact: Fact, asked: Asked) -> tuple[object, ...]:
    """What a question asks, without the answer: equal keys, same intent."""
    if isinstance(fact, Event):
        return (asked, *(None if p == asked else getattr(fact, p) for p in ("agent", "action", "patient", "place")))
    if isinstance(fact, Comparison):
        return (asked, fact.dimension, fact.lesser if asked == "greater" else fact.greater)
    return (asked, fact.owner, fact.thing)


PARTS = ("agent", "action", "patient", "place", "time")


def stsb(rng: Random, label: int) -> dict[str, object]:
    """Two sentences and how many of the five parts of their meaning agree, from 0 to 5.

    `label` is the number of parts left alone; a party replaced by one of its class counts half.
    """
    event = draw_event(rng, place=1.0, time=1.0)
    parts = list(PARTS)
    changed: set[str] = set()
    for _ in range(5 - label):
        part = another(rng, parts, *changed)
        changed.add(part)
    other = _changed(rng, event, changed)
    return {"sentence1": say(rng, event), "sentence2": say(rng, other), "label": agreement(event, other)}


def _changed(rng: Random, event: Event, changed: set[str]) -> Event:
    if {"agent", "patient"} <= changed and chance(rng, 0.5):
        agent, patient = event.patient, event.agent
    else:
        agent = _stand_in(rng, event.agent, event.patient) if "agent" in changed else event.agent
        patient = _stand_in(rng, event.patient, event.agent, agent) if "patient" in changed else event.patient
    return Event(
        agent,
        another(rng, _ACTIONS, event.action) if "action" in changed else event.action,
        patient,
        another(rng, PLACES, event.place) if "place" in changed else event.place,
        another(rng, TIMES, event.time) if "time" in changed else event.time,
    )


def _stand_in(rng: Random, name: str, *taken: str) -> str:
    choices = CLASSES[CLASS_OF[name]] if chance(rng, 0.4) else ENTITIES
    return another(rng, choices, name, *taken)


def agreement(one: Event, other: Event) -> float:
    """How far two events agree, 0.0 to 5.0: 1 for each equal part, 0.5 for a party of the same class."""
    score = sum(float(getattr(one, p) == getattr(other, p)) for p in ("action", "place", "time"))
    for mine, theirs in ((one.agent, other.agent), (one.patient, other.patient)):
        score += 1.0 if mine == theirs else 0.5 if CLASS_OF[mine] == CLASS_OF[theirs] else 0.0
    return score
