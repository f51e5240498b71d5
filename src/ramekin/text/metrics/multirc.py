"""MultiRC's two measures (Khashabi et al. 2018), as SuperGLUE has them (Wang et al. 2019, arXiv 1905.00537).

A question has several candidate answers, and any number of them are right; an example is one candidate. F1a
is the F1 of the right ones over all candidates of all questions; exact match is the share of questions all of
whose candidates were judged as they are.
"""

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ramekin.errors import UsageError
from ramekin.text.metrics.accuracy import guessed_right
from ramekin.text.metrics.f1 import f1_metric
from ramekin.text.metrics.mean import mean_resampler
from ramekin.text.metrics.metric import Metric, Resampler
from ramekin.text.metrics.notes import joined, passage_note, text_note
from ramekin.text.metrics.proportion import proportion_score
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats

__all__ = ["MULTIRC_EM", "MULTIRC_F1A"]


def _rows(answers: Answers) -> list[list[int]]:
    """The rows of each question."""
    if not answers.questions:
        raise UsageError(
            "multirc_em needs to know which rows are answers of one question",
            expected="a question for each row",
            got="none",
            fix="say in the task file what a row asks: question: EXPRESSION",
        )
    rows: dict[str, list[int]] = defaultdict(list)
    for row, question in enumerate(answers.questions):
        rows[question].append(row)
    return list(rows.values())


def _right(answers: Answers, questions: list[list[int]]) -> list[bool]:
    """Of each question, whether all of its rows are right."""
    pairs = zip(answers.predictions, answers.accepted, strict=True)
    right = [text in accepted for text, accepted in pairs]
    return [all(right[row] for row in rows) for rows in questions]


def _exact_match(answers: Answers, seed: int) -> Score:
    """The share of questions all of whose rows are right; n are the questions.

    Chance is a guesser's who takes one of the options for every row.
    """
    questions = _rows(answers)
    guessed = guessed_right(answers)
    chances = [math.prod(guessed[row] for row in rows) for rows in questions]
    return proportion_score(
        "multirc_em",
        _right(answers, questions),
        [answers.clusters[rows[0]] for rows in questions] if answers.clusters else (),
        chance=sum(chances) / len(chances),
        unparsable=answers.unparsable,
        note=joined(text_note(answers), passage_note(answers)),
    )


def _prepare(answers: Answers) -> Resampler:
    questions = _rows(answers)
    mean = mean_resampler(_right(answers, questions))
    first = [rows[0] for rows in questions]  # a question's rows are drawn together

    def resampled(drawn: "Floats") -> "Floats":
        return mean(drawn[:, first])

    return resampled


def _majority(answers: Answers) -> float:
    """Of the option that is right for all rows of the most questions."""
    accepted = answers.accepted
    counts: Counter[str] = Counter()
    questions = _rows(answers)
    for rows in questions:
        counts.update(set.intersection(*(set(accepted[row]) for row in rows)))
    return max(counts.values(), default=0) / len(questions)


MULTIRC_F1A = f1_metric("multirc_f1a")
"""Of the positive option, over all rows of all questions."""
MULTIRC_EM = Metric("multirc_em", _exact_match, _prepare, _majority, needs_questions=True)
"""Over questions."""
