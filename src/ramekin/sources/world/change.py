"""Changes of a fact: the same fact with one part of its meaning altered, widened or narrowed.

A near miss differs in as little as possible, so that words shared by two sentences say nothing about whether
their meanings agree.
"""

from dataclasses import replace
from random import Random

from ramekin.sources.world.draw import another, chance, pick
from ramekin.sources.world.lexicon import ACTIONS, CLASS_OF, CLASSES, DIMENSIONS, ENTITIES, PLACES, THINGS
from ramekin.sources.world.meaning import Comparison, Count, Event, Fact

__all__ = ["miss", "narrow", "other_party", "swap", "wide"]

_ACTIONS = tuple(ACTIONS)
_CLASSES = tuple(CLASSES)
_DIMENSIONS = tuple(DIMENSIONS)


def swap(fact: Event | Comparison) -> Fact:
    """The two parties change places: who did it becomes who suffered it."""
    if isinstance(fact, Event):
        return replace(fact, agent=fact.patient, patient=fact.agent)
    return replace(fact, greater=fact.lesser, lesser=fact.greater)


def other_party(rng: Random, name: str, *taken: str) -> str:
    """An entity for an entity, a class for a class; none of `taken`, and no member or class of `name`."""
    if name in CLASSES:
        return another(rng, _CLASSES, name, *taken)
    return another(rng, ENTITIES, name, *taken)


def miss(rng: Random, fact: Fact, *, swaps: float = 0.25) -> Fact:
    """A near miss of `fact`: its parties swapped, or one part replaced."""
    if isinstance(fact, Count):
        return _miss_count(rng, fact)
    if chance(rng, swaps):
        return swap(fact)
    if isinstance(fact, Comparison):
        return _miss_comparison(rng, fact)
    return _miss_event(rng, fact)


def _miss_event(rng: Random, event: Event) -> Event:
    made = event
    for part in _some_of(rng, ("agent", "action", "patient", "place") if event.place else ("agent", "action", "patient")):
        if part == "agent":
            made = replace(made, agent=other_party(rng, event.agent, made.patient, event.patient))
        elif part == "patient":
            made = replace(made, patient=other_party(rng, event.patient, made.agent, event.agent))
        elif part == "action":
            made = replace(made, action=another(rng, _ACTIONS, event.action))
        else:
            made = replace(made, place=another(rng, PLACES, event.place))
    return made


def _miss_comparison(rng: Random, fact: Comparison) -> Comparison:
    made = fact
    for part in _some_of(rng, ("greater", "lesser", "dimension")):
        if part == "greater":
            made = replace(made, greater=another(rng, ENTITIES, fact.greater, fact.lesser, made.lesser))
        elif part == "lesser":
            made = replace(made, lesser=another(rng, ENTITIES, fact.greater, fact.lesser, made.greater))
        else:
            made = replace(made, dimension=another(rng, _DIMENSIONS, fact.dimension))
    return made


def _some_of(rng: Random, parts: tuple[str, ...]) -> list[str]:
    """One to three different parts; one of them more often than not would be too hard to begin with."""
    left = list(parts)
    return [left.pop(int(rng.random() * len(left))) for _ in range(1 + int(rng.random() * 3))]


def _miss_count(rng: Random, fact: Count) -> Count:
    if chance(rng, 0.5):
        return replace(fact, owner=another(rng, ENTITIES, fact.owner))
    return replace(fact, thing=another(rng, THINGS, fact.thing))


def narrow(rng: Random, event: Event, *, place: float = 0.6, member: float = 1.0) -> Event:
    """A case of `event`: a class becomes one of its members, a missing place is named."""
    agent, patient = event.agent, event.patient
    if agent in CLASSES and chance(rng, member):
        agent = another(rng, CLASSES[agent], patient)
    if patient in CLASSES and chance(rng, member):
        patient = another(rng, CLASSES[patient], agent)
    where = event.place or (pick(rng, PLACES) if chance(rng, place) else None)
    return replace(event, agent=agent, patient=patient, place=where)


def wide(rng: Random, event: Event, *, place: float = 0.6, kind: float = 0.4) -> Event:
    """Something `event` is a case of: the place is dropped, one party becomes its class."""
    agent, patient = event.agent, event.patient
    if agent not in CLASSES and patient not in CLASSES and chance(rng, kind):
        if chance(rng, 0.5):
            agent = CLASS_OF[agent]
        else:
            patient = CLASS_OF[patient]
    return replace(event, agent=agent, patient=patient, place=None if chance(rng, place) else event.place)
