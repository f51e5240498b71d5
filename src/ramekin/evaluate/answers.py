"""From examples and what was written for them to `Answers`: each example brings its references and options.

Knows nothing of how answers were generated, nor by which metric they are scored.
"""

from collections.abc import Iterable, Sequence

from ramekin.text.example import Example
from ramekin.text.metrics import Answers

__all__ = ["answers_of", "clusters_of", "questions_of"]


def answers_of(
    examples: Sequence[Example],
    written: Sequence[str],
    *,
    options: Sequence[str] = (),
    golds: Sequence[str] | None = None,
    references: Sequence[Sequence[str]] | None = None,
) -> Answers:
    """What was written beside what counts as right.

    Options that all examples share, in whatever order they were shown, become the set's own; the order is
    that of `options` where these are the same, since F1 looks for the second of two. Otherwise each example
    keeps its own. Examples of one passage are of one cluster.

    Args:
        examples: the examples that were answered.
        written: a text an example.
        options: the task's, which examples that carry none have too.
        golds: what stands in for the targets; None: the targets.
        references: what stands in for the examples' references; None: these.

    Raises:
        DataError: there are no examples, or the texts differ from them in number.
    """
    usual = tuple(options)
    each = tuple(example.options or usual for example in examples)
    others = [example.references for example in examples] if references is None else references
    shared = _shared(each, usual)
    return Answers(
        predictions=tuple(written),
        targets=tuple(example.targets for example in examples) if golds is None else tuple(golds),
        options=shared or (),
        references=tuple(map(tuple, others)) if any(others) else (),
        example_options=each if shared is None else (),
        clusters=clusters_of((example.passage, example.provenance.id) for example in examples),
        questions=questions_of((example.question, example.provenance.id) for example in examples),
    )


def clusters_of(passages: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What each example shares with others: its passage, or, where it has none, nothing but its own id.

    Empty where no passage stands twice, since then every example is independent.

    Args:
        passages: of each example the passage and the id.

    >>> clusters_of([("p", "row 0"), ("", "row 1"), ("p", "row 2")]), clusters_of([("p", "0"), ("", "1")])
    (('p', 'row 1', 'p'), ())
    """
    clusters = tuple(passage or name for passage, name in passages)
    return clusters if len(set(clusters)) < len(clusters) else ()


def questions_of(questions: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The question of which each example is a candidate answer, or its own id where it is of none.

    Empty where no example is of any.

    Args:
        questions: of each example the question and the id.

    >>> questions_of([("q", "row 0"), ("", "row 1")]), questions_of([("", "row 0"), ("", "row 1")])
    (('q', 'row 1'), ())
    """
    pairs = tuple(questions)
    return tuple(question or name for question, name in pairs) if any(q for q, _ in pairs) else ()


def _shared(each: Sequence[tuple[str, ...]], usual: tuple[str, ...]) -> tuple[str, ...] | None:
    """The options that all examples have, or None where they differ."""
    found = {frozenset(options) for options in each}
    if len(found) > 1:
        return None
    return usual if not each or set(each[0]) == set(usual) else each[0]
