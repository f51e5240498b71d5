from dataclasses import replace

import pytest

from ramekin.report.tables import loss_columns, show, sweep_table
from ramekin.report.values import (
    AVERAGE,
    Cell,
    LossRow,
    LossTable,
    Reference,
    ScoreTable,
    Series,
    Sweep,
    TableRow,
)


def table_of(*rows, columns=("a",)):
    return ScoreTable("T", columns, tuple(TableRow(f"r{i}", cells) for i, cells in enumerate(rows)))


def best_of(shown):
    return [[bool(cell and cell.best) for cell in row.cells] for row in shown.rows]


def test_the_best_is_sought_within_each_section(table):
    assert best_of(show(table)) == [
        [False, False, False, False],
        [True, True, True, False],  # the only average of its section has no rival
        [False, False, False, False],
        [True, False, True, True],  # rte ties: nothing to win
    ]


def test_cells_that_read_the_same_are_best_together():
    shown = show(table_of((Cell(0.70049),), (Cell(0.70011),), (Cell(0.3),)))
    assert best_of(shown) == [[True], [True], [False]]


def test_one_row_has_no_best_and_neither_has_a_tie():
    assert best_of(show(table_of((Cell(0.7),)))) == [[False]]
    assert show(table_of((Cell(0.7),), (Cell(0.7),))).best_of == ""
    assert show(table_of((Cell(0.7),), (Cell(0.6),))).best_of == "its column"


def test_a_reference_row_never_wins():
    table = table_of((Cell(0.9),), (Cell(0.7),), (Cell(0.6),))
    rows = (replace(table.rows[0], reference=True), *table.rows[1:])
    assert best_of(show(replace(table, rows=rows))) == [[False], [True], [False]]


def test_sections_are_runs_of_rows_with_the_same_group(table):
    shown = show(table)
    assert [(s.group, len(s.rows)) for s in shown.sections] == [
        ("Reference results", 2),
        ("Model merging methods", 2),
    ]


def test_notes_become_numbered_footnotes_once_each():
    shown = show(
        table_of((Cell(0.7, note="x"), Cell(0.6, note="y")), (Cell(0.7, note="x"), None), columns=("a", "b"))
    )
    assert shown.footnotes == ("x", "y")
    assert shown.rows[0].cells[1].footnotes == (2,)
    assert shown.rows[1].cells[0].footnotes == (1,)


def test_the_footer_gives_chance_and_n_and_shows_ranges(table):
    assert dict(show(table).footer) == {
        "chance": ("50.0", "50.0", "0.0", "33.3"),
        "n": ("400", "277", "400", ""),
    }
    mixed = table_of((Cell(0.5, n=10),), (Cell(0.6, n=2000),))
    assert show(mixed).footer == (("n", ("10–2,000",)),)
    assert show(table_of((Cell(0.5),))).footer == ()


def test_metrics_are_named_with_the_columns_that_differ(table):
    assert show(table).metrics == "Accuracy × 100; stsb: spearman ρ × 100"
    assert show(table_of((Cell(0.5),))).metrics == ""


def test_unparsable_predictions_are_named_but_not_twice_in_the_average(table):
    assert show(table).unparsable.endswith("wrong: Pre-trained on stsb 21 of 400.")
    counted = table_of((Cell(0.5, unparsable=4), Cell(0.5, unparsable=4)), columns=("a", AVERAGE))
    assert show(counted).unparsable.endswith("wrong: r0 on a 4.")
    assert show(table_of((Cell(0.5),))).unparsable == ""


def test_many_unparsable_cells_are_summed_up():
    shown = show(table_of(*[(Cell(0.5, unparsable=i + 1),) for i in range(11)]))
    assert "r10 on a 11" in shown.unparsable
    assert shown.unparsable.endswith("6 more in 3 other cells.")


def test_detail_says_everything(table):
    detail = show(table).rows[0].cells[2].detail
    assert detail == (
        "Pre-trained, stsb: 0.0, spearman ρ, 95 % interval −2.0 to 2.0, chance 0.0, n = 400, "
        "21 unparsable, the 95 % interval includes the chance level"
    )


def test_the_own_task_is_marked():
    row = TableRow("tuned", (Cell(0.7), Cell(0.6)), own="b")
    shown = show(ScoreTable("T", ("a", "b"), (row,)))
    assert [cell.own for cell in shown.rows[0].cells] == [False, True]
    assert shown.has_own


@pytest.mark.parametrize(
    "table", [ScoreTable("T", (), ()), ScoreTable("T", ("a",), ()), ScoreTable("T", (), (TableRow("r", ()),))]
)
def test_empty_tables_are_shown_empty(table):
    shown = show(table)
    assert (shown.average, shown.footer, shown.footnotes) == (None, (), ())


def many_tasks(num_tasks, values, groups=("", "", ""), **more):
    """A row a list of values, which are repeated over the tasks."""
    rows = []
    for i, (model, row) in enumerate(values.items()):
        cells = tuple(
            Cell(row[t % len(row)], n=100 + t, chance=0.5, note=f"n{t}" * (t == 3)) for t in range(num_tasks)
        )
        rows.append(TableRow(model, (*cells, Cell(row[0])), group=groups[i], own="t1" if i == 0 else ""))
    return ScoreTable("T", (*(f"t{i}" for i in range(num_tasks)), AVERAGE), tuple(rows), **more)


def test_a_table_of_many_tasks_is_turned_with_the_average_last():
    shown = show(many_tasks(57, {"small": (0.4, 0.6), "base": (0.5, 0.55)}))
    assert shown.is_turned and shown.stub == "Task" and shown.average is None and shown.footer == ()
    assert shown.columns == ("small", "base", "chance", "n")
    assert [row.label for row in shown.rows] == [*(f"t{i}" for i in range(57)), AVERAGE]
    assert [row.is_average for row in shown.rows] == [False] * 57 + [True]
    assert [len(section.rows) for section in shown.sections] == [57, 1]
    texts = [[cell and cell.value for cell in row.cells] for row in shown.rows]
    assert texts[:2] == [["40.0", "50.0", "50.0", "100"], ["60.0", "55.0", "50.0", "101"]]
    assert texts[-1] == ["40.0", "50.0", None, None]
    assert shown.caption == "" and shown.footnotes == ("n3",)
    assert [cell.footnotes for cell in shown.rows[3].cells[:2]] == [(1,), (1,)]


def test_the_best_of_a_turned_table_is_that_of_its_row():
    shown = show(many_tasks(20, {"small": (0.4, 0.6), "base": (0.5, 0.55)}))
    assert shown.best_of == "its row"
    assert [[cell.best for cell in row.cells[:2]] for row in shown.rows[:2]] == [[False, True], [True, False]]
    assert not any(cell.best for row in shown.rows for cell in row.cells[2:] if cell)
    assert [cell.is_quiet for cell in shown.rows[0].cells] == [False, False, True, True]
    assert shown.rows[1].cells[0].own and not shown.rows[0].cells[0].own
    assert shown.rows[0].cells[1].detail.startswith("base, t0: 50.0")


def test_sections_of_a_turned_table_are_told_in_its_caption():
    values = {"a": (0.4,), "b": (0.5,), "c": (0.6,)}
    shown = show(many_tasks(20, values, ("Before", "After", "After"), caption="All.", stub="Method"))
    assert shown.caption == "All. Columns: Method. Before: a. After: b, c."
    assert shown.best_of == "its row within its section"
    assert [cell.best for cell in shown.rows[0].cells[:3]] == [False, False, True]
    twice = show(replace(many_tasks(20, values, ("Before", "After", "After")), rows=()))
    assert twice.columns == () and len(twice.rows) == 21


def test_models_of_one_name_are_told_apart_by_their_section():
    table = many_tasks(20, {"a": (0.4,), "b": (0.5,)}, ("Before", "After"))
    rows = tuple(replace(row, label="a") for row in table.rows)
    assert show(replace(table, rows=rows)).columns[:2] == ("Before: a", "After: a")


@pytest.mark.parametrize(
    ("tasks", "models", "turned"), [(11, 2, False), (12, 2, True), (12, 12, True), (12, 13, False)]
)
def test_a_table_is_turned_where_that_leaves_fewer_columns(tasks, models, turned):
    table = many_tasks(tasks, {f"m{i}": (0.5,) for i in range(models)}, ("",) * models)
    assert show(table).is_turned == turned


def test_a_sweep_becomes_a_table_like_the_seed_pages(sweep):
    table = sweep_table(sweep)
    assert table.columns == ("cola", "rte", "stsb", AVERAGE)
    assert [row.label for row in table.rows] == ["0.0", "0.5", "1.0", "Pre-trained", "Fine-tuned"]
    assert table.stub == "scaling factor λ"
    assert best_of(show(table))[1] == [True] * 4


def test_a_sweep_without_average_or_references():
    sweep = Sweep("S", (0.0,), (Series("a", (Cell(0.5),)),), references=(Reference("r", Cell(0.4)),))
    table = sweep_table(sweep)
    assert table.columns == ("a",)
    assert [row.label for row in table.rows] == ["0.0"]


@pytest.mark.parametrize(("epochs", "expected"), [(0, ()), (3, (0, 1, 2)), (10, tuple(range(10)))])
def test_few_epochs_are_all_shown(epochs, expected):
    assert loss_columns(LossTable("L", (LossRow("r", (1.0,) * epochs),))) == expected


def test_many_epochs_are_thinned_with_first_and_last():
    columns = loss_columns(LossTable("L", (LossRow("r", (1.0,) * 57),)))
    assert len(columns) == 10
    assert (columns[0], columns[-1]) == (0, 56)


def test_the_best_constant_answer_stands_at_the_foot_where_it_is_known() -> None:
    rows = (
        TableRow("one", (Cell(0.7, 0.6, 0.8, 100, 0.5, metric="accuracy", majority=0.66), Cell(0.5))),
        TableRow("two", (Cell(0.6, 0.5, 0.7, 100, 0.5, metric="accuracy", majority=0.66), None)),
    )
    shown = show(ScoreTable("T", ("cola", "stsb"), rows))
    assert shown.footer == (("chance", ("50.0", "")), ("majority", ("66.0", "")), ("n", ("100", "")))
    assert "best constant answer 66.0" in shown.rows[0].cells[0].detail
    plain = show(ScoreTable("T", ("cola",), (TableRow("one", (Cell(0.7, chance=0.5),)),)))
    assert [name for name, _ in plain.footer] == ["chance"]


def test_of_perplexities_the_least_is_the_best_and_they_are_shown_as_they_are() -> None:
    cells = [Cell(v, v - 1, v + 1, 10, 576.0, metric="perplexity") for v in (12.346, 800.0)]
    shown = show(ScoreTable("T", ("rte",), tuple(TableRow(f"m{i}", (c,)) for i, c in enumerate(cells))))
    assert [row.cells[0].value for row in shown.rows] == ["12.35", "800.00"]
    assert [row.cells[0].best for row in shown.rows] == [True, False]
    assert [row.cells[0].standing for row in shown.rows] == ["above", "below"]
    assert shown.footer[0] == ("chance", ("576.00",))
    assert shown.metrics == "Perplexity (less is better)"
