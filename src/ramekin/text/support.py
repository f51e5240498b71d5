"""How far an answer stands in a text, told by its words alone.

Nothing is understood here: an answer whose words stand together in the text may still be wrong, and one in
other words may be right. Knows no models.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["MIN_WINDOW", "is_number", "support", "word_tokens"]

MIN_WINDOW = 40
"""Words of the text that are looked at together, at least: about two sentences."""

_TOKEN = re.compile(r"(?<![\w.,])[-−–]?\d+(?:[.,]\d+)*(?![^\W\d_])|[^\W_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)*")
_CITATION = re.compile(r"\[\d+(?:\s*[,;–-]\s*\d+)*\]")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_EMPTY = frozenset(
    {
        "a", "about", "also", "an", "and", "are", "as", "at", "be", "because", "been", "but", "by", "can",
        "could", "did", "do", "does", "each", "for", "from", "had", "has", "have", "how", "i", "if", "in",
        "into", "is", "it", "its", "may", "might", "more", "most", "of", "on", "or", "other", "our", "so",
        "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
        "to", "up", "used", "using", "was", "we", "were", "what", "when", "where", "which", "while", "who",
        "whom", "whose", "why", "will", "with", "would", "you",
    }
)  # fmt: skip
"""Words that say nothing by themselves; "no" and "not" do."""


def support(answer: str, paper_text: str) -> float:
    """How far an answer's words and numbers stand together somewhere in a text, from 0 to 1.

    The text is looked at through a window of twice as many words as the answer has, `MIN_WINDOW` at least. In
    a window,

        support = (sum of w(t) over the answer's terms t in it) / (sum of w(t) over all of them)
                  * (the answer's numbers in it) / (all its numbers, where it has any)

    and the best window counts. Terms are the answer's different words, endings taken off, and numbers; words
    such as "the" are left aside. A term is worth w(t) = log((N + 2) / (n(t) + 1)), N the number of terms of
    the text and n(t) how often t is among them: a rare word says more than one that is everywhere, and a word
    that the text does not have counts against the answer most. Numbers match only as they are (1,250 is 1250;
    0.5 is not 5; no number of a citation such as [12] counts), and a wrong one weighs twice: as a term, and
    as a factor.

    An answer without a term ("they do so") has support 0: there is nothing to look for.

    >>> text = "Rare words are split into syllables, which is 1.4 BLEU better than letters [35]."
    >>> support("They split rare words into syllables.", text), support("35", text)
    (1.0, 0.0)
    >>> support("1.4 BLEU", text), support("2.4 BLEU", text)
    (1.0, 0.0)
    """
    tokens = word_tokens(answer)
    terms = {term for token in tokens if (term := _term(token)) is not None}
    if not terms:
        return 0.0
    found, counts, total = _terms_of(paper_text)
    weights = {term: math.log((total + 2) / (counts[term] + 1)) for term in sorted(terms)}
    numbers = {term for term in terms if is_number(term)}
    hits = [(place, term) for place, term in found if term in terms]
    best = max(_shares(hits, weights, numbers, max(MIN_WINDOW, 2 * len(tokens))), default=0.0)
    return min(1.0, best)


def word_tokens(text: str) -> list[str]:
    """Words and numbers of a text, in lower case and without numbers of citations; compounds fall apart.

    >>> word_tokens("GPT-3 scores 1,250.5 (93%), not −2 [13, 7].")
    ['gpt', '3', 'scores', '1250.5', '93', 'not', '-2']
    """
    return [_plain(token) for token in _TOKEN.findall(_CITATION.sub(" ", text))]


def is_number(token: str) -> bool:
    """Whether a token is a number and nothing else."""
    return _NUMBER.fullmatch(token) is not None


def _plain(token: str) -> str:
    token = token.lower().replace("−", "-").replace("–", "-").replace("’", "'")
    return token.replace(",", "") if _THOUSANDS.fullmatch(token) else token.replace(",", ".")


def _term(token: str) -> str | None:
    """What is looked for in place of a token; None where it says nothing."""
    if token in _EMPTY:
        return None
    return token if any(map(str.isdigit, token)) else _stem(token.removesuffix("'s"))


def _stem(word: str) -> str:
    """A word without the endings of plural and verb, roughly: "trained", "training" and "trains" are one."""
    for ending, least in (("ing", 7), ("ied", 5), ("ies", 5), ("ed", 6), ("s", 4), ("e", 5)):
        if word.endswith(ending) and len(word) >= least and not word.endswith(("ss", "us", "is", "eed")):
            word = word[: -len(ending)] + ("y" if ending in ("ied", "ies") else "")
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls" else word


@lru_cache(maxsize=8)
def _terms_of(text: str) -> tuple[tuple[tuple[int, str], ...], Counter[str], int]:
    """The terms of a text with the places of their tokens, how often each is there, and their number."""
    found = [
        (place, term) for place, token in enumerate(word_tokens(text)) if (term := _term(token)) is not None
    ]
    return tuple(found), Counter(term for _, term in found), len(found)


def _shares(
    hits: Sequence[tuple[int, str]], weights: dict[str, float], numbers: set[str], width: int
) -> list[float]:
    """The share of the answer in the window that ends with each hit."""
    inside: Counter[str] = Counter()
    whole, first, shares = math.fsum(weights.values()), 0, []
    for place, term in hits:
        inside[term] += 1
        while place - hits[first][0] >= width:
            inside[hits[first][1]] -= 1
            first += 1
        there = [each for each in weights if inside[each]]
        share = math.fsum(weights[each] for each in there) / whole
        if numbers:
            share *= sum(each in numbers for each in there) / len(numbers)
        shares.append(share)
    return shares
