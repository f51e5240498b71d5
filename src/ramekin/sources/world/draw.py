"""Random draws and random facts of the world.

Only `Random.random()` is used: it alone promises the same numbers in every version of Python, and a seed must
give the same rows everywhere.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from ramekin.sources.world.lexicon import (
    ACTIONS,
    CLASSES,
    DIMENSIONS,
    ENTITIES,
    PLACES,
    THINGS,
    TIMES,
)
from ramekin.sources.world.meaning import Comparison, Count, Event, Fact

__all__ = [
    "another",
    "chance",
    "draw_comparison",
    "draw_count",
    "draw_event",
    "draw_fact",
    "pick",
    "two_of",
]

T = TypeVar("T")

_ACTIONS = tuple(ACTIONS)
_CLASSES = tuple(CLASSES)
_DIMENSIONS = tuple(DIMENSIONS)


def chance(rng: Random, probability: float) -> bool:
    """True with the given probability."""
    return rng.random() < probability


def pick(rng: Random, choices: Sequence[T]) -> T:
    """One of `choices`, all equally likely."""
    return choices[int(rng.random() * len(choices))]


def another(rng: Random, choices: Sequence[T], *taken: T | None) -> T:
    """One of `choices` that is none of `taken`."""
    while True:
        found = pick(rng, choices)
        if found not in taken:
            return found


def two_of(rng: Random, choices: Sequence[T]) -> tuple[T, T]:
    """Two different members of `choices`, in random order."""
    first = pick(rng, choices)
    return first, another(rng, choices, first)


def draw_event(
    rng: Random, *, place: float = 0.5, time: float = 0.0, never: float = 0.0, kind: float = 0.0
) -> Event:
    """A random event; each keyword is the probability of that part (`kind`: one party is a class)."""
    agent, patient = two_of(rng, ENTITIES)
    if chance(rng, kind):
        if chance(rng, 0.5):
            agent = pick(rng, _CLASSES)
        else:
            patient = pick(rng, _CLASSES)
    return Event(
        agent,
        pick(rng, _ACTIONS),
        patient,
        pick(rng, PLACES) if chance(rng, place) else None,
        pick(rng, TIMES) if chance(rng, time) else None,
        not chance(rng, never),
    )


def draw_comparison(rng: Random) -> Comparison:
    """A random strict order between two entities."""
    greater, lesser = two_of(rng, ENTITIES)
    return Comparison(greater, pick(rng, _DIMENSIONS), lesser)


def draw_count(rng: Random, *, exact: float = 0.6) -> Count:
    """A random count, 2 to 7: exact with the given probability, else bounded from one side only."""
    owner, thing = pick(rng, ENTITIES), pick(rng, THINGS)
    if chance(rng, exact):
        number = 2 + int(rng.random() * 6)
        return Count(owner, thing, number, number)
    # A bound leaves room on its other side, so that every count can be contradicted.
    bound = 3 + int(rng.random() * 4)
    return Count(owner, thing, bound, None) if chance(rng, 0.5) else Count(owner, thing, 0, bound)


def draw_fact(rng: Random, *, never: float = 0.0, kind: float = 0.0, place: float = 0.5) -> Fact:
    """A random fact: mostly an event, sometimes a comparison, seldom a count."""
    which = rng.random()
    if which < 0.65:
        return draw_event(rng, never=never, kind=kind, place=place)
    return draw_comparison(rng) if which < 0.9 else draw_count(rng)
