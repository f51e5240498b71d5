"""The tables, pictures and counters of suites, cell by cell."""

import dataclasses

import pytest

from ramekin.evaluate.mode import MODES
from ramekin.recipes.evaluations.report import counters, entry_columns, pictures, score_tables
from ramekin.text.suite import Suite, SuiteEntry, SuitePart, SuiteSettings, SuiteTask


def right(hits, n=10):
    return [1] * hits + [0] * (n - hits)


RIGHTS = {"toy/wet": [right(6)], "toy/dry": [right(9)], "toy/damp": [right(3), right(5)]}


@pytest.fixture
def suite(toy_suite):
    return toy_suite(("one", ["toy/wet", "toy/dry"]), ("two", ["toy/damp"]))


def values(row):
    return [None if cell is None else pytest.approx(cell.value) for cell in row.cells]


class TestColumns:
    def entry(self, task, *path, title=""):
        return SuiteEntry(path or ("p",), task, SuiteSettings(), title)

    def test_they_are_as_short_as_they_can_be(self):
        entries = [self.entry("glue/rte"), self.entry("glue/cola")]
        assert entry_columns(entries) == ("rte", "cola")
        entries.append(self.entry("super_glue/rte"))
        assert entry_columns(entries) == ("glue/rte", "cola", "super_glue/rte")
        entries.append(self.entry("glue/rte", "q", "r"))
        assert entry_columns(entries) == ("glue/rte (p)", "cola", "super_glue/rte", "glue/rte (q, r)")

    def test_a_title_is_a_heading(self):
        assert entry_columns([self.entry("glue/rte", title="other words"), self.entry("glue/rte")]) == (
            "other words",
            "rte",
        )


class TestTables:
    def test_models_by_tasks_with_the_average_and_the_parts(self, suite, result):
        first = result(suite, RIGHTS, model="a")
        second = result(suite, {**RIGHTS, "toy/wet": [right(2)]}, model="b")
        table, parts = score_tables([first, second])
        assert (table.title, table.columns) == ("a, b on toys", ("wet", "dry", "damp", "Average"))
        assert [row.label for row in table.rows] == ["a", "b"]
        assert values(table.rows[0]) == [0.6, 0.9, 0.4, pytest.approx(1.9 / 3)]
        assert values(table.rows[1]) == [0.2, 0.9, 0.4, pytest.approx(1.5 / 3)]
        wet, _, damp, average = table.rows[0].cells
        found = first.entries[list(first.entries)[2]]
        levels = [part.majority["accuracy"] for part in found.parts]
        assert len(levels) == 2 and damp.majority == pytest.approx(sum(levels) / 2)
        assert (wet.n, wet.chance, wet.metric) == (10, 0.5, "accuracy")
        assert (average.chance, average.low < average.value < average.high) == (0.5, True)
        assert "Options are ranked by the rules of 'rank'." in table.caption
        assert "A task's score is the mean over its prompts." in table.caption
        assert (parts.title, parts.columns) == ("Parts of toys", ("one", "two", "Average"))
        assert values(parts.rows[1]) == [pytest.approx(0.55), 0.4, pytest.approx(0.5)]
        assert [cell.chance for cell in parts.rows[0].cells] == [0.5] * 3

    def test_one_task_has_no_average_and_tasks_without_a_suite_are_named(self, toy_suite, result):
        suite = dataclasses.replace(toy_suite(("tasks", ["toy/wet"])), name="tasks")
        (table,) = score_tables([result(suite, RIGHTS)])
        assert (table.title, table.columns, values(table.rows[0])) == ("m on toy/wet", ("wet",), [0.6])

    def test_where_scores_are_normalised_the_average_is_of_those(self, toy_suite, result):
        suite = toy_suite(("one", ["toy/wet", "toy/dry"]), normalised=True)
        plain, normalised = score_tables([result(suite, RIGHTS)])
        assert plain.columns == ("wet", "dry") and values(plain.rows[0]) == [0.6, 0.9]
        assert normalised.columns == ("wet", "dry", "Average")
        assert values(normalised.rows[0]) == [pytest.approx(0.2), pytest.approx(0.8), pytest.approx(0.5)]
        assert {cell.chance for cell in normalised.rows[0].cells} == {0.0}
        wet = plain.rows[0].cells[0]
        assert normalised.rows[0].cells[0].low == pytest.approx((wet.low - 0.5) / 0.5)

    def test_exemplars_and_what_is_missing_stand_below(self, suite, result):
        table, _ = score_tables([result(suite, RIGHTS, missing=["toy/dry"], shots=2)])
        assert table.columns == ("wet", "damp", "Average")
        assert "Exemplars before each question: 2." in table.caption
        assert table.caption.endswith("Partial: 2 of 3 tasks; the data of these is missing: toy/dry.")


class TestPictures:
    def test_a_box_a_task_of_several_templates(self, suite, result):
        (box_plot,), maps, (curve,) = pictures([result(suite, RIGHTS)])
        (box,) = box_plot.boxes
        assert (box.label, box.chance) == ("toy/damp", 0.5)
        assert [(point.name, point.value) for point in box.points] == [("t0", 0.3), ("t1", 0.5)]
        assert [each.title for each in maps] == [
            "Answers of toy/wet",
            "Answers of toy/dry",
            "Answers of toy/damp#t0",
        ]
        assert maps[0].counts == ((6, 4), (0, 0))
        assert sum(each.count for each in curve.bins) == 40, "pooled"

    def test_each_model_has_its_own(self, suite, result):
        boxes, maps, curves = pictures([result(suite, RIGHTS, model=name) for name in "xy"])
        assert [each.title for each in boxes] == ["Scores by template: x", "Scores by template: y"]
        assert [each.title for each in curves] == ["Calibration: x", "Calibration: y"]
        assert len(maps) == 6 and maps[-1].title == "Answers of toy/damp#t0: y"

    def test_of_many_tasks_no_confusion_is_drawn(self, toy_suite, result):
        names = [f"toy/t{n}" for n in range(9)]
        found = result(toy_suite(("one", names)), {name: [right(5)] for name in names})
        assert pictures([found])[1] == ()

    def test_a_task_in_two_suites_within_has_two_boxes(self, result):
        inner = Suite("inner", (SuitePart("in", ((SuiteTask("toy/wet", SuiteSettings("rank")),),)),))
        outer = Suite("outer", (SuitePart("one", suite=inner), SuitePart("two", suite=inner)))
        found = result(outer, {"toy/wet": [right(6), right(7)]})
        ((box_plot,), _, _) = pictures([found])
        assert [box.label for box in box_plot.boxes] == ["toy/wet (one, in)", "toy/wet (two, in)"]
        assert [len(box.points) for box in box_plot.boxes] == [2, 2]

    def test_nothing_is_ranked_nothing_is_calibrated(self, suite, result):
        assert pictures([result(suite, RIGHTS, mode=MODES["generate"])])[2] == ()
        assert pictures([result(suite, RIGHTS, mode=MODES["perplexity"])])[1] == (), "nothing was answered"


class TestCounters:
    def test_of_one_model_and_of_several(self, suite, result):
        found = result(suite, RIGHTS, ties=1, truncated_inputs=2)
        assert {(each.name, each.count, each.of) for each in counters([found])} == {
            ("inputs truncated", 8, 40),
            ("ties between options, the first taken", 4, 40),
        }
        both = counters([result(suite, RIGHTS, ties=1), result(suite, RIGHTS, model="n", ties=2)])
        assert [(each.name, each.count) for each in both] == [
            ("m: ties between options, the first taken", 4),
            ("n: ties between options, the first taken", 8),
        ]

    def test_tokens_that_were_lost_are_a_share_of_all_and_told_by_where(self, suite, result):
        found = result(suite, RIGHTS, input_tokens=100, lost_tokens=9, lost_from_fields=7)
        assert [(each.name, each.count, each.of) for each in counters([found])] == [
            ("input tokens lost from the ends of the records' words", 28, 400),
            ("input tokens lost at the end of the prompt", 8, 400),
        ]

    def test_exemplars_that_were_left_out_are_a_share_of_those_asked_for(self, suite, result):
        found = result(suite, RIGHTS, shots=3, pruned_exemplars=2)
        assert [(each.count, each.of) for each in counters([found])] == [(8, 120)]
