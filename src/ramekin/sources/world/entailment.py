"""The tasks on what follows from what: mnli, rte and qnli.

The hypothesis (or the question) is drawn first and in the same way for every label, then a text is found
that fits the label, so the hypothesis alone tells nothing. A label is what meaning.py says of the two
meanings, not what was meant when they were made.
"""

from dataclasses import replace
from random import Random

from ramekin.sources.world.change import miss, narrow, wide
from ramekin.sources.world.draw import chance, draw_comparison, draw_count, draw_event, pick
from ramekin.sources.world.grammar import Asked, ask, draw_wording, reword, say
from ramekin.sources.world.lexicon import PLACES
from ramekin.sources.world.meaning import (
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    Comparison,
    Event,
    Fact,
    Verdict,
    answers,
    judge,
)

__all__ = ["draw_hypothesis", "draw_question", "mnli", "not_entailment", "premise_for", "qnli", "rte"]

_VERDICTS = (ENTAILMENT, NEUTRAL, CONTRADICTION)
_EVENT_PARTS: tuple[Asked, ...] = ("agent", "patient", "place")


def mnli(rng: Random, label: int) -> dict[str, object]:
    """A premise and a hypothesis; label 0 entailment, 1 neutral, 2 contradiction."""
    premise, hypothesis = _told(rng, draw_hypothesis(rng), _VERDICTS[label])
    return {"premise": premise, "hypothesis": hypothesis, "label": label}


def rte(rng: Random, label: int) -> dict[str, object]:
    """A text and a sentence; label 0 when the text entails the sentence, else 1."""
    hypothesis = draw_hypothesis(rng)
    verdict = ENTAILMENT if label == 0 else not_entailment(rng, hypothesis)
    text, sentence = _told(rng, hypothesis, verdict)
    return {"sentence1": text, "sentence2": sentence, "label": label}


def _told(rng: Random, hypothesis: Fact, verdict: Verdict) -> tuple[str, str]:
    """A premise of which `verdict` is true, and the hypothesis, in words."""
    premise = premise_for(rng, hypothesis, verdict)
    wording = draw_wording(rng)
    return say(premise, reword(rng, hypothesis, wording)), say(hypothesis, wording)


def premise_for(rng: Random, hypothesis: Fact, verdict: Verdict) -> Fact:
    """A fact that, taken as true, says `verdict` of `hypothesis`."""
    while True:
        premise = _candidate(rng, hypothesis, verdict)
        if judge(premise, hypothesis) == verdict:
            return premise


def not_entailment(rng: Random, hypothesis: Fact) -> Verdict:
    """One of the other two: as a rule the one that can be said in the words of the hypothesis."""
    verdicts = (NEUTRAL, CONTRADICTION) if isinstance(hypothesis, Event) else (CONTRADICTION, NEUTRAL)
    return verdicts[int(chance(rng, 0.2))]


def draw_hypothesis(rng: Random) -> Fact:
    """A fact that another may entail, contradict or leave open."""
    if chance(rng, 0.55):
        return draw_event(rng, place=0.3, never=0.5, kind=0.2)
    return draw_comparison(rng) if chance(rng, 0.75) else draw_count(rng)


def _candidate(rng: Random, hypothesis: Fact, verdict: Verdict) -> Fact:
    """A fact of which `judge` may well say `verdict` for `hypothesis`."""
    if verdict == NEUTRAL:
        # Broken from what would have settled it: a neutral text must not be known by its looks.
        return miss(rng, _candidate(rng, hypothesis, pick(rng, (ENTAILMENT, CONTRADICTION))))
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
    told = fact
    while answers(told, fact, asked) != (label == 0):
        told = miss(rng, fact)
    return {
        "question": ask(fact, asked, draw_wording(rng)),
        "sentence": say(told, draw_wording(rng)),
        "label": label,
    }


def draw_question(rng: Random) -> tuple[Fact, Asked]:
    """A fact and the part of it to ask for."""
    which = rng.random()
    if which < 0.7:
        asked = pick(rng, _EVENT_PARTS)
        event = draw_event(rng, place=0.4)
        return (replace(event, place=pick(rng, PLACES)) if asked == "place" else event), asked
    if which < 0.9:
        return draw_comparison(rng), "greater" if chance(rng, 0.5) else "lesser"
    return draw_count(rng, exact=1.0), "number"
