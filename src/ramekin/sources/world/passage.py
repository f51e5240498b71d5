"""The tasks on a passage: boolq (yes or no), multirc (is an answer right) and squad (which words answer).

A passage tells one to three facts, in any order. None contradicts another, and no two tell more together than
each by itself, so that what a passage says is what one of its sentences says. One of the facts decides the
answer; the others are near misses of it or have nothing to do with it.
"""

from dataclasses import replace
from random import Random

from ramekin.sources.world.change import miss
from ramekin.sources.world.draw import chance, draw_comparison, draw_count, draw_event, draw_fact, pick
from ramekin.sources.world.entailment import draw_hypothesis, not_entailment, premise_for
from ramekin.sources.world.grammar import Asked, ask, draw_wording, say
from ramekin.sources.world.lexicon import CLASSES, ENTITIES, NUMBERS, PLACES, TIMES
from ramekin.sources.world.meaning import (
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    Comparison,
    Count,
    Event,
    Fact,
    answers,
    judge,
)

__all__ = ["PARTS", "answer_to", "boolq", "draw_asked", "multirc", "shuffled", "squad", "telling"]

PARTS: tuple[Asked, ...] = ("agent", "patient", "place", "time", "greater", "lesser", "number")
"""What squad's questions ask for, each as often as the others."""
_PARTIES: tuple[Asked, ...] = ("agent", "patient", "greater", "lesser")
_NEAR = 0.6  # of the other facts of a passage: near misses of the one that decides
_TRIES = 20


def boolq(rng: Random, label: int) -> dict[str, object]:
    """A question and a passage; label 1 (yes) when the passage says what is asked about, else 0 (no)."""
    asked = draw_hypothesis(rng)
    verdict = ENTAILMENT if label == 1 else not_entailment(rng, asked)
    facts = [premise_for(rng, asked, verdict)]
    for _ in range(pick(rng, (0, 0, 1, 2))):
        other = _other_fact(rng, facts)
        if judge(other, asked) == NEUTRAL and not any(_touch(other, fact) for fact in (*facts, asked)):
            facts.append(other)
    return {"question": _whether(rng, asked), "passage": " ".join(_sentences(rng, facts)), "label": label}


def multirc(rng: Random, label: int) -> dict[str, object]:
    """A paragraph, a question and an answer to it; label 1 when the paragraph says so, else 0."""
    while True:
        fact, part = draw_asked(rng, pick(rng, PARTS))
        facts = telling(rng, fact, part, others=pick(rng, (1, 1, 2)))
        right = [answer_to(told, part) for told in facts if answers(told, fact, part)]
        wrong = sorted(_named(facts, part) - {*right, *_named([fact], part)})
        if wrong:
            break
    return {
        "paragraph": " ".join(_sentences(rng, facts)),
        "question": ask(fact, part, draw_wording(rng)),
        "answer": pick(rng, right if label == 1 else wrong),
        "label": label,
    }


def squad(rng: Random, label: int) -> dict[str, object]:
    """A passage, a question for part `label` of `PARTS`, and the words of the passage that answer it."""
    fact, part = draw_asked(rng, PARTS[label])
    facts = telling(rng, fact, part, others=pick(rng, (0, 1, 1, 2)))
    told, *others = facts
    facts = shuffled(rng, [told, *(other for other in others if not answers(other, fact, part))])
    sentences, answer = [_sentence(rng, each) for each in facts], answer_to(told, part)
    place = facts.index(told)
    before = " ".join([*sentences[:place], ""])
    return {
        "title": _title(facts[0]),
        "context": " ".join(sentences),
        "question": ask(fact, part, draw_wording(rng)),
        "answers": {"text": [answer], "answer_start": [len(before) + sentences[place].index(answer)]},
    }


def _whether(rng: Random, asked: Fact) -> str:
    """The yes-or-no question; a class or a denial has only the longer form."""
    is_plain = not isinstance(asked, Event) or (
        asked.happened and asked.agent not in CLASSES and asked.patient not in CLASSES
    )
    if is_plain and chance(rng, 0.5):
        return ask(asked, "whether", draw_wording(rng))
    return f"is it told that {say(asked, draw_wording(rng))} ?"


def draw_asked(rng: Random, part: Asked) -> tuple[Fact, Asked]:
    """A fact as a question for the part shows it."""
    if part in ("greater", "lesser"):
        return draw_comparison(rng), part
    if part == "number":
        return draw_count(rng, exact=1.0), part
    event = draw_event(rng, place=1.0 if part == "place" else 0.3)
    return (replace(event, time=pick(rng, TIMES)) if part == "time" else event), part


def telling(rng: Random, fact: Fact, part: Asked, *, others: int) -> list[Fact]:
    """The facts of a passage; the first answers the question."""
    told = fact
    if isinstance(fact, Event):
        # What the question does not ask about, the passage may tell.
        place = fact.place or (pick(rng, PLACES) if chance(rng, 0.3) else None)
        told = replace(fact, place=place, time=fact.time or (pick(rng, TIMES) if chance(rng, 0.3) else None))
    facts = [told]
    for _ in range(others * _TRIES):
        other = _other_fact(rng, facts)
        if isinstance(other, Event) and other.time is not None:
            other = replace(other, time=pick(rng, TIMES))
        if not any(_touch(other, each) for each in facts):
            facts.append(other)
        if len(facts) > others:
            break
    return facts


def _other_fact(rng: Random, facts: list[Fact]) -> Fact:
    return miss(rng, facts[0]) if chance(rng, _NEAR) else draw_fact(rng)


def _touch(one: Fact, other: Fact) -> bool:
    """Whether two facts are the same, contradict each other, or could tell more together than apart.

    Of two comparisons in one dimension a third can follow, and of two bounds a number.
    """
    if isinstance(one, Comparison) and isinstance(other, Comparison):
        return one.dimension == other.dimension
    if isinstance(one, Count) and isinstance(other, Count):
        return (one.owner, one.thing) == (other.owner, other.thing)
    return one == other or CONTRADICTION in (judge(one, other), judge(other, one))


def _sentences(rng: Random, facts: list[Fact]) -> list[str]:
    return [_sentence(rng, fact) for fact in shuffled(rng, facts)]


def _sentence(rng: Random, fact: Fact) -> str:
    return f"{say(fact, draw_wording(rng))} ."


def shuffled(rng: Random, facts: list[Fact]) -> list[Fact]:
    """The facts in random order."""
    left = list(facts)
    return [left.pop(int(rng.random() * len(left))) for _ in facts]


def answer_to(fact: Fact, part: Asked) -> str:
    """The words for the part of a fact."""
    if isinstance(fact, Count):
        return NUMBERS[fact.least]
    value = str(getattr(fact, part))
    return value if part == "time" else f"the {value}"


def _named(facts: list[Fact], part: Asked) -> set[str]:
    """What the facts name of the kind that the part is of."""
    found: set[str] = set()
    for fact in facts:
        if part in _PARTIES:
            values = (getattr(fact, name, None) for name in (*_PARTIES, "owner"))
            found.update(f"the {value}" for value in values if value in ENTITIES)
        elif part == "number":
            if isinstance(fact, Count) and fact.least == fact.most:
                found.add(NUMBERS[fact.least])
        elif isinstance(fact, Event) and getattr(fact, part) is not None:
            found.add(answer_to(fact, part))
    return found


def _title(fact: Fact) -> str:
    """Whom the fact is about, as titles of articles are."""
    name = {Event: "agent", Comparison: "greater", Count: "owner"}[type(fact)]
    return str(getattr(fact, name)).capitalize()
