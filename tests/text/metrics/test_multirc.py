"""MultiRC's F1a and exact match: by hand, against scikit-learn, and on the data set's own groups."""

import random
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ramekin.catalog import load_task
from ramekin.errors import UsageError
from ramekin.evaluate.answers import answers_of
from ramekin.text.metrics import METRICS, score_answers, score_predictions
from ramekin.text.metrics.proportion import clustered_error
from ramekin.text.render import render

SHARED = Path(__file__).parents[3].parent / "shared"
YES_NO = ("no", "yes")
word = st.sampled_from(YES_NO)
rows = st.lists(st.tuples(word, word, st.sampled_from("abcde")), min_size=1, max_size=30)


def by_hand(written, wanted, groups):
    """The share of groups in which every prediction is its target."""
    judged = defaultdict(list)
    for prediction, target, group in zip(written, wanted, groups, strict=True):
        judged[group].append(prediction == target)
    return sum(map(all, judged.values())) / len(judged)


@pytest.mark.filterwarnings("ignore::UserWarning")  # sklearn, on one class only
@given(rows)
@settings(max_examples=50)
def test_both_equal_their_definitions(drawn):
    written, wanted, questions = zip(*drawn, strict=True)
    f1a = score_predictions("multirc_f1a", written, wanted, options=YES_NO, questions=questions)
    expected = sk.f1_score(wanted, written, labels=["yes"], average="macro", zero_division=0.0)
    assert f1a.value == pytest.approx(expected, abs=1e-12)
    assert (f1a.metric, f1a.n) == ("multirc_f1a", len(drawn))
    em = score_predictions("multirc_em", written, wanted, options=YES_NO, questions=questions)
    assert em.value == pytest.approx(by_hand(written, wanted, questions))
    assert em.n == len(set(questions))
    assert 0 <= em.low <= em.value <= em.high <= 1


def test_exact_match_of_three_questions():
    """Of question a both answers are judged right, of b one of two, of c the one."""
    wanted = ["yes", "no", "yes", "yes", "no"]
    written = ["yes", "no", "yes", "no", "no"]
    score = score_predictions("multirc_em", written, wanted, options=YES_NO, questions="aabbc")
    assert (score.value, score.n) == (pytest.approx(2 / 3), 3)
    assert score.chance == pytest.approx((1 / 4 + 1 / 4 + 1 / 2) / 3)
    assert METRICS["multirc_em"].majority(answers(written, wanted, "aabbc")) == pytest.approx(1 / 3)


def answers(written, wanted, questions, passages=""):
    from ramekin.text.metrics import Answers

    return Answers(
        tuple(written), tuple(wanted), YES_NO, clusters=tuple(passages), questions=tuple(questions)
    )


def test_the_error_is_that_of_questions_in_passages():
    wanted, questions, passages = ["yes"] * 8, "aabbccdd", "pppprrrr"
    written = ["yes", "yes", "yes", "yes", "no", "yes", "yes", "yes"]
    score = score_answers("multirc_em", answers(written, wanted, questions, passages))
    assert score.value == 0.75
    assert score.clusters == 2
    assert score.standard_error == pytest.approx(clustered_error([1, 1, 0, 1], "pprr"))
    alone = score_answers("multirc_em", answers(written, wanted, questions))
    assert alone.clusters == 0 and alone.standard_error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_rows_of_one_question_are_no_independent_rows_for_other_metrics():
    score = score_answers("accuracy", answers(["yes"] * 3 + ["no"] * 3, ["yes"] * 6, "aaabbb"))
    assert (score.clusters, score.standard_error) == (2, 0.5)


def test_rows_that_ask_nothing_are_refused():
    with pytest.raises(UsageError, match="which rows are answers of one question.*question: EXPRESSION"):
        score_predictions("multirc_em", ["yes"], ["yes"], options=YES_NO)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared folder")
def test_real_rows_have_the_questions_of_the_data_sets_own_numbering():
    import pyarrow.parquet

    task = load_task("super_glue/multirc")
    path = SHARED / "data" / "super_glue" / "multirc" / "validation.parquet"
    table = pyarrow.parquet.read_table(path).to_pylist()
    examples = [render(task, row, split="validation", row=place) for place, row in enumerate(table)]
    numbers = [(row["idx"]["paragraph"], row["idx"]["question"]) for row in table]
    rng = random.Random(0)
    written = [e.targets if rng.random() < 0.85 else "no" for e in examples]
    given_answers = answers_of(examples, written, options=task.options)
    em = score_answers("multirc_em", given_answers)
    assert em.value == pytest.approx(by_hand(written, [e.targets for e in examples], numbers))
    assert (em.n, em.clusters) == (953, 83)
    f1a = score_answers("multirc_f1a", given_answers)
    expected = sk.f1_score([row["label"] for row in table], [text == "yes" for text in written])
    assert f1a.value == pytest.approx(expected)
    assert (f1a.n, f1a.clusters) == (4848, 83)
