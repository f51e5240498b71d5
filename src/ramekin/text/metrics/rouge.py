"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) as rouge-score has them, with Porter's stemmer.

F-measure, the best of several references, the mean over examples. Only a-z and 0-9 count as letters there, so
other scripts score 0; the note says so.
"""

from functools import cache, lru_cache, partial
from typing import Any, Literal, final

from ramekin.text.metrics.bootstrap import bootstrapped
from ramekin.text.metrics.mean import expected_grade, grades, mean_resampler
from ramekin.text.metrics.metric import Metric, Resampler, no_majority
from ramekin.text.metrics.notes import joined, text_note
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

__all__ = ["ROUGE_1", "ROUGE_2", "ROUGE_L"]


@cache
def _tokenizer() -> Any:
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=True)


@lru_cache(maxsize=65_536)  # stemming is most of the work, and words repeat
def _stems(word: str) -> tuple[str, ...]:
    return tuple(_tokenizer().tokenize(word))


@final
class _Tokens:
    """rouge-score's own tokens, made word by word: no token of it spans white space."""

    def tokenize(self, text: str) -> list[str]:
        """The stems of a text."""
        return [stem for word in text.split() for stem in _stems(word)]


@cache
def _scorer(name: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([name], tokenizer=_Tokens())


def _grade(name: str, prediction: str, reference: str) -> float:
    return float(_scorer(name).score(reference, prediction)[name].fmeasure)


def _prepare(name: str, answers: Answers) -> Resampler:
    return mean_resampler(grades(partial(_grade, name), answers))


def _rouge(name: str, answers: Answers, seed: int) -> Score:
    return bootstrapped(
        name,
        answers,
        _prepare(name, answers),
        seed,
        chance=expected_grade(partial(_grade, name), answers),
        note=joined(text_note(answers), _letters_note(answers)),
        of_grades=True,
    )


def _letters_note(answers: Answers) -> str:
    tokens = _Tokens()
    without = sum(not any(map(tokens.tokenize, accepted)) for accepted in answers.accepted)
    return (
        f"{without} of {len(answers.targets)} targets have no letter or digit that ROUGE reads"
        if without
        else ""
    )


def _metric(name: Literal["rouge1", "rouge2", "rougeL"]) -> Metric:
    return Metric(name, partial(_rouge, name), partial(_prepare, name), no_majority)


ROUGE_1 = _metric("rouge1")
"""Shared words."""
ROUGE_2 = _metric("rouge2")
"""Shared pairs of words."""
ROUGE_L = _metric("rougeL")
"""The longest common subsequence of words."""
