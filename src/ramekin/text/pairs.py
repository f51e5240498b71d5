"""Pairs of question and answer in what a model writes, `question [SEP] answer`: read, joined and ranked.

A model sampled many times writes the mark not at all, once or more often, repeats itself, and is cut off.
What cannot be used is counted with its reason. Knows no tokens and no engine: who sampled says how probable
an output was and whether it had ended.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, final

from ramekin.errors import DataError, UsageError
from ramekin.text.support import is_number, support, word_tokens

__all__ = [
    "MARK",
    "NEAR_DUPLICATE",
    "Dropped",
    "Pair",
    "Pairs",
    "Reason",
    "Split",
    "Written",
    "read_pairs",
    "split_output",
]

MARK = "[SEP]"
"""What stands between question and answer."""

NEAR_DUPLICATE = 0.8
"""Two questions are one where so large a share of their words is in both (Jaccard)."""

Reason: TypeAlias = Literal["no mark", "no question", "no answer", "cut off", "unanswered"]
"""Why something was dropped: an output without a mark; nothing on one side of it; an output that was cut off
before a sentence of its answer had ended; a question after an answer that no answer follows."""


@final
@dataclass(frozen=True, slots=True)
class Written:
    """One output of a model.

    Raises:
        DataError: the log-probability is not finite, or the number of tokens is negative.
    """

    text: str
    log_prob: float
    """Of the whole output, in nats."""
    num_tokens: int
    """What the log-probability is a sum over, the end among them."""
    ended: bool = True
    """Whether it ended by itself; False where it was cut by a limit of length."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.log_prob) or self.num_tokens < 0:
            raise DataError(
                "an output has no usable probability",
                expected="a finite log-probability of 0 tokens or more",
                got=f"{self.log_prob} of {self.num_tokens} tokens",
            )


@final
@dataclass(frozen=True, slots=True)
class Pair:
    """A question with its answer, and what speaks for it."""

    question: str
    answer: str
    log_prob: float
    """Of the output that it stands in, in nats; where that holds several pairs, of all together."""
    num_tokens: int
    """Of that output."""
    support: float
    """How far the answer stands in the text, from 0 to 1: `ramekin.text.support.support`."""
    times: int = 1
    """How many pairs were joined in it."""

    @property
    def mean_log_prob(self) -> float:
        """A token of the output, in nats."""
        return self.log_prob / max(1, self.num_tokens)

    def score(self, support_weight: float) -> float:
        """(1 - support_weight) * exp(mean_log_prob) + support_weight * support, from 0 to 1.

        The first is the geometric mean of the tokens' probabilities. Both stay in the pair, so that a reader
        sees which of them speaks for it.

        >>> Pair("q", "a", math.log(0.25), 2, 1.0).score(0.5)
        0.75
        """
        return (1 - support_weight) * min(1.0, math.exp(self.mean_log_prob)) + support_weight * self.support


@final
@dataclass(frozen=True, slots=True)
class Dropped:
    """What was left out of an output."""

    text: str
    reason: Reason


@final
@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of a paper, the best first, and what became of the rest."""

    pairs: tuple[Pair, ...]
    num_outputs: int
    dropped: tuple[Dropped, ...] = ()
    num_joined: int = 0
    """Pairs that asked what a better one asks."""
    num_shortened: int = 0
    """Pairs whose answer lost its last, unfinished sentence."""
    support_weight: float = 0.5
    """What the ranking took."""

    @property
    def counts(self) -> Mapping[Reason, int]:
        """How much was dropped, by reason."""
        return dict(sorted(Counter(each.reason for each in self.dropped).items()))


@final
@dataclass(frozen=True, slots=True)
class Split:
    """What stands in one output."""

    pairs: tuple[tuple[str, str], ...]
    """Question and answer."""
    dropped: tuple[Dropped, ...] = ()
    shortened: bool = False
    """Whether the last answer lost its unfinished sentence."""


_MARK = re.compile(r"\[\s*SEP\s*\]", re.I)
_SENTENCES = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|(?<=[a-z)\d][.!?])(?=[A-Z][a-z]+\s)")
_WHOLE = re.compile(r"[.!?][\"'”’)\]]*$")
_ASKING = r"(?:what|which|who|whom|whose|where|when|why|how)"
_VERB = r"(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|may|might|must)(?:n['’]t)?"
_OPENS_QUESTION = re.compile(
    rf"(?:(?:and|but|so|then|in|on|for|to|from|by|with|at|of|about|under)\s+)?(?:{_ASKING}|{_VERB})\b", re.I
)
_BEGUN_QUESTION = re.compile(
    rf"(?:(?:in|on|for|to|from|by|with|at|of|about|under)\s+)?{_ASKING}\s+(?:[\w-]+\s+){{0,3}}?{_VERB}\s",
    re.I,
)
"""A question even without its question mark: "What is the difference between"."""


def split_output(text: str, *, ended: bool = True) -> Split:
    """The pairs of one output.

    - One mark: what stands before it is the question, what follows is the answer.
    - Several: where the sentence before a mark is a question, a further pair begins with it. Otherwise the
      mark is one too many, and the answer goes on after it.
    - A question at the end of an answer has no answer and is left out of it.
    - An output that had not ended is cut after the last whole sentence of its answer; without one, the pair
      is incomplete.

    Args:
        text: what was written. The mark may be in small letters and have spaces in it.
        ended: whether it ended by itself.

    >>> split_output(" What is baked? [SEP] Flans. Who eats them?[sep]Guests.").pairs
    (('What is baked?', 'Flans.'), ('Who eats them?', 'Guests.'))
    >>> split_output("What is baked?").dropped
    (Dropped(text='What is baked?', reason='no mark'),)
    """
    first, *rest = (" ".join(part.split()) for part in _MARK.split(text))
    if not rest:
        return Split((), (Dropped(first, "no mark" if ended else "cut off"),))
    sides, question, answer = list[tuple[str, str]](), first, ""
    for part in rest[:-1]:
        said, asked = _before_a_mark(part)
        if asked:
            sides.append((question, f"{answer} {said}".strip()))
            question, answer = asked, ""
        else:
            answer = f"{answer} {part}".strip()
    answer = f"{answer} {rest[-1]}".strip()
    shortened = False
    whole = answer if ended else _whole_sentences(answer)
    dropped: list[Dropped] = []
    if answer and not whole:
        dropped.append(Dropped(f"{question} {MARK} {answer}", "cut off"))
    else:
        shortened = whole != answer
        kept, unanswered = _without_questions(whole)
        dropped += [Dropped(each, "unanswered") for each in unanswered]
        sides.append((question, kept))
    pairs = []
    for question, answer in sides:
        if not any(map(str.isalpha, question)):
            dropped.append(Dropped(f"{question} {MARK} {answer}".strip(), "no question"))
        elif not any(map(str.isalnum, answer)):
            dropped.append(Dropped(f"{question} {MARK} {answer}".strip(), "no answer"))
        else:
            pairs.append((question, answer))
    return Split(tuple(pairs), tuple(dropped), shortened and bool(pairs))


def read_pairs(
    outputs: Iterable[Written],
    paper_text: str,
    *,
    support_weight: float = 0.5,
    near_duplicate: float = NEAR_DUPLICATE,
) -> Pairs:
    """The pairs of a paper's outputs: complete, each question once, the best first.

    Pairs are ranked by `Pair.score`, then by how often they came, then in the order of the outputs. Questions
    are the same if their words are, or if they share `near_duplicate` of them, in the same order, and have
    the same question words, numbers and negations; the pair of the best score stays. What is near is judged
    against pairs that stay, the best first.

    Args:
        outputs: what the model wrote for one paper.
        paper_text: what the answers should stand in.
        support_weight: the share of the support in the score; the rest is that of the probability.
        near_duplicate: from so large a share of common words two questions are one; 1 asks for equal words.

    Raises:
        UsageError: a share is not between 0 and 1.
    """
    for name, value in (("support_weight", support_weight), ("near_duplicate", near_duplicate)):
        if not 0 <= value <= 1:
            raise UsageError("a share is out of range", where=name, expected="0 to 1", got=str(value))
    found: list[Pair] = []
    dropped: list[Dropped] = []
    count = shortened = 0
    for each in outputs:
        count += 1
        split = split_output(each.text, ended=each.ended)
        dropped += split.dropped
        shortened += split.shortened
        for question, answer in split.pairs:
            found.append(Pair(question, answer, each.log_prob, each.num_tokens, support(answer, paper_text)))
    kept = _joined(sorted(found, key=lambda pair: -pair.score(support_weight)), near_duplicate)
    ranked = sorted(kept, key=lambda pair: (-pair.score(support_weight), -pair.times))
    return Pairs(tuple(ranked), count, tuple(dropped), len(found) - len(kept), shortened, support_weight)


def _joined(pairs: Sequence[Pair], near_duplicate: float) -> list[Pair]:
    """Each question once, as the first that asks it."""
    kept: list[Pair] = []
    asked: list[tuple[str, ...]] = []
    for pair in pairs:
        words = _words_of(pair.question)
        for place, theirs in enumerate(asked):
            if _are_one(words, theirs, near_duplicate):
                kept[place] = replace(kept[place], times=kept[place].times + pair.times)
                break
        else:
            kept.append(pair)
            asked.append(words)
    return kept


_ARTICLES = frozenset({"a", "an", "the"})
_TELLING = frozenset(
    {"what", "which", "who", "whom", "whose", "where", "when", "why", "how", "not", "no", "never", "without"}
)


def _words_of(question: str) -> tuple[str, ...]:
    """A question's words in their order, articles left aside."""
    words = word_tokens(unicodedata.normalize("NFKC", question))
    return tuple(each for each in words if each not in _ARTICLES)


def _are_one(words: tuple[str, ...], theirs: tuple[str, ...], near_duplicate: float) -> bool:
    """Whether two questions ask the same, as far as words tell."""
    one, other = frozenset(words), frozenset(theirs)
    if not one | other or len(one & other) < near_duplicate * len(one | other):
        return words == theirs
    if any(each in _TELLING or is_number(each) for each in one ^ other):
        return False
    # Who beat whom is told by the order alone.
    return [each for each in words if each in other] == [each for each in theirs if each in one]


def _before_a_mark(part: str) -> tuple[str, str]:
    """What is said before a mark, and the question that ends there, if there is one."""
    last = _SENTENCES.split(part)[-1]
    if last.endswith("?") and _OPENS_QUESTION.match(last):
        return part[: len(part) - len(last)].strip(), last
    return part, ""


def _whole_sentences(answer: str) -> str:
    """An answer up to the end of its last whole sentence."""
    if _WHOLE.search(answer):
        return answer
    last = _SENTENCES.split(answer)[-1]
    return answer[: len(answer) - len(last)].strip()


def _without_questions(answer: str) -> tuple[str, list[str]]:
    """An answer without the questions at its end, and those."""
    unanswered: list[str] = []
    while answer:
        last = _SENTENCES.split(answer)[-1]
        rest = answer[: len(answer) - len(last)].strip()
        asks = last.endswith("?") and _OPENS_QUESTION.match(last)
        if not asks and not (rest and _BEGUN_QUESTION.match(last) and not _WHOLE.search(last)):
            break
        unanswered.insert(0, last)
        answer = rest
    return answer, unanswered
