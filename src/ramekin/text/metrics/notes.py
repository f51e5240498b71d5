"""What a reader must know beside a score of texts."""

from ramekin.text.metrics.values import Answers

__all__ = ["joined", "passage_note", "text_note"]


def joined(*notes: str) -> str:
    """Notes in one line, empty ones left out."""
    return "; ".join(filter(None, notes))


def text_note(answers: Answers) -> str:
    """How many predictions are empty, and whether they are all the same where they should not be.

    >>> text_note(Answers(("", ""), ("a", "b")))
    '2 empty predictions; all predictions are the same'
    """
    empty = sum(not text.strip() for text in answers.predictions)
    constant = len(set(answers.predictions)) == 1 and len(set(answers.targets)) > 1
    return joined(
        f"{empty} empty prediction{'s' * (empty > 1)}" if empty else "",
        "all predictions are the same" if constant else "",
    )


def passage_note(num_clusters: int) -> str:
    """What an interval holds for where all examples share one passage.

    >>> passage_note(1), passage_note(0), passage_note(2)
    ('all examples share one passage: the interval holds for that passage alone', '', '')
    """
    return (
        "all examples share one passage: the interval holds for that passage alone"
        if num_clusters == 1
        else ""
    )
