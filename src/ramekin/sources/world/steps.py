"""The tasks that take steps: chain (which of two), ranking (who is first of three), tally, ledger (how many).

Each row tells facts, asks what none of them says by itself, and has the steps that lead from the facts to the
answer, so that chains of thought can be learned and scored without a download. The other tasks of the world
take one step and have no such column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, permutations
from random import Random
from typing import final

from ramekin.sources.world.draw import another, chance, draw_count, pick, two_of
from ramekin.sources.world.grammar import ask, draw_wording, say
from ramekin.sources.world.lexicon import DIMENSIONS, ENTITIES, NUMBERS, THINGS
from ramekin.sources.world.meaning import Comparison, Count

__all__ = ["chain", "ledger", "ranking", "tally"]

_LARGEST = len(NUMBERS) - 1
_CHANGES = 3
"""Of a ledger's number."""


def chain(rng: Random, label: int) -> dict[str, object]:
    """Two comparisons in a row, and which of their ends is more: the one named first (label 0) or second."""
    order = _draw_order(rng)
    falling = chance(rng, 0.5)
    right, wrong = (order.high, order.low) if falling else (order.low, order.high)
    named = [right, wrong] if label == 0 else [wrong, right]
    word = DIMENSIONS[order.dimension][0 if falling else 1]
    return {
        "facts": _told(rng, order),
        "question": f"who is {word} , the {named[0]} or the {named[1]} ?",
        "choices": [f"the {each}" for each in named],
        "steps": f"{order.steps(falling=falling)} .",
        "answer": f"the {right}",
    }


def ranking(rng: Random, label: int) -> dict[str, object]:
    """Two comparisons in a row, and who is first in it (label 1) or last (label 0)."""
    order = _draw_order(rng)
    word = DIMENSIONS[order.dimension][0 if label == 1 else 1]
    return {
        "facts": _told(rng, order),
        "question": f"who is the {word[:-1]}st ?",
        "steps": f"{order.steps(falling=label == 1)} .",
        "answer": f"the {order.high if label == 1 else order.low}",
    }


def tally(rng: Random, label: int) -> dict[str, object]:
    """How many things somebody has after gaining (label 1) or losing (label 0) some; another has some too.

    All numbers are two or more, so that things are always several.
    """
    owner, other = two_of(rng, ENTITIES)
    thing = pick(rng, THINGS)
    if label == 1:
        before = 2 + int(rng.random() * (_LARGEST - 3))
        change = 2 + int(rng.random() * (_LARGEST - before - 1))
        after = before + change
    else:
        before = 4 + int(rng.random() * (_LARGEST - 3))
        change = 2 + int(rng.random() * (before - 3))
        after = before - change
    beside = Count(other, thing, *2 * (draw_count(rng, exact=1.0).least,))
    facts = [say(Count(owner, thing, before, before), draw_wording(rng)), say(beside, draw_wording(rng))]
    if chance(rng, 0.5):
        facts.reverse()
    verb, step = ("gets", "and") if label == 1 else ("loses", "without")
    return {
        "facts": f"{facts[0]} . {facts[1]} . then the {owner} {verb} {NUMBERS[change]} {thing} .",
        "question": ask(Count(owner, thing, after, after), "number", draw_wording(rng)),
        "steps": f"{NUMBERS[before]} {step} {NUMBERS[change]} are {NUMBERS[after]} .",
        "answer": NUMBERS[after],
    }


def ledger(rng: Random, label: int) -> dict[str, object]:
    """How many things somebody has after three changes: more (label 1) or fewer (label 0) than at first.

    The steps take the changes in any order in which no number on the way is below one or above nine: three
    orders a row on average, all of which lead to the same answer.
    """
    while True:
        before = 2 + int(rng.random() * (_LARGEST - 1))
        changes = [_draw_change(rng) for _ in range(_CHANGES)]
        after = before + sum(changes)
        orders = [order for order in permutations(changes) if _stays_within(before, order)]
        is_so = after > before if label == 1 else after < before
        if is_so and after >= 2 and tuple(changes) in orders:
            break
    owner, other = two_of(rng, ENTITIES)
    thing = pick(rng, THINGS)
    beside = Count(other, thing, *2 * (draw_count(rng, exact=1.0).least,))
    facts = [say(Count(owner, thing, before, before), draw_wording(rng)), say(beside, draw_wording(rng))]
    if chance(rng, 0.5):
        facts.reverse()
    facts += [
        f"then the {owner} {'gets' if change > 0 else 'loses'} {NUMBERS[abs(change)]} {thing}"
        for change in changes
    ]
    return {
        "facts": " . ".join(facts) + " .",
        "question": ask(Count(owner, thing, after, after), "number", draw_wording(rng)),
        "steps": _reckoned(before, pick(rng, orders)),
        "answer": NUMBERS[after],
    }


def _draw_change(rng: Random) -> int:
    """Two to five more, or fewer."""
    size = 2 + int(rng.random() * 4)
    return size if chance(rng, 0.5) else -size


def _stays_within(before: int, changes: Sequence[int]) -> bool:
    return all(1 <= number <= _LARGEST for number in accumulate(changes, initial=before))


def _reckoned(before: int, changes: Sequence[int]) -> str:
    """The number after each change in words."""
    numbers = accumulate(changes, initial=before)
    return " ".join(
        f"{NUMBERS[number]} {'and' if change > 0 else 'without'} {NUMBERS[abs(change)]} are "
        f"{NUMBERS[number + change]} ."
        for number, change in zip(numbers, changes, strict=False)  # no change is after the last number
    )


@final
@dataclass(frozen=True, slots=True)
class _Order:
    """Three entities in a row."""

    high: str
    middle: str
    low: str
    dimension: str

    @property
    def links(self) -> tuple[Comparison, Comparison]:
        """What is told of it."""
        return (
            Comparison(self.high, self.dimension, self.middle),
            Comparison(self.middle, self.dimension, self.low),
        )

    def steps(self, *, falling: bool) -> str:
        """Both comparisons in words, from the first to the last or the other way round."""
        more, less = DIMENSIONS[self.dimension]
        if falling:
            return f"the {self.high} is {more} than the {self.middle} , who is {more} than the {self.low}"
        return f"the {self.low} is {less} than the {self.middle} , who is {less} than the {self.high}"


def _draw_order(rng: Random) -> _Order:
    high, middle = two_of(rng, ENTITIES)
    return _Order(high, middle, another(rng, ENTITIES, high, middle), pick(rng, tuple(DIMENSIONS)))


def _told(rng: Random, order: _Order) -> str:
    """The two comparisons as sentences, in either order."""
    sentences = [f"{say(link, draw_wording(rng))} ." for link in order.links]
    if chance(rng, 0.5):
        sentences.reverse()
    return " ".join(sentences)
