"""What a reader must know beside a score of texts."""

from ramekin.text.metrics.values import Answers

__all__ = ["class_note", "empty_note", "joined", "passage_note", "text_note"]


def joined(*notes: str) -> str:
    """Notes in one line, empty ones left out."""
    return "; ".join(filter(None, notes))


def text_note(answers: Answers) -> str:
    """How many predictions are empty, and whether they are all the same where they should not be.

    >>> text_note(Answers(("", ""), ("a", "b")))
    '2 empty predictions; all predictions are the same'
    """
    constant = len(set(answers.predictions)) == 1 and len(set(answers.targets)) > 1
    return joined(empty_note(answers), "all predictions are the same" if constant else "")


def empty_note(answers: Answers) -> str:
    """How many predictions are empty."""
    empty = sum(not text.strip() for text in answers.predictions)
    return f"{empty} empty prediction{'s' * (empty > 1)}" if empty else ""


def passage_note(answers: Answers) -> str:
    """What an interval holds for where all examples share one passage.

    >>> passage_note(Answers(("", ""), ("a", "b"), clusters=("p", "p")))
    'all examples share one passage: the interval holds for that passage alone'
    """
    alone = len(answers.targets) > 1 and len(set(answers.clusters)) == 1
    return "all examples share one passage: the interval holds for that passage alone" if alone else ""


def class_note(answers: Answers) -> str:
    """Whether there are options, and all targets are one of them: then a constant answer is wholly right.

    >>> class_note(Answers(("no", "yes"), ("no", "no"), ("no", "yes")))
    "all targets are 'no'"
    """
    is_one = len(answers.targets) > 1 and len(answers.options) > 1 and len(set(answers.targets)) == 1
    return f"all targets are '{answers.targets[0]}'" if is_one else ""
