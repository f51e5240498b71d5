"""Rows on which two models part, and what is said of them."""

import dataclasses
from pathlib import Path

import pytest

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.statistics import compare_averages
from ramekin.recipes.earlier import Earlier, EarlierEntry, EarlierSuite
from ramekin.recipes.evaluations.diff_report import diff_report, row_lines, shortened
from ramekin.recipes.evaluations.differing import difference_of, foremost, right_probability
from ramekin.report.values import RunFacts
from ramekin.text.metrics import score_predictions


def part(
    task: str, *written: str, mode: str = "generate", metric: str = "accuracy", **more
) -> TaskEvaluation:
    """Answers to rows whose target is `yes`."""
    targets = ["yes"] * len(written)
    score = score_predictions(metric, written, targets, options=("yes", "no", "so"))
    predictions = tuple(
        Prediction(f"{task}#ask/v/{row}", f"asked {row}", "yes", text, text == "yes", text)
        for row, text in enumerate(written)
    )
    return TaskEvaluation(
        task, "ask", "v", MODES[mode], "toy", ("yes", "no", "so"), (score,), {metric: 1.0}, predictions, 0.1,
        **more,
    )  # fmt: skip


def earlier(*parts: TaskEvaluation, suite: EarlierSuite | None = None, folder: str = "a") -> Earlier:
    return Earlier(Path(folder), parts, "model", suite)


A = earlier(part("toy/wet", "yes", "no", "no", "no", "yes"), part("toy/dry", "yes", "yes"))
B = earlier(part("toy/wet", "yes", "yes", "so", "no", "no"), part("toy/dry", "no", "yes"), folder="b")


def test_rows_are_of_three_kinds_and_those_that_are_alike_are_left_out() -> None:
    found = difference_of(A, B)
    assert [(row.first.id, row.kind) for row in found.rows()] == [
        ("toy/wet#ask/v/1", "b_right"),
        ("toy/wet#ask/v/2", "both_wrong"),
        ("toy/wet#ask/v/4", "a_right"),
        ("toy/dry#ask/v/0", "a_right"),
    ]
    assert [row.first.id for row in found.rows("a_right")] == ["toy/wet#ask/v/4", "toy/dry#ask/v/0"]
    wet, dry = found.tasks
    assert (wet.counts, dry.counts) == (
        {"a_right": 1, "b_right": 1, "both_wrong": 1},
        {"a_right": 1, "b_right": 0, "both_wrong": 0},
    )
    assert found.whole == compare_averages(A.tasks, B.tasks) and found.whole_name == "average"


def test_answers_that_are_both_right_do_not_part() -> None:
    def with_references(earlier: Earlier, answer: str) -> Earlier:
        rows = [
            dataclasses.replace(p, prediction=answer, correct=True, references=("yes", "yeah"))
            for p in earlier.tasks[1].predictions
        ]
        return Earlier(Path("x"), (dataclasses.replace(earlier.tasks[1], predictions=tuple(rows)),))

    assert difference_of(with_references(A, "yes"), with_references(B, "yeah")).rows() == ()


def test_several_right_options_are_as_probable_as_they_are_together() -> None:
    def ranked(*references: str, **scores: float) -> Prediction:
        return Prediction("r", "?", "yes", "no", False, "no", references, option_scores=scores)

    assert right_probability(ranked(yes=-1.0, no=-1.0, so=-1.0)) == pytest.approx(1 / 3)
    assert right_probability(ranked("so", "yeah", yes=-1.0, no=-1.0, so=-1.0)) == pytest.approx(2 / 3)
    assert right_probability(ranked(no=-1.0)) is None
    assert right_probability(ranked()) is None


def test_the_foremost_are_those_of_the_largest_swing_either_way_then_the_others_in_order() -> None:
    rows = difference_of(A, B).rows()
    swings = (0.1, None, -0.7, None)
    told = [dataclasses.replace(row, swing=swing) for row, swing in zip(rows, swings, strict=True)]
    assert foremost(told, 4) == (told[2], told[0], told[1], told[3])
    assert foremost(told, 1) == (told[2],)
    assert foremost(told, 0) == ()


def entry(name: str, share: float) -> EarlierEntry:
    return EarlierEntry(("part",), name, share, "mean", (f"{name}#ask/v",))


def test_the_headline_is_of_the_suite_that_both_were_asked() -> None:
    suite = EarlierSuite("pair", False, (entry("toy/wet", 0.75), entry("toy/dry", 0.25)))
    first, second = (earlier(*each.tasks, suite=suite) for each in (A, B))
    found = difference_of(first, second)
    assert found.whole is not None and found.whole_name == "headline of pair"
    assert found.whole.difference == pytest.approx(0.75 * 0 + 0.25 * -0.5)
    other = dataclasses.replace(suite, name="two", entries=(entry("toy/wet", 0.5), entry("toy/dry", 0.5)))
    found = difference_of(first, earlier(*B.tasks, suite=other))
    assert found.whole_name == "average" and "different suites, pair and two" in found.note
    assert difference_of(first, second, task="toy/wet").whole is None


def test_there_is_no_mean_of_a_perplexity_and_a_share() -> None:
    scored = part("toy/loss", "yes", "yes", mode="perplexity")
    rows = [dataclasses.replace(p, log_prob=-1.0 - i, num_tokens=2) for i, p in enumerate(scored.predictions)]
    score = dataclasses.replace(scored.headline, metric="perplexity", value=2.1, low=2.0, high=2.2)
    loss = dataclasses.replace(scored, predictions=tuple(rows), scores=(score,), vocab_size=9)
    found = difference_of(earlier(A.tasks[0], loss), earlier(B.tasks[0], loss))
    assert found.whole is None and [task.comparison.metric for task in found.tasks] == [
        "accuracy",
        "perplexity",
    ]
    table = diff_report(found, (), names=("a", "b"), total=0, facts=RunFacts()).text_tables[0]
    assert table.rows[1][:6] == ("loss", "perplexity", "2", "2.10", "2.10", "0.00")
    assert table.rows[1][-3:] == ("", "", "")


def test_words_that_differ_are_shown_from_where_they_do() -> None:
    (wet, dry) = B.tasks
    rows = list(wet.predictions)
    rows[3] = dataclasses.replace(rows[3], inputs="asked " + "x" * 500)
    other = earlier(dataclasses.replace(wet, predictions=tuple(rows)), dry)
    with pytest.raises(
        DataError, match=r"same words: toy/wet#ask/v/3: expected 'asked 3', got 'asked x+…'; fix"
    ):
        difference_of(A, other)
    found = difference_of(A, other, prompts="any").rows()
    assert "prompt_b" not in found[0].to_json()


def test_a_report_says_what_was_found_and_how_sure_it_is() -> None:
    found = difference_of(A, B)
    rows = found.rows()
    report = diff_report(found, rows[:2], names=("m", "n"), total=4, facts=RunFacts())
    assert report.title == "n (B) minus m (A)"
    assert report.summary[0].startswith("B minus A, average: −25.0 (")
    tasks, listed = report.text_tables
    assert tasks.columns[7:9] == ("p", "p by Holm")
    assert tasks.rows[0][:6] == ("wet", "accuracy", "5", "40.0", "40.0", "0.0")
    assert tasks.rows[0][-4:] == ("mcnemar exact", "1", "1", "1")
    assert listed.caption.startswith("2 of 4. ") and listed.columns == (
        "row",
        "",
        "prompt",
        "target",
        "A",
        "B",
    )
    alone = diff_report(
        difference_of(A, B, task="toy/wet"), rows, names=("m", "n"), total=4, facts=RunFacts()
    )
    assert "p by Holm" not in alone.text_tables[0].columns and alone.summary[0].startswith(
        "B minus A, wet: 0.0"
    )


def test_the_lines_of_a_row() -> None:
    first = Prediction(
        "r", "Is it\nwet?", "yes", "no", False, "no", ("yeah",), option_scores={"yes": -2, "no": -1}
    )
    second = dataclasses.replace(first, inputs="Wet?", prediction="", option_scores={}, written="hm\x1b[31m")
    (row,) = difference_of(A, B, task="toy/dry").rows()
    told = dataclasses.replace(row, first=first, second=second, swing=-0.25)
    assert list(row_lines([told])) == [
        "",
        "r: only A is right, the right option's probability −0.25",
        "  prompt  Is it wet?",
        "  B's     Wet?",
        "  target  yes | yeah",
        "  A       no (yes -2.00, no -1.00)",
        "  B       (nothing) (read out of: hm\ufffd[31m)",
    ]
    voted = dataclasses.replace(first, option_scores={}, votes={"no": 3, "": 2})
    assert "  A       no (votes: no 3, unread 2)" in list(row_lines([dataclasses.replace(told, first=voted)]))


@pytest.mark.parametrize("length", [10, 37, 40])
def test_what_is_shortened_keeps_both_ends(length: int) -> None:
    text = "the beginning of a prompt and its end"
    found = shortened(text, length)
    assert len(found) <= length
    assert found == text if length >= len(text) else found.startswith("the") and found.endswith("end")
