import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from ramekin.report.terminal import print_table, table_text, to_terminal
from ramekin.report.values import (
    AVERAGE,
    Cell,
    LossPoint,
    LossRow,
    LossTable,
    Report,
    ScoreTable,
    Series,
    Sweep,
    TableRow,
    ValidationTable,
)


def printed(thing, *, width, encoding="utf-8", terminal=False):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    console = Console(
        file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None
    )
    (to_terminal if isinstance(thing, Report) else print_table)(thing, console)
    file.flush()
    text = file.buffer.getvalue().decode(encoding)
    file.detach()
    return text


def eight_tasks():
    """As wide as the seed page's tables."""
    cells = tuple(Cell(0.7 + i / 100, 0.66, 0.80, 1000, 0.5) for i in range(9))
    other = tuple(Cell(0.6 + i / 100, 0.49, 0.70, 1000, 0.5) for i in range(9))
    columns = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", AVERAGE)
    rows = (
        TableRow("Task Arithmetic (λ=0.3)", cells, "Model merging methods"),
        TableRow("TIES-Merging", other, "Model merging methods"),
    )
    return ScoreTable("T", columns, rows, stub="Method")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_console(report, width, encoding):
    report = replace(report, tables=(*report.tables, eight_tasks()))
    text = printed(report, width=width, encoding=encoding)
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_eighty_columns_hold_the_whole_table_without_intervals():
    text = printed(eight_tasks(), width=80)
    assert "±" not in text
    header = next(line for line in text.splitlines() if line.startswith("Method"))
    assert header.split()[1:] == ["cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", AVERAGE]
    assert re.search(r"70\.0\* +71\.0\*.*78\.0\*", text)


def test_a_hundred_columns_hold_it_with_intervals():
    text = printed(eight_tasks(), width=100)
    assert "78.0*" in text
    assert "±: larger side" in text
    assert text.count("±10.0") > 1


def test_wide_consoles_put_the_interval_beside_the_score(table):
    assert re.search(r"TIES-Merging \(λ=0\.3\) +70\.3\* ±3\.0", printed(table, width=160))


def test_narrow_consoles_cut_the_columns_and_lose_none():
    text = printed(eight_tasks(), width=40)
    assert text.count("Method") > 1
    for column in eight_tasks().columns:
        assert re.search(rf"\b{column}\b", text)
    assert text.count("76.0") == 1 and text.count("77.0") == 1


def test_decimal_points_stand_under_each_other():
    rows = [TableRow(f"r{i}", (c,)) for i, c in enumerate((Cell(0.5, note="x"), Cell(0.7), Cell(1.0)))]
    text = printed(ScoreTable("T", ("a",), tuple(rows)), width=60)
    points = {line.index(".") for line in text.splitlines() if re.match(r"r\d", line)}
    assert len(points) == 1


def test_plain_output_has_no_escape_codes_and_marks_the_best(report):
    text = printed(report, width=100)
    assert "\x1b" not in text
    assert "88.1*" in text and "*: best of its column" in text
    assert "≈49.0" in text and "↓30.0" in text and "≈0.0¹" in text
    assert "! inputs truncated: 12 of 8,000" in text
    assert "¹ constant predictions" in text


def test_a_terminal_gets_bold_instead_of_a_star(report):
    text = printed(report, width=100, terminal=True)
    assert "\x1b[" in text
    assert "88.1*" not in text
    assert "Bold: best of its column" in text


def test_an_ascii_console_gets_words_it_can_write(report):
    text = printed(report, width=120, encoding="ascii")
    assert "lambda" in text and "+-3.0" in text and "~49.0" in text and "<30.0" in text
    assert "spearman rho" in text


def test_hostile_names_are_neither_markup_nor_escape_sequences():
    name = "[bold red]x[/] \x1b[2J\x07\nnext"
    table = ScoreTable(name, (name,), (TableRow(name, (Cell(0.5, note=name),), name),), name, name)
    text = printed(Report(name, (name,), (table,), notes=(name,)), width=120, terminal=False)
    assert "\x1b" not in text and "\x07" not in text
    assert text.count("[bold red]x[/]") == 10


@pytest.mark.parametrize(
    "report",
    [
        Report("Nothing"),
        Report("T", tables=(ScoreTable("T", (), ()), ScoreTable("T", ("a",), ()))),
        Report("T", tables=(ScoreTable("T", ("a",), (TableRow("r", (None,)),)),)),
        Report("T", sweeps=(Sweep("S", (), ()), Sweep("S", (0.5,), (Series("a", (Cell(0.5),)),)))),
        Report("T", losses=(LossTable("L", ()), LossTable("L", (LossRow("r", ()), LossRow("s", (0.0,)))))),
        Report("T", losses=(LossTable("L", (LossRow("r", tuple(float(i) for i in range(99))),)),)),
        Report("T", validations=(ValidationTable("V", ()), ValidationTable("V", (LossPoint(1, 1.0, 1e3),)))),
    ],
)
def test_small_and_empty_reports_are_printed(report):
    for width in (30, 80):
        assert max(map(len, printed(report, width=width).splitlines())) <= width


def test_training_and_validation_loss_stand_side_by_side(report):
    text = printed(report, width=80)
    assert re.search(r"Training Loss +Epoch +Step +Validation Loss", text)
    assert re.search(r"No log +0\.99 +46 +34\.6109\s+29\.7732 +1\.99 +92 +16\.5236", text)


def many_tasks(num_models):
    """As MMLU's: 57 tasks and their average."""
    rows = [
        TableRow(
            f"google/model-{i}", tuple(Cell(0.3 + (t + i) % 50 / 100, 0.2, 0.9, 100, 0.25) for t in range(58))
        )
        for i in range(num_models)
    ]
    return ScoreTable("MMLU", (*(f"professional_subject_{i}" for i in range(57)), AVERAGE), tuple(rows))


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("num_models", [1, 5])
def test_a_table_of_57_tasks_has_a_line_a_task(width, num_models):
    text = printed(many_tasks(num_models), width=width)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    heads = [line for line in lines if line.startswith("Task ")]
    if width >= 80:
        for i in range(57):
            assert sum(line.startswith(f"professional_subject_{i} ") for line in lines) == len(heads)
    for i in range(num_models):
        assert sum(f"google/model-{i}" in head for head in heads) == 1
    assert ("±" in text) == (width >= 100 or num_models == 1)
    assert len(re.findall(r"^Average ", text, flags=re.MULTILINE)) == len(heads)


def test_a_table_as_text_is_what_is_printed_without_trailing_space(table, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    lines = table_text(table).splitlines()
    assert lines == [line.rstrip() for line in printed(table, width=100).strip("\n").splitlines()]
    assert lines[0] == "Merging methods" and "±" in "".join(lines) and "\x1b" not in "".join(lines)
    assert max(map(len, table_text(table, width=50).splitlines())) <= 50


def test_losses_have_a_small_curve(report):
    text = printed(report, width=80)
    assert re.search(r"cola +2\.000 +1\.000 +0\.500 +█▄▃", text) or "█" in text
