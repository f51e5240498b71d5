"""What sentences of the world mean, and what follows from what.

A clause says one fact: an `Event` (who did what to whom, perhaps where and when, or that it never
happened), a `Comparison` (a strict order) or a `Count` (how many things somebody has, as an interval). `judge` is
the small logic that gives every row its true answer. This module knows no words order and no tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from ramekin.sources.world.lexicon import CLASS_OF

__all__ = ["ENTAILMENT", "CONTRADICTION", "NEUTRAL", "Comparison", "Count", "Event", "Fact", "Verdict", "judge"]

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


def judge(premises: Sequence[Fact], hypothesis: Fact) -> Verdict:
    """What `premises`, taken as all true, say of `hypothesis`."""
    if isinstance(hypothesis, Comparison):
        return _judge_comparison([p for p in premises if isinstance(p, Comparison)], hypothesis)
    verdicts = {_judge_one(premise, hypothesis) for premise in premises}
    if CONTRADICTION in verdicts:
        return CONTRADICTION
    return ENTAILMENT if ENTAILMENT in verdicts else NEUTRAL


def _judge_one(premise: Fact, hypothesis: Fact) -> Verdict:
    if isinstance(premise, Event) and isinstance(hypothesis, Event):
        return _judge_event(premise, hypothesis)
    if isinstance(premise, Count) and isinstance(hypothesis, Count):
        return _judge_count(premise, hypothesis)
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


def _judge_comparison(premises: Sequence[Comparison], hypothesis: Comparison) -> Verdict:
    pairs = {(p.greater, p.lesser) for p in premises if p.dimension == hypothesis.dimension}
    if _reaches(pairs, hypothesis.greater, hypothesis.lesser):
        return ENTAILMENT
    return CONTRADICTION if _reaches(pairs, hypothesis.lesser, hypothesis.greater) else NEUTRAL


def _reaches(pairs: set[tuple[str, str]], start: str, end: str) -> bool:
    """Whether a chain of `greater -> lesser` steps leads from `start` to `end`."""
    seen, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        for greater, lesser in pairs:
            if greater == here and lesser not in seen:
                if lesser == end:
                    return True
                seen.add(lesser)
                frontier.append(lesser)
    return False
