"""The tasks on one sentence: sst2 (is a review kind) and cola (is a sentence grammatical)."""

from random import Random

from ramekin.sources.world.draw import chance, pick, two_of
from ramekin.sources.world.lexicon import (
    ACTIONS,
    ALONE,
    ASPECTS,
    BLAME,
    DENIALS,
    DIMENSIONS,
    ENTITIES,
    FAINT,
    NUMBERS,
    PLACES,
    PRAISE,
    STATES,
    STRONG,
    THINGS,
)

__all__ = ["cola", "review", "sst2"]

_VERBS = tuple(verb for verbs in ACTIONS.values() for verb in verbs)
_COMPARATIVES = tuple(word for pair in DIMENSIONS.values() for word in pair)


def sst2(rng: Random, label: int) -> dict[str, object]:
    """A line of a review; label 1 positive, 0 negative."""
    return {"sentence": review(rng, label == 1), "label": label}


def review(rng: Random, positive: bool) -> str:
    """A line of a review that is `positive` on the whole.

    Half of the lines say so plainly. In the others a word of the other side is denied ('far from dull'),
    conceded ('although …', '… but'), or outweighed by its degree ('a bit dull and truly lovely').
    """
    which = rng.random()
    if which < 0.5:
        degree = pick(rng, ("", pick(rng, STRONG), pick(rng, FAINT)))
        return _remark(rng, pick(rng, ASPECTS), positive, degree)
    if which < 0.65:
        return _denial(rng, pick(rng, ASPECTS), positive)
    if which < 0.9:
        return _concession(rng, positive)
    main, aside = two_of(rng, ASPECTS)
    heavy = _remark(rng, main, positive, pick(rng, STRONG))
    light = _remark(rng, aside, not positive, pick(rng, FAINT))
    return f"{heavy} and {light}" if chance(rng, 0.5) else f"{light} and {heavy}"


def _concession(rng: Random, positive: bool) -> str:
    one, other = two_of(rng, ASPECTS)
    main, aside = _said_or_denied(rng, one, positive), _said_or_denied(rng, other, not positive)
    form = rng.random()
    if form < 0.6:
        return f"{aside} but {main}"
    return f"although {aside} {main}" if form < 0.8 else f"{main} although {aside}"


def _said_or_denied(rng: Random, aspect: str, positive: bool) -> str:
    if chance(rng, 0.3):
        return _denial(rng, aspect, positive)
    return _remark(rng, aspect, positive, pick(rng, STRONG))


def _remark(rng: Random, aspect: str, positive: bool, degree: str) -> str:
    word = pick(rng, PRAISE if positive else BLAME)
    return f"the {aspect} was {degree} {word}" if degree else f"the {aspect} was {word}"


def _denial(rng: Random, aspect: str, positive: bool) -> str:
    return f"the {aspect} was {pick(rng, DENIALS)} {pick(rng, BLAME if positive else PRAISE)}"


def cola(rng: Random, label: int) -> dict[str, object]:
    """A sentence; label 1 acceptable, 0 unacceptable by one violation."""
    return {"sentence": pick(rng, _FRAMES)(rng, label == 1), "label": label}


def _agreement(rng: Random, good: bool) -> str:
    """'the dogs near the baker were hungry': the verb follows its subject, not the nearest noun."""
    subject, near = two_of(rng, ENTITIES)
    plural = chance(rng, 0.5)
    verb = "were" if plural == good else "was"
    where = ""
    if chance(rng, 0.4):
        where = f" {pick(rng, ('near', 'behind'))} the {near}{pick(rng, ('', 's'))}"
    return f"the {_number(subject, plural)}{where} {verb} {pick(rng, STATES)}"


def _owning(rng: Random, good: bool) -> str:
    """'the dogs have three coins'."""
    plural = chance(rng, 0.5)
    verb = "have" if plural == good else "has"
    return f"the {_number(pick(rng, ENTITIES), plural)} {verb} {pick(rng, NUMBERS[2:])} {pick(rng, THINGS)}"


def _number(noun: str, plural: bool) -> str:
    return f"{noun}s" if plural else noun


def _order(rng: Random, good: bool) -> str:
    """Two neighbouring words change places."""
    agent, patient = two_of(rng, ENTITIES)
    words = f"the {agent} {pick(rng, _VERBS)[1]} the {patient} in the {pick(rng, PLACES)}".split()
    if not good:
        at = pick(rng, (0, 1, 2, 3, 5, 6))  # not 4: 'the dog chased the in cat the park' says less
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def _arguments(rng: Random, good: bool) -> str:
    """A verb that needs an object has one, and a verb that takes none has none."""
    agent, patient = two_of(rng, ENTITIES)
    transitive = chance(rng, 0.5)
    verb = pick(rng, _VERBS)[1] if transitive else pick(rng, ALONE)
    told = f" the {patient}" if transitive == good else ""
    return f"the {agent} {verb}{told} in the {pick(rng, PLACES)}"


def _passive(rng: Random, good: bool) -> str:
    """'the dog was helped by the baker': the participle, and 'by'."""
    agent, patient = two_of(rng, ENTITIES)
    base, past = pick(rng, _VERBS)
    verb, by = past, "by "
    if not good:
        verb, by = (base, "by ") if chance(rng, 0.5) else (past, "")
    return f"the {patient} was {verb} {by}the {agent}"


def _comparing(rng: Random, good: bool) -> str:
    """'the dog is taller than the baker'."""
    one, other = two_of(rng, ENTITIES)
    comparative = pick(rng, _COMPARATIVES)
    if good:
        return f"the {one} is {comparative} than the {other}"
    if chance(rng, 0.5):
        return f"the {one} is more {comparative} than the {other}"
    return f"the {one} {comparative} is than the {other}"


_FRAMES = (_agreement, _agreement, _owning, _order, _arguments, _passive, _comparing)
