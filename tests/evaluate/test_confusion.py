"""Targets against answers: against scikit-learn's matrix, and what has none."""

import doctest
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from ramekin.evaluate import confusion as module
from ramekin.evaluate.confusion import MAX_OPTIONS, confusion
from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.text.score import Score

OPTIONS = ("no", "yes", "maybe")


def answer(target, given_answer, references=()):
    accepted = {target, *references}
    parsed = given_answer if given_answer in OPTIONS else None
    return Prediction("x", "?", target, given_answer, given_answer in accepted, parsed, references)


def answered(predictions, options=OPTIONS):
    score = Score("accuracy", 0.5, max(1, len(predictions)), 0.0, 1.0, 0.5, 0.1)
    return TaskEvaluation(
        "a/b", "ask", "test", MODES["generate"], "toy", options, (score,), {}, tuple(predictions), 1.0
    )


def test_examples() -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(OPTIONS), st.sampled_from((*OPTIONS, "", "Yes"))), min_size=1, max_size=60
    )
)
def test_counts_are_those_of_scikit_learn_and_the_rest_is_unread(pairs) -> None:
    found = confusion(answered([answer(*pair) for pair in pairs]))
    assert found is not None and found.options == OPTIONS
    labels = [*OPTIONS, "other"]
    targets, answers = zip(*pairs, strict=True)
    read = [each if each in OPTIONS else "other" for each in answers]
    expected = confusion_matrix(targets, read, labels=labels)
    assert [list(row) for row in found.counts] == expected[:3, :3].tolist()
    assert list(found.unread) == expected[:3, 3].tolist()
    assert found.totals == tuple(targets.count(option) for option in OPTIONS)
    for counts, shares, total in zip(found.counts, found.shares, found.totals, strict=True):
        assert shares == tuple(count / total if total else None for count in counts)


def test_the_diagonal_has_all_right_answers_and_no_others() -> None:
    rows = [answer("no", "yes", ("yes",)), answer("no", "yes"), answer("no", "nope", ("nope",))]
    found = confusion(answered(rows))
    assert found is not None
    # Right by a reference that is an option; wrong; right by one that is none.
    assert found.counts == ((1, 1, 0), (0, 1, 0), (0, 0, 0))
    assert sum(found.counts[i][i] for i in range(3)) == sum(row.correct for row in rows)
    assert sum(found.totals) == 3 and found.unread == (0, 0, 0)


@pytest.mark.parametrize(
    "part",
    [
        answered([]),
        answered([answer("no", "no")], options=()),
        answered([answer("no", "no")], options=("no",)),
        answered([answer("no", "no"), answer("cut of", "no")]),
        answered([replace(answer("no", "no"), options=("no", "yes"))]),
        answered([answer("0", "1")], options=tuple(map(str, range(MAX_OPTIONS + 1)))),
    ],
)
def test_tasks_without_options_for_all_or_with_too_many_have_none(part) -> None:
    assert confusion(part) is None


def test_as_many_options_as_may_be() -> None:
    part = answered([answer("0", "1")], options=tuple(map(str, range(MAX_OPTIONS))))
    found = confusion(part)
    assert found is not None and found.counts[0][1] == 1
    assert confusion(part, max_options=MAX_OPTIONS - 1) is None
