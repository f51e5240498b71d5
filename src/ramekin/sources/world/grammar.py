"""From meanings to sentences and questions: one meaning has several wordings, chosen at random.

Voice, synonyms, the place of adjuncts and the direction of a comparison carry no meaning here; everything
else does. Sentences are lower case and without a full stop; questions end in '?'.
"""

from random import Random
from typing import Literal, TypeAlias

from ramekin.sources.world.draw import chance, pick
from ramekin.sources.world.lexicon import ACTIONS, CLASSES, DIMENSIONS, NUMBERS
from ramekin.sources.world.meaning import Comparison, Count, Event, Fact

__all__ = ["Asked", "ask", "say"]

_PASSIVE = 0.3
_FRONTED = 0.2
_SYNONYM = 0.35
_CONVERSE = 0.35  # 'x is shorter than y' for 'y is taller than x'

Asked: TypeAlias = Literal["agent", "patient", "place", "greater", "lesser", "number"]


def say(rng: Random, fact: Fact) -> str:
    """One wording of `fact`."""
    if isinstance(fact, Event):
        return _say_event(rng, fact)
    if isinstance(fact, Comparison):
        return _say_comparison(rng, fact)
    return f"the {fact.owner} has {_amount(fact)} {fact.thing}"


def _say_event(rng: Random, event: Event) -> str:
    past = _verb(rng, event.action)[1]
    # 'a worker never helped the dog' could mean one worker; 'no worker helped the dog' cannot
    never = "" if event.happened or event.agent in CLASSES or event.patient in CLASSES else "never "
    agent, patient = _party(event.agent, event), _party(event.patient, event)
    if chance(rng, _PASSIVE):
        clause = f"{patient} was {never}{past} by {agent}"
    else:
        clause = f"{agent} {never}{past} {patient}"
    return _with_adjuncts(rng, clause, event)


def _verb(rng: Random, action: str) -> tuple[str, str]:
    verbs = ACTIONS[action]
    return verbs[1] if len(verbs) > 1 and chance(rng, _SYNONYM) else verbs[0]


def _with_adjuncts(rng: Random, clause: str, event: Event) -> str:
    place = f"in the {event.place}" if event.place else ""
    time = f"on {event.time}" if event.time else ""
    if place and time:
        return f"{time} {clause} {place}" if chance(rng, _FRONTED) else f"{clause} {place} {time}"
    adjunct = place or time
    if not adjunct:
        return clause
    return f"{adjunct} {clause}" if chance(rng, _FRONTED) else f"{clause} {adjunct}"


def _party(name: str, event: Event) -> str:
    if name not in CLASSES:
        return f"the {name}"
    if not event.happened:
        return f"no {name}"
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _say_comparison(rng: Random, fact: Comparison) -> str:
    more, less = DIMENSIONS[fact.dimension]
    if chance(rng, _CONVERSE):
        return f"the {fact.lesser} is {less} than the {fact.greater}"
    return f"the {fact.greater} is {more} than the {fact.lesser}"


def _amount(fact: Count) -> str:
    if fact.least == fact.most:
        return NUMBERS[fact.least - 1]
    if fact.most is None:
        return f"more than {NUMBERS[fact.least - 2]}"
    return f"fewer than {NUMBERS[fact.most]}"


def ask(rng: Random, fact: Fact, asked: Asked) -> str:
    """One wording of the question for the part `asked` of `fact`; the answer itself is not shown."""
    if isinstance(fact, Event):
        return _ask_event(rng, fact, asked) + " ?"
    if isinstance(fact, Comparison):
        more, less = DIMENSIONS[fact.dimension]
        if asked == "greater":
            return f"who is {more} than the {fact.lesser} ?"
        return f"who is {less} than the {fact.greater} ?"
    return f"how many {fact.thing} does the {fact.owner} have ?"


def _ask_event(rng: Random, event: Event, asked: Asked) -> str:
    base, past = _verb(rng, event.action)
    agent, patient = f"the {event.agent}", f"the {event.patient}"
    active = not chance(rng, _PASSIVE)
    if asked == "place":
        return f"where did {agent} {base} {patient}" if active else f"where was {patient} {past} by {agent}"
    place = f" in the {event.place}" if event.place else ""
    if asked == "agent":
        return (f"who {past} {patient}" if active else f"by whom was {patient} {past}") + place
    return (f"whom did {agent} {base}" if active else f"who was {past} by {agent}") + place
