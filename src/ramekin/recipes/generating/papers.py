"""Papers as prompts, and their outputs as pairs of question and answer.

Knows nothing of engines.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ramekin.errors import DataError
from ramekin.infer.request import Output
from ramekin.recipes.generating.answering import Answer
from ramekin.report.cards import PaperCards
from ramekin.sources.papers import Paper, read_paper
from ramekin.sources.papers.read import EXTENSIONS
from ramekin.text.expression import Expression
from ramekin.text.pairs import MARK, Written, read_pairs
from ramekin.text.task import Task

__all__ = ["MAX_PAPER_TOKENS", "asks_for_pairs", "asks_of_papers", "paper_cards", "papers_in", "record_of"]

MAX_PAPER_TOKENS = 1024
"""What the published model for questions on papers reads; a longer paper is cut and the cut is told."""
_FIELDS = frozenset({"title", "abstract", "introduction"})


def asks_of_papers(task: Task, file: Path) -> bool:
    """Whether a file is read as a paper: of such a kind, by a template that shows parts of papers alone."""
    return set(task.columns) <= _FIELDS and (file.is_dir() or file.suffix.lower() in EXTENSIONS)


def asks_for_pairs(task: Task) -> bool:
    """Whether what a task's outputs hold is a question with its answer."""
    return isinstance(task.answer, Expression) and MARK in task.answer.source


def papers_in(file: Path) -> tuple[Paper, ...]:
    """A paper, or all papers of a folder by name.

    Raises:
        DataError: one cannot be read, or the folder has none.
    """
    if not file.is_dir():
        return (read_paper(file),)
    paths = sorted(path for path in file.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise DataError(
            "the folder has no papers", where=str(file), expected=f"files of {', '.join(EXTENSIONS)}"
        )
    return tuple(map(read_paper, paths))


def paper_cards(
    papers: Sequence[Paper], answers: Mapping[int, Answer], *, support_weight: float
) -> tuple[PaperCards, ...]:
    """The pairs of each paper, the best first.

    Args:
        papers: in the order of their prompts.
        answers: with log-probabilities, by the prompt's place.
        support_weight: what an answer's support in the text counts beside its probability, 0 to 1.

    Raises:
        RamekinError: a paper could not be answered.
    """
    cards = []
    for index, paper in enumerate(papers):
        answer = answers[index]
        if answer.error is not None:
            raise answer.error
        pairs = read_pairs(map(_written, answer.outputs), paper.text, support_weight=support_weight)
        cards.append(PaperCards(paper, pairs))
    return tuple(cards)


def record_of(paper: Paper) -> dict[str, Any]:
    """What a template may show of a paper."""
    return {"title": paper.title, "abstract": paper.abstract, "introduction": paper.introduction}


def _written(output: Output) -> Written:
    return Written(output.text, output.log_prob, len(output.tokens), output.ending != "length")
