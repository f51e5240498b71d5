import html
import re
from dataclasses import replace
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ramekin.report.markdown import escape, table_markdown, to_markdown
from ramekin.report.values import Cell, Report, RunFacts, ScoreTable, TableRow


def test_a_table_is_this_text(table):
    assert table_markdown(table) == dedent(
        """\
        Three tasks.

        | Method                    |          cola |           rte |          stsb |       Average |
        | :------------------------ | ------------: | ------------: | ------------: | ------------: |
        | **Reference results**     |               |               |               |               |
        | Pre-trained               | ≈ *49.0* ±3.0 | ↓ *30.0* ±3.0 | ≈ *0.0*¹ ±2.0 |             – |
        | Fine-tuned (STL)          | **88.1** ±3.0 | **85.9** ±3.0 | **88.7** ±3.0 |     87.6 ±1.7 |
        | **Model merging methods** |               |               |               |               |
        | Simple average            |     69.1 ±3.0 |     71.2 ±3.0 |     73.2 ±3.0 |     71.2 ±1.7 |
        | TIES-Merging (λ=0.3)      | **70.3** ±3.0 |     71.2 ±3.0 | **78.3** ±3.0 | **73.3** ±1.7 |
        | *chance*                  |          50.0 |          50.0 |           0.0 |          33.3 |
        | *n*                       |           400 |           277 |           400 |               |

        Accuracy × 100; stsb: spearman ρ × 100. ± is the larger side of the 95 % interval. """
        """**Bold**: best of its column within its section. ≈: the interval includes the chance level. """
        """↓: below the chance level.  
        ¹ constant predictions: correlation undefined, reported as 0  
        Predictions that could not be read as an answer and count as wrong: Pre-trained on stsb 21 of 400."""
    )


def test_a_table_of_many_tasks_has_a_row_a_task():
    cells = tuple(Cell(0.5 + i / 100, 0.4, 0.8, 100, 0.25) for i in range(13))
    lower = tuple(Cell(0.4, 0.3, 0.5, 100, 0.25) for i in range(13))
    rows = (TableRow("one", cells), TableRow("two", lower))
    text = table_markdown(ScoreTable("T", tuple(f"task {i}" for i in range(13)), rows))
    lines = text.splitlines()
    assert [len(line.split("|")) for line in lines[:15]] == [7] * 15
    assert lines[0].split() == ["|", "Task", "|", "one", "|", "two", "|", "chance", "|", "n", "|"]
    assert re.fullmatch(r"\| task 2 +\| \*\*52\.0\*\* ±28\.0 \| 40\.0 ±10\.0 \| +25\.0 \| 100 \|", lines[4])
    assert "**Bold**: best of its row." in text


def test_the_report_has_its_parts_in_order(report):
    text = to_markdown(report)
    assert re.findall(r"^#+ .*$", text, flags=re.MULTILINE) == [
        "# Three tasks, one model",
        "## Merging methods",
        "## Along λ",
        "## Training loss",
        "## Training and validation loss",
        "## Time",
        "## The run",
        "### Checkpoints",
        "### Data",
        "## Notes",
    ]
    assert "> - inputs truncated: 12 of 8,000" in text
    assert "> - the GPU was not used" in text
    assert "- counted, none met: targets truncated" in text
    assert "![Along λ](plots/1-along.svg)" in text
    assert "```\nramekin demo seed=0\n```" in text
    assert "| **Total** | **1 min 02 s** |" in text
    assert re.search(r"\| ties +\| ties_merging +\| mini/base, full/cola, full/rte +\|", text)
    assert text.endswith("mean.\n")


def test_training_and_validation_loss_have_the_form_of_a_model_card(report):
    lines = to_markdown(report).splitlines()
    at = lines.index("| Training Loss | Epoch | Step | Validation Loss |")
    assert lines[at + 1 : at + 4] == [
        "| ------------: | ----: | ---: | --------------: |",
        "|        No log |  0.99 |   46 |         34.6109 |",
        "|       29.7732 |  1.99 |   92 |         16.5236 |",
    ]


def test_every_grid_is_rectangular(report):
    for block in to_markdown(report).split("\n\n"):
        lines = block.splitlines()
        if block.startswith("| "):
            assert len({len(line) for line in lines}) == 1
            assert len({line.count("|") for line in lines}) == 1


def test_plots_can_be_left_out_or_elsewhere(report):
    assert "![" not in to_markdown(report, plots=None)
    assert "](img/1-along.svg)" in to_markdown(report, plots="img")


def test_an_empty_report_is_its_title():
    assert to_markdown(Report("Nothing")) == "# Nothing\n"


def test_a_table_without_rows_and_one_cell_without_interval():
    assert "| Model |   a |" in table_markdown(ScoreTable("T", ("a",), ()))
    assert "| r     | 50.0 |" in table_markdown(ScoreTable("T", ("a",), (TableRow("r", (Cell(0.5),)),)))


def rendered(text):
    """The Markdown as an independent renderer reads it: (tags, text)."""
    page = MarkdownIt("commonmark").enable("table").render(text)
    return set(re.findall(r"<(\w+)", page)), re.sub(r"<[^>]*>", "", page)


HOSTILE = (
    "a|b *c* **d** __e__ ~~f~~",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "[x](javascript:y) ![z](w)",
    "`code` ``more``",
    "&amp; &#42;",
    "\\*a\\*",
    "# no",
    "- x",
    "+",
    "1. x",
    "12) y",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text(name):
    table = ScoreTable(name, (name,), (TableRow(name, (Cell(0.5, note=name),), name),), name)
    tags, text = rendered(to_markdown(Report(name, (name, name), notes=(name,), tables=(table,))))
    assert tags <= {"h1", "h2", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "br"}
    assert text.count(html.escape(name)) == 10


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_makes_a_list_in_a_cell_or_a_paragraph(name):
    tags, _ = rendered(escape(name))
    assert tags == {"p"}


def test_intraword_underscores_stay_readable():
    assert escape("ties_merging _x_ snake_case_") == "ties_merging \\_x\\_ snake_case\\_"


@given(st.text())
def test_escaped_text_is_one_line_without_live_characters(text):
    escaped = escape(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*|\[\]~$]", escaped)
    assert "<" not in escaped


def test_a_command_with_backticks_cannot_leave_its_block():
    text = to_markdown(replace(Report("T"), facts=RunFacts(command="echo ``` x\nnext")))
    assert "````\necho ``` x\nnext\n````" in text
