"""Self-consistency: of several answers to one prompt the one that most of them come to.

Wang et al. 2022, arXiv 2203.11171: an unweighted vote over the answers that were read out of the samples.
What could not be read has no vote and is counted. Of equals the answer that came first wins, and that it is
one of equals is said.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

__all__ = ["Vote", "vote"]


@final
@dataclass(frozen=True, slots=True)
class Vote:
    """What a vote came to."""

    answer: str | None
    """The winner, as it was first written; None where nothing could be read."""
    votes: Mapping[str, int]
    """How many there were for each answer, the first come first; those unread under ""."""
    is_tied: bool
    """Whether another answer had as many."""

    @property
    def unread(self) -> int:
        """Answers that could not be read."""
        return self.votes.get("", 0)


def vote(answers: Sequence[str | None], *, form: Callable[[str], str] = str) -> Vote:
    """Vote among answers.

    Args:
        answers: what was read out of each sample; None where nothing could be.
        form: answers of the same form are one answer.

    >>> vote(["7", "9", None, "9"])
    Vote(answer='9', votes={'7': 1, '9': 2, '': 1}, is_tied=False)
    >>> vote(["7", "9"]).answer, vote(["7", "9"]).is_tied, vote([None]).answer
    ('7', True, None)
    """
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    unread = 0
    for answer in answers:
        if not answer:
            unread += 1
            continue
        key = form(answer)
        first.setdefault(key, answer)
        counts[key] += 1
    named = {first[key]: count for key, count in counts.items()}
    if not named:
        return Vote(None, {"": unread} if unread else {}, is_tied=False)
    most = max(named.values())
    winners = [answer for answer, count in named.items() if count == most]
    return Vote(winners[0], {**named, **({"": unread} if unread else {})}, len(winners) > 1)
