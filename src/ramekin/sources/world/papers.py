"""Papers in small: an abstract, an introduction, a question that they answer, and the answer.

What a paper tells are facts of the world, none of which contradicts another; one of them answers the
question. Some stand in both parts, in other words, as findings do. All else is what any paper says.
"""

from random import Random

from ramekin.sources.world.draw import chance, pick
from ramekin.sources.world.grammar import ask, draw_wording, reword, say
from ramekin.sources.world.meaning import Comparison, Count, Event, Fact, answers
from ramekin.sources.world.passage import PARTS, answer_to, draw_asked, shuffled, telling

__all__ = ["papers"]

_TOPICS = ("we study the {} .", "this paper is about the {} .", "we ask what is known of the {} .")
_FINDINGS = ("we found that {} .", "our result is that {} .", "we tell that {} .")
_OPENINGS = (
    "little was known of the {} before this paper .",
    "many have asked about the {} .",
    "earlier work has told little of the {} .",
)
_TOLD = ("it is known that {} .", "earlier work found that {} .", "here we tell that {} .")
_CLOSINGS = (
    "we close with what is not known .",
    "our paper ends with open questions .",
    "we hope that others ask about it .",
)
_IN_BOTH = 0.4  # of the facts


def papers(rng: Random, label: int) -> dict[str, object]:
    """An abstract, an introduction, a question for part `label` of `PARTS`, and the words that answer it."""
    while True:
        fact, part = draw_asked(rng, PARTS[label])
        told, *others = telling(rng, fact, part, others=pick(rng, (1, 2, 2, 3)))
        facts = shuffled(rng, [told, *(other for other in others if not answers(other, fact, part))])
        if len(facts) > 1:
            break
    # Either part has a fact at least, and the one that is asked about stands in either.
    first = 1 + int(rng.random() * (len(facts) - 1))
    summary, told_later = [(each, draw_wording(rng)) for each in facts[:first]], facts[first:]
    again = [(each, reword(rng, each, wording)) for each, wording in summary if chance(rng, _IN_BOTH)]
    later = [*again, *((each, draw_wording(rng)) for each in told_later)]
    topic = _topic(pick(rng, facts))
    abstract = [pick(rng, _TOPICS).format(topic)]
    abstract += [pick(rng, _FINDINGS).format(say(each, wording)) for each, wording in summary]
    introduction = [pick(rng, _OPENINGS).format(topic)]
    introduction += [pick(rng, _TOLD).format(say(each, wording)) for each, wording in later]
    introduction.append(pick(rng, _CLOSINGS))
    return {
        "abstract": " ".join(abstract),
        "introduction": " ".join(introduction),
        "question": ask(fact, part, draw_wording(rng)),
        "answer": answer_to(told, part),
    }


def _topic(fact: Fact) -> str:
    """Whom the fact is about."""
    name = {Event: "agent", Comparison: "greater", Count: "owner"}[type(fact)]
    return str(getattr(fact, name))
