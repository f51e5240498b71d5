"""Plain text of the world, for vocabularies and pre-training: sentences and passages of two sentences.

Passages say the same thing twice in other words, put two facts side by side, name a class, or end a review
with its sum; so the text, not only the tasks, tells what words mean.
"""

from random import Random

from ramekin.sources.world.draw import chance, draw_fact, pick
from ramekin.sources.world.grammar import draw_wording, reword, say, with_article
from ramekin.sources.world.judgement import cola, review
from ramekin.sources.world.lexicon import CLASS_OF, ENTITIES

__all__ = ["corpus"]


def corpus(n: int, *, seed: int) -> list[str]:
    """`n` sentences and small passages; `corpus(10, seed=s)` begins `corpus(100, seed=s)`."""
    rng = Random(f"ramekin world/corpus/{seed}")
    return [_passage(rng) for _ in range(n)]


def _passage(rng: Random) -> str:
    which = rng.random()
    if which < 0.5:
        return _in_other_words(rng)
    if which < 0.6:
        facts = (draw_fact(rng), draw_fact(rng))
        return " ".join(f"{say(fact, draw_wording(rng))} ." for fact in facts)
    if which < 0.7:
        entity = pick(rng, ENTITIES)
        return f"the {entity} is {with_article(CLASS_OF[entity])} ."
    if which < 0.85:
        positive = chance(rng, 0.5)
        return f"{review(rng, positive)} . it was a {'success' if positive else 'failure'} ."
    return f"{cola(rng, 1)['sentence']} ."


def _in_other_words(rng: Random) -> str:
    fact, wording = draw_fact(rng, never=0.2, kind=0.1), draw_wording(rng)
    return f"{say(fact, wording)} . that is to say {say(fact, reword(rng, fact, wording))} ."
