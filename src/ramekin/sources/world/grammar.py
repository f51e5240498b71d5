"""From meanings to sentences and questions: one meaning, several wordings.

Voice, synonyms, the place of an adjunct and the direction of a comparison carry no meaning here; everything
else does. Sentences are lower case and have no full stop; questions end in '?'.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal, TypeAlias, final

from ramekin.sources.world.draw import chance
from ramekin.sources.world.lexicon import ACTIONS, CLASSES, DIMENSIONS, NUMBERS
from ramekin.sources.world.meaning import Comparison, Count, Event, Fact

__all__ = ["Asked", "Wording", "ask", "draw_wording", "reword", "reword_question", "say", "with_article"]

Asked: TypeAlias = Literal["agent", "patient", "place", "time", "greater", "lesser", "number", "whether"]


@final
@dataclass(frozen=True, slots=True)
class Wording:
    """How a meaning is put into words; a choice that a meaning does not offer is ignored."""

    passive: bool = False
    synonym: bool = False
    fronted: bool = False
    """The adjunct comes first: 'in the park the dog chased the cat'."""
    converse: bool = False
    """'shorter than' from the other side; for numbers 'at least three' instead of 'more than two'."""


def draw_wording(rng: Random) -> Wording:
    """A random wording; the plain form of each choice is the more frequent."""
    return Wording(chance(rng, 0.3), chance(rng, 0.35), chance(rng, 0.2), chance(rng, 0.35))


def reword(rng: Random, fact: Fact, wording: Wording) -> Wording:
    """Another wording, in which `fact` is not the same text.

    It depends on `fact` alone, so a second sentence can be worded by it whether or not it means the same.
    """
    text = say(fact, wording)
    while True:
        other = draw_wording(rng)
        if say(fact, other) != text:
            return other


def reword_question(rng: Random, fact: Fact, asked: Asked, wording: Wording) -> Wording:
    """Another wording, in which the question for `asked` is not the same text."""
    text = ask(fact, asked, wording)
    while True:
        other = draw_wording(rng)
        if ask(fact, asked, other) != text:
            return other


def say(fact: Fact, wording: Wording) -> str:
    """The sentence that tells `fact`."""
    if isinstance(fact, Event):
        return _say_event(fact, wording)
    if isinstance(fact, Comparison):
        more, less = DIMENSIONS[fact.dimension]
        if wording.converse:
            return f"the {fact.lesser} is {less} than the {fact.greater}"
        return f"the {fact.greater} is {more} than the {fact.lesser}"
    return f"the {fact.owner} has {_amount(fact, wording)} {fact.thing}"


def with_article(name: str) -> str:
    """'a dog', 'an animal'."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _say_event(event: Event, wording: Wording) -> str:
    past = _verb(event.action, wording)[1]
    # 'a worker never helped the dog' could be said of one worker; 'no worker helped the dog' could not.
    never = "" if event.happened or event.agent in CLASSES or event.patient in CLASSES else "never "
    agent, patient = _party(event.agent, event), _party(event.patient, event)
    if wording.passive:
        clause = f"{patient} was {never}{past} by {agent}"
    else:
        clause = f"{agent} {never}{past} {patient}"
    return _with_adjuncts(clause, event, wording)


def _with_adjuncts(clause: str, event: Event, wording: Wording) -> str:
    place = f"in the {event.place}" if event.place else ""
    time = f"on {event.time}" if event.time else ""
    if place and time:
        return f"{time} {clause} {place}" if wording.fronted else f"{clause} {place} {time}"
    adjunct = place or time
    if not adjunct:
        return clause
    return f"{adjunct} {clause}" if wording.fronted else f"{clause} {adjunct}"


def _verb(action: str, wording: Wording) -> tuple[str, str]:
    verbs = ACTIONS[action]
    return verbs[-1] if wording.synonym else verbs[0]


def _party(name: str, event: Event) -> str:
    if name not in CLASSES:
        return f"the {name}"
    return with_article(name) if event.happened else f"no {name}"


def _amount(fact: Count, wording: Wording) -> str:
    if fact.least == fact.most:
        return f"exactly {NUMBERS[fact.least]}" if wording.converse else NUMBERS[fact.least]
    if fact.most is None:
        return (
            f"at least {NUMBERS[fact.least]}" if wording.converse else f"more than {NUMBERS[fact.least - 1]}"
        )
    return f"at most {NUMBERS[fact.most]}" if wording.converse else f"fewer than {NUMBERS[fact.most + 1]}"


def ask(fact: Fact, asked: Asked, wording: Wording) -> str:
    """The question for the part `asked` of `fact`; the part itself is not shown."""
    if isinstance(fact, Event):
        return f"{_ask_event(fact, asked, wording)} ?"
    if isinstance(fact, Comparison):
        return f"{_ask_comparison(fact, asked, wording)} ?"
    if asked == "whether":
        return f"does the {fact.owner} have {_amount(fact, wording)} {fact.thing} ?"
    if wording.converse:
        return f"the {fact.owner} has how many {fact.thing} ?"
    return f"how many {fact.thing} does the {fact.owner} have ?"


def _ask_event(event: Event, asked: Asked, wording: Wording) -> str:
    base, past = _verb(event.action, wording)
    agent, patient = f"the {event.agent}", f"the {event.patient}"
    if asked == "place":
        if wording.passive:
            return f"where was {patient} {past} by {agent}"
        return f"where did {agent} {base} {patient}"
    place = f" in the {event.place}" if event.place else ""
    if asked == "time":
        if wording.passive:
            return f"when was {patient} {past} by {agent}{place}"
        return f"when did {agent} {base} {patient}{place}"
    if asked == "whether":
        return (
            f"was {patient} {past} by {agent}" if wording.passive else f"did {agent} {base} {patient}"
        ) + place
    if asked == "agent":
        return (f"by whom was {patient} {past}" if wording.passive else f"who {past} {patient}") + place
    return (f"who was {past} by {agent}" if wording.passive else f"whom did {agent} {base}") + place


def _ask_comparison(fact: Comparison, asked: Asked, wording: Wording) -> str:
    more, less = DIMENSIONS[fact.dimension]
    if asked == "whether":
        if wording.converse:
            return f"is the {fact.lesser} {less} than the {fact.greater}"
        return f"is the {fact.greater} {more} than the {fact.lesser}"
    if asked == "greater":
        direct, converse = f"who is {more} than the {fact.lesser}", f"than whom is the {fact.lesser} {less}"
    else:
        direct, converse = f"who is {less} than the {fact.greater}", f"than whom is the {fact.greater} {more}"
    return converse if wording.converse else direct
