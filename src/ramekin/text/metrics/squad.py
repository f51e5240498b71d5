"""SQuAD's exact match and token F1 (Rajpurkar et al. 2016; the official script of v1.1).

Texts are compared in lower case, without ASCII punctuation, without the articles a, an, the, and with single
spaces; the best of several references counts. One departure: where that leaves nothing of a text ("A" or
") ]"), the articles stay, and then the punctuation, or all such answers would equal one another and none.
Signs and decimal points are punctuation too: by this rule "-5" is "5" and "3.5" is "35", so that tasks whose
answers are numbers are scored by `number_match`.
"""

import re
import string
from collections import Counter

from ramekin.text.metrics.bootstrap import bootstrapped
from ramekin.text.metrics.match import commonest, match_metric
from ramekin.text.metrics.mean import expected_grade, grades, mean_resampler
from ramekin.text.metrics.metric import Metric, Resampler
from ramekin.text.metrics.notes import text_note
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

__all__ = ["EXACT_MATCH", "SQUAD_F1", "normalised"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """A text as it is compared.

    >>> normalised(" The Norman  (Conquest)."), normalised("A."), normalised(") ]")
    ('norman conquest', 'a', ') ]')
    """
    lower = text.lower()
    bare = lower.translate(_NO_PUNCTUATION)
    forms = (_ARTICLES.sub(" ", bare), bare, lower)
    return next(filter(None, (" ".join(form.split()) for form in forms)), "")


def _token_f1(prediction: str, reference: str) -> float:
    """The harmonic mean of precision and recall over the bags of words."""
    written, wanted = normalised(prediction).split(), normalised(reference).split()
    shared = (Counter(written) & Counter(wanted)).total()
    return 2 * shared / (len(written) + len(wanted)) if shared else 0.0


def _unparsable(answers: Answers) -> int:
    """Predictions that are none of their example's options even when normalised."""
    forms = {options: set(map(normalised, options)) for options in set(answers.choices)}
    pairs = zip(answers.predictions, answers.choices, strict=True)
    return sum(bool(options) and normalised(text) not in forms[options] for text, options in pairs)


def _squad_f1(answers: Answers, seed: int) -> Score:
    chance, note = expected_grade(_token_f1, answers), text_note(answers)
    resampler = _squad_f1_prepare(answers)
    return bootstrapped("squad_f1", answers, resampler, seed, chance=chance, note=note, of_grades=True)


def _squad_f1_prepare(answers: Answers) -> Resampler:
    return mean_resampler(grades(_token_f1, answers))


def _squad_f1_majority(answers: Answers) -> float:
    """Of the answer that is right most often; another constant may share words with more."""
    constant, _ = commonest(answers, normalised)
    best = [max(_token_f1(constant, right) for right in accepted) for accepted in answers.accepted]
    return sum(best) / len(best)


EXACT_MATCH = match_metric("exact_match", normalised, _unparsable)
"""The share of predictions that equal a reference when both are normalised; Wilson's interval."""
SQUAD_F1 = Metric("squad_f1", _squad_f1, _squad_f1_prepare, _squad_f1_majority)
"""The mean over examples of the best reference's token F1."""
