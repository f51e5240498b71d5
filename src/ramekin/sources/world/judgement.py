"""The tasks on one sentence: sst2 (sentiment) and cola (is it grammatical)."""

from random import Random

from ramekin.sources.world.draw import another, chance, pick, two_of
from ramekin.sources.world.lexicon import ACTIONS, CLASSES, DIMENSIONS, ENTITIES, NUMBERS, PLACES, THINGS

__all__ = ["cola", "review", "sst2"]

ASPECTS = ("film", "story", "acting", "music", "ending", "cast", "script", "camera", "hero", "humour")
PRAISE = ("good", "great", "lovely", "clever", "moving", "fresh")
BLAME = ("bad", "dull", "awful", "messy", "boring", "weak")
STRONG = ("very", "really", "truly")
FAINT = ("a bit", "slightly", "somewhat")
DENIALS = ("not", "never", "hardly", "anything but", "far from")

_VERBS = tuple(verb for verbs in ACTIONS.values() for verb in verbs)


def sst2(rng: Random, label: int) -> dict[str, object]:
    """A line of a review; label 1 positive, 0 negative."""
    return {"sentence": review(rng, label == 1), "label": label}


def review(rng: Random, positive: bool) -> str:
    """A line of a review whose last word on the matter is `positive`."""
    first, second = two_of(rng, ASPECTS)
    which = rng.random()
    if which < 0.5:
        return _verdict(rng, first, positive, pick(rng, ("", pick(rng, STRONG), pick(rng, FAINT))))
    if which < 0.65:
        return _verdict(rng, first, positive, "", denied=True)
    # a contrast or an outweighed remark: both polarities are named, the structure decides
    main = _verdict(rng, first, positive, pick(rng, STRONG), denied=None)
    aside = _verdict(rng, second, not positive, pick(rng, STRONG), denied=None)
    if which < 0.8:
        return f"{aside} but {main}"
    if which < 0.9:
        return f"although {aside} {main}" if chance(rng, 0.5) else f"{main} although {aside}"
    main = _verdict(rng, first, positive, pick(rng, STRONG))
    aside = _verdict(rng, second, not positive, pick(rng, FAINT))
    return f"{main} and {aside}" if chance(rng, 0.5) else f"{aside} and {main}"


def _verdict(rng: Random, aspect: str, positive: bool, degree: str, *, denied: bool | None = False) -> str:
    """`the film was very good`; `denied` None: sometimes `the film was not bad` instead."""
    if denied is None:
        denied = chance(rng, 0.3)
    if denied:
        word = pick(rng, BLAME if positive else PRAISE)
        return f"the {aspect} was {pick(rng, DENIALS)} {word}"
    word = pick(rng, PRAISE if positive else BLAME)
    return f"the {aspect} was {degree} {word}" if degree else f"the {aspect} was {word}"


STATES = ("sleeping", "waiting", "tired", "hungry")
ALONE = ("slept", "waited", "smiled", "arrived")


def cola(rng: Random, label: int) -> dict[str, object]:
    """A sentence; label 1 acceptable, 0 unacceptable."""
    return {"sentence": pick(rng, _FRAMES)(rng, label == 1), "label": label}


def _agreement(rng: Random, good: bool) -> str:
    """`the dogs near the baker were hungry`: the verb follows its subject, not the nearest noun."""
    subject, near = two_of(rng, ENTITIES)
    plural = chance(rng, 0.5)
    noun = subject + "s" if plural else subject
    attractor = near + "s" if chance(rng, 0.5) else near
    verb = "were" if plural == good else "was"
    where = f" {pick(rng, ('near', 'behind'))} the {attractor}" if chance(rng, 0.4) else ""
    return f"the {noun}{where} {verb} {pick(rng, STATES)}"


def _owning(rng: Random, good: bool) -> str:
    """`the dogs have three coins`."""
    subject = pick(rng, ENTITIES)
    plural = chance(rng, 0.5)
    verb = "have" if plural == good else "has"
    return f"the {subject + 's' if plural else subject} {verb} {pick(rng, NUMBERS[1:])} {pick(rng, THINGS)}"


def _order(rng: Random, good: bool) -> str:
    """Two neighbouring words change places."""
    agent, patient = two_of(rng, ENTITIES)
    words = f"the {agent} {pick(rng, _VERBS)[1]} the {patient} in the {pick(rng, PLACES)}".split()
    if not good:
        at = pick(rng, (0, 1, 2, 3, 5, 6))
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def _arguments(rng: Random, good: bool) -> str:
    """A verb that needs an object has it, and one that cannot have it has none."""
    agent, patient = two_of(rng, ENTITIES)
    where = f"in the {pick(rng, PLACES)}"
    if chance(rng, 0.5):
        return f"the {agent} {pick(rng, _VERBS)[1]} the {patient} {where}" if good else f"the {agent} {pick(rng, _VERBS)[1]} {where}"
    return f"the {agent} {pick(rng, ALONE)} {where}" if good else f"the {agent} {pick(rng, ALONE)} the {patient} {where}"


def _passive(rng: Random, good: bool) -> str:
    """`the dog was helped by the baker`: the form of the verb, and 'by'."""
    agent, patient = two_of(rng, ENTITIES)
    base, past = pick(rng, _VERBS)
    if good:
        return f"the {patient} was {past} by the {agent}"
    if chance(rng, 0.5):
        return f"the {patient} was {base} by the {agent}"
    return f"the {patient} was {past} the {agent}"


def _comparing(rng: Random, good: bool) -> str:
    """`the dog is taller than the baker`."""
    one, other = two_of(rng, ENTITIES)
    comparative = pick(rng, pick(rng, tuple(DIMENSIONS.values())))
    if good:
        return f"the {one} is {comparative} than the {other}"
    return pick(rng, (f"the {one} is more {comparative} than the {other}", f"the {one} {comparative} is than the {other}"))


_FRAMES = (_agreement, _agreement, _owning, _order, _arguments, _passive, _comparing)
