"""Scores over seeds, and the tables and pictures of a study."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ramekin.recipes.compose import compose
from ramekin.recipes.studies.plan import TrainingSize
from ramekin.recipes.studies.points import StudyPoint, study_points
from ramekin.recipes.studies.report import Found, over_seeds, rows_of, study_report
from ramekin.recipes.studies.schema import StudyConfig
from ramekin.report.values import AVERAGE, Cell

WORDS = ("study=mini", "num_tasks=[0,2]", "models=[small,large]", "seeds=[0,1]")
STUDY = compose("study", StudyConfig, WORDS)


def found(point: StudyPoint) -> Found:
    """A score that tells which point it is of."""
    number = (point.num_tasks + (point.model == "large") + 10 * (point.cot == "include")) / 20
    value = number + (point.seed or 0) / 100
    cells = {
        "a": Cell(value - 0.1, n=5, metric="f1"),
        "b": Cell(value + 0.1, n=5, metric="f1"),
        AVERAGE: Cell(value, 0, 1, chance=0.5),
    }
    scores = {"held_out": cells, "held_out_in_steps": {"chain": Cell(value, 0, 1, n=7, metric="accuracy")}}
    size = TrainingSize(point.num_tasks, 2 * (point.cot == "include"))
    return Found(point, size, {"loss": 1.5, "steps": 3} if point.training else {}, scores)


FOUND = [found(point) for point in study_points(STUDY, Path("out"))]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_interval_over_seeds_is_students(values: list[float]) -> None:
    cell = over_seeds([Cell(value, n=9, chance=0.5) for value in values])
    mean, error = sum(values) / len(values), stats.sem(values)
    assert cell.value == pytest.approx(mean) and (cell.n, cell.chance) == (9 * len(values), 0.5)
    if error > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
        assert (cell.low, cell.high) == pytest.approx((low, high))


def test_one_seed_keeps_its_own_interval() -> None:
    assert over_seeds([Cell(0.5, 0.4, 0.6, n=9)]) == Cell(0.5, 0.4, 0.6, n=9)


def test_a_table_and_a_picture_an_evaluation() -> None:
    report = study_report(STUDY.study, FOUND)
    assert [table.columns for table in report.tables] == [("0 tasks", "2 tasks")] * 2
    held_out = report.tables[0]
    assert [row.label for row in held_out.rows] == [
        "small, without chains of thought",
        "small, with chains of thought",
        "large, without chains of thought",
        "large, with chains of thought",
    ]
    # One seed of the model as it is, the mean of two of the others.
    assert held_out.rows[0].cells[0].value == 0.0
    assert held_out.rows[3].cells[1].value == pytest.approx(13 / 20 + 0.005)
    assert "Mean of a, b; n = 5 each, mode=generate" in held_out.caption
    assert "mean over 2 seeds" in held_out.caption
    for curves, table in zip(report.curves, report.tables, strict=True):
        assert curves.places == (0.0, 2.0) and curves.caption == table.caption
        assert [line.cells for line in curves.lines] == [row.cells for row in table.rows]
        assert [(line.colour, line.dash) for line in curves.lines] == [(0, 1), (0, 0), (1, 1), (1, 0)]
    assert [each.y_label for each in report.curves] == ["f1 × 100", "accuracy × 100"]
    assert (report.curves[0].chance, report.curves[1].chance) == (0.5, None)


def test_a_line_a_point() -> None:
    rows = rows_of(FOUND)
    assert len(rows) == len(FOUND) == 14
    assert rows[0]["seed"] == "" and "loss" not in rows[0]
    last = rows[-1]
    assert (last["num_tasks"], last["model"], last["cot"], last["seed"]) == (2, "large", "include", 1)
    assert last["loss"] == 1.5 and math.isclose(last["held_out: a"], 13 / 20 + 0.01 - 0.1)


def test_sets_of_tasks_have_a_column_each_however_many_they_are() -> None:
    words = (
        "study=mini", "num_tasks=[b,0,a]", "models=[small]", "cot=[leave_out,only]",
        "study.task_sets.a.mixture.exclude=[x]", "study.task_sets.b.mixture.exclude=[y]",
    )  # fmt: skip
    study = compose("study", StudyConfig, words)
    scores = {"a": 0.5, "b": 0.25, 0: 0.0}
    results = [
        Found(
            point,
            TrainingSize(0 if point.num_tasks == 0 or point.cot == "only" else 4, 2),
            {},
            {name: {"t": Cell(scores[point.num_tasks], n=5)} for name in point.evaluations},
        )
        for point in study_points(study, Path("out"))
    ]
    report = study_report(study.study, results)
    assert report.tables[0].columns == ("0 tasks", "b (4 tasks)", "a (4 tasks)")
    for row in report.tables[0].rows:
        assert [cell.value for cell in row.cells] == [0.0, 0.25, 0.5]
    assert not report.curves, "the sets have no order along an axis"
    assert [row["task_set"] for row in rows_of(results) if row["num_tasks"] == 4] == ["b", "a"]
