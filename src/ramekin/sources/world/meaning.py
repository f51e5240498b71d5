"""What sentences of the world mean, and what follows from what.

A sentence tells one fact: an `Event` (who did what to whom, perhaps where and when, or that it never
happened), a `Comparison` (a strict order) or a `Count` (how many things somebody has, as an interval). The
functions are the small logic that gives every row its true answer. They know no word order and no tasks.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from ramekin.sources.world.lexicon import CLASS_OF

__all__ = [
    "CONTRADICTION",
    "ENTAILMENT",
    "NEUTRAL",
    "Comparison",
    "Count",
    "Event",
    "Fact",
    "Verdict",
    "agreement",
    "answers",
    "judge",
    "same_question",
]

Verdict: TypeAlias = Literal["entailment", "neutral", "contradiction"]
ENTAILMENT: Verdict = "entailment"
NEUTRAL: Verdict = "neutral"
CONTRADICTION: Verdict = "contradiction"


@final
@dataclass(frozen=True, slots=True)
class Event:
    """Somebody did something to somebody: `agent` and `patient` are entities or classes ('a worker').

    When `happened` is false the event happened at no time to anything that fits: no worker helped the dog.
    """

    agent: str
    action: str
    patient: str
    place: str | None = None
    time: str | None = None
    happened: bool = True


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """`greater` exceeds `lesser` in `dimension`; the order is strict, so never both ways."""

    greater: str
    dimension: str
    lesser: str


@final
@dataclass(frozen=True, slots=True)
class Count:
    """`owner` has between `least` and `most` of `thing` (both included; most None: no upper bound)."""

    owner: str
    thing: str
    least: int
    most: int | None


Fact: TypeAlias = Event | Comparison | Count


def judge(premise: Fact, hypothesis: Fact) -> Verdict:
    """What `premise`, taken as true, says of `hypothesis`."""
    if isinstance(premise, Event) and isinstance(hypothesis, Event):
        return _judge_event(premise, hypothesis)
    if isinstance(premise, Count) and isinstance(hypothesis, Count):
        return _judge_count(premise, hypothesis)
    if isinstance(premise, Comparison) and isinstance(hypothesis, Comparison):
        return _judge_comparison(premise, hypothesis)
    return NEUTRAL


def _judge_event(premise: Event, hypothesis: Event) -> Verdict:
    if premise.happened:
        if not _is_a_case(premise, hypothesis):
            return NEUTRAL
        return ENTAILMENT if hypothesis.happened else CONTRADICTION
    if not _is_a_case(hypothesis, premise):
        return NEUTRAL
    return CONTRADICTION if hypothesis.happened else ENTAILMENT


def _is_a_case(narrow: Event, wide: Event) -> bool:
    """Whether every event that fits `narrow` fits `wide` too, whatever `happened` says."""
    return (
        narrow.action == wide.action
        and _covers(wide.agent, narrow.agent)
        and _covers(wide.patient, narrow.patient)
        and (wide.place is None or wide.place == narrow.place)
        and (wide.time is None or wide.time == narrow.time)
    )


def _covers(wide: str, narrow: str) -> bool:
    return wide == narrow or CLASS_OF.get(narrow) == wide


def _judge_count(premise: Count, hypothesis: Count) -> Verdict:
    if (premise.owner, premise.thing) != (hypothesis.owner, hypothesis.thing):
        return NEUTRAL
    premise_most = float("inf") if premise.most is None else premise.most
    hypothesis_most = float("inf") if hypothesis.most is None else hypothesis.most
    if premise.least > hypothesis_most or hypothesis.least > premise_most:
        return CONTRADICTION
    if premise.least >= hypothesis.least and premise_most <= hypothesis_most:
        return ENTAILMENT
    return NEUTRAL


def _judge_comparison(premise: Comparison, hypothesis: Comparison) -> Verdict:
    if premise.dimension != hypothesis.dimension:
        return NEUTRAL
    told, asked = (premise.greater, premise.lesser), (hypothesis.greater, hypothesis.lesser)
    if told == asked:
        return ENTAILMENT
    return CONTRADICTION if told == asked[::-1] else NEUTRAL


def same_question(one: Fact, other: Fact, asked: str) -> bool:
    """Whether asking for the part `asked` of either fact is the same question: all the rest agrees."""
    if type(one) is not type(other):
        return False
    return all(
        getattr(one, part) == getattr(other, part) for part in _parts(one) if part not in _hidden(asked)
    )


def answers(told: Fact, fact: Fact, asked: str) -> bool:
    """Whether `told` answers the question for the part `asked` of `fact`, whatever the answer is."""
    if type(told) is not type(fact):
        return False
    for part in (*_parts(fact), *_hidden(asked)):
        mine, theirs = getattr(told, part), getattr(fact, part)
        if part in _hidden(asked):
            if mine is None:
                return False
        elif theirs is not None and mine != theirs:
            return False
    return not isinstance(told, Count) or told.least == told.most


def _parts(fact: Fact) -> tuple[str, ...]:
    return tuple(fact.__dataclass_fields__)


def _hidden(asked: str) -> tuple[str, ...]:
    hidden = {"number": ("least", "most"), "whether": ()}
    return hidden.get(asked, (asked,))


def agreement(one: Event, other: Event) -> float:
    """How far two events agree, 0.0 to 5.0: 1 for each equal part, 0.5 for a party of the same class.

    Who did what to whom are three of the five; where each party stands in the other's place it is another
    deed, and none of the three counts.
    """
    score = sum(float(getattr(one, part) == getattr(other, part)) for part in ("place", "time"))
    if (one.agent, one.patient) == (other.patient, other.agent):
        return score
    score += float(one.action == other.action)
    for mine, theirs in ((one.agent, other.agent), (one.patient, other.patient)):
        score += 1.0 if mine == theirs else 0.5 if CLASS_OF[mine] == CLASS_OF[theirs] else 0.0
    return score
