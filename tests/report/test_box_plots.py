"""Box plots: the numbers against numpy's, what is drawn of them, and where they stand in a report."""

import doctest
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from ramekin.errors import DataError
from ramekin.report import box_plots, values
from ramekin.report.box_plots import (
    box_plot,
    box_plot_inline,
    box_plot_names,
    box_plot_png,
    box_plot_svg,
    box_table,
    drawn_boxes,
)
from ramekin.report.document import from_json, to_json
from ramekin.report.markdown import to_markdown
from ramekin.report.pages import to_html
from ramekin.report.terminal import to_terminal
from ramekin.report.values import Box, BoxPlot, BoxPoint, Report
from ramekin.report.write import write_report
from ramekin.text.score import Score


def score(value: float, chance: float = 0.5) -> Score:
    return Score("accuracy", value, 100, max(0.0, value - 0.1), min(1.0, value + 0.1), chance, 0.05)


def points(*numbers: float) -> tuple[BoxPoint, ...]:
    return tuple(BoxPoint(f"t{i}", number) for i, number in enumerate(numbers))


TASKS = {
    "super_glue/rte": {"GPT-3 style": score(0.5), "can we infer": score(0.7), "MNLI crowdsource": score(0.6)},
    "anli/r1": {"a": score(0.3, 1 / 3), "b": score(0.4, 1 / 3)},
    "copa": {"only": score(0.9)},
}
PLOT = box_plot("By template", TASKS, caption="Three tasks.")


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def group(svg, name):
    """The element that carries an identifier."""
    (found,) = (each for each in ElementTree.fromstring(svg).iter() if (each.get("id") or "") == name)
    return found


def places(svg, name):
    """Where the marks of a group stand: (x, y)."""
    uses = [each for each in group(svg, name).iter() if each.tag.endswith("use")]
    return [(float(each.get("x")), float(each.get("y"))) for each in uses]


@pytest.mark.parametrize("module", [box_plots, values])
def test_examples(module) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_quartiles_are_numpys_and_lie_between_worst_and_best(numbers) -> None:
    box = Box("t", points(*numbers))
    assert box.quartiles == pytest.approx(np.percentile(numbers, [25, 50, 75]), abs=1e-12)
    assert (box.worst.value, box.best.value) == (min(numbers), max(numbers))
    first, middle, last = box.quartiles
    assert box.worst.value - 1e-12 <= first <= middle + 1e-12 <= last + 2e-12 <= box.best.value + 3e-12


def test_scores_become_boxes_with_the_chance_that_all_templates_share() -> None:
    assert [box.label for box in PLOT.boxes] == ["super_glue/rte", "anli/r1", "copa"]
    assert PLOT.boxes[0] == Box(
        "super_glue/rte",
        (BoxPoint("GPT-3 style", 0.5), BoxPoint("can we infer", 0.7), BoxPoint("MNLI crowdsource", 0.6)),
        0.5,
    )
    mixed = box_plot("T", {"a": {"x": score(0.1, 0.5), "y": score(0.2, 0.25)}, "none": {}})
    assert [(box.label, box.chance) for box in mixed.boxes] == [("a", None)]


def test_the_table_has_every_task_and_names_worst_and_best() -> None:
    table = box_table(PLOT)
    assert (table.title, table.caption) == ("By template", "Three tasks.")
    assert table.rows == (
        (
            "super_glue/rte",
            "3",
            "50.0",
            "50.0",
            "55.0",
            "60.0",
            "65.0",
            "70.0",
            "GPT-3 style",
            "can we infer",
        ),
        ("anli/r1", "2", "33.3", "30.0", "32.5", "35.0", "37.5", "40.0", "a", "b"),
        ("copa", "1", "50.0", "90.0", "90.0", "90.0", "90.0", "90.0", "only", "only"),
    )


def test_a_task_of_one_template_is_in_the_table_and_not_in_the_picture() -> None:
    assert [box.label for box in drawn_boxes(PLOT)] == ["super_glue/rte", "anli/r1"]
    written = texts(box_plot_svg(PLOT))
    assert {"super_glue/rte", "anli/r1", "By template", "score × 100"} <= set(written)
    assert "copa" not in written


def test_dots_stand_at_their_scores_and_the_tick_at_chance() -> None:
    svg = box_plot_svg(PLOT)
    upper, lower = places(svg, "dots-0"), places(svg, "dots-1")
    # One scale for all rows: x is a line through (30, 40, 50, 60, 70).
    (thirty, forty), (fifty, seventy, sixty) = [x for x, _ in lower], [x for x, _ in upper]
    step = forty - thirty
    assert step > 20
    assert [fifty, sixty, seventy] == pytest.approx([thirty + 2 * step, thirty + 3 * step, thirty + 4 * step])
    assert lower[0][1] > upper[0][1] + 20  # the first task on top
    path = next(each.get("d") for each in group(svg, "chance-1").iter() if each.get("d"))
    xs = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", path)]
    assert xs == pytest.approx([thirty + step / 3] * 2, abs=1e-3)


def test_dots_of_equal_scores_do_not_hide_each_other() -> None:
    svg = box_plot_svg(BoxPlot("T", (Box("a", points(0.5, 0.5, 0.5, 0.7, 0.5, 0.5)),)))
    found = places(svg, "dots-0")
    assert len({(round(x, 2), round(y, 2)) for x, y in found}) == 6
    assert len({round(x, 2) for x, _ in found}) == 2


def test_the_picture_grows_by_the_row_and_a_phone_has_its_own() -> None:
    def box(svg):
        return [float(number) for number in ElementTree.fromstring(svg).get("viewBox").split()][2:]

    two = box(box_plot_inline(PLOT, prefix="p"))
    many = BoxPlot("T", tuple(Box(f"task {i}", points(0.2, 0.4)) for i in range(57)))
    tall = box(box_plot_inline(many, prefix="p"))
    assert tall[0] == two[0] and tall[1] - two[1] == pytest.approx(55 * 0.36 * 72, abs=0.1)
    narrow = box(box_plot_inline(PLOT, prefix="p", narrow=True))
    assert narrow[0] == pytest.approx(two[0] / 2)


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert box_plot_svg(PLOT) == box_plot_svg(PLOT)
    assert box_plot_png(PLOT) == box_plot_png(PLOT) and box_plot_png(PLOT).startswith(b"\x89PNG")


def test_in_a_page_it_leaves_its_title_and_has_the_pages_colours_and_its_own_identifiers() -> None:
    svg = box_plot_inline(PLOT, prefix="b1")
    element = ElementTree.fromstring(svg)
    assert "By template" not in texts(svg) and element.get("role") == "img"
    assert all(name.startswith("b1-") for each in element.iter() if (name := each.get("id")))
    assert "var(--plot-series-1)" in svg and "var(--plot-muted)" in svg and "#3d6fb3" not in svg


def test_a_report_with_box_plots_is_written_and_read_back(tmp_path) -> None:
    report = Report("T", box_plots=(PLOT, BoxPlot("Alone", PLOT.boxes[2:])))
    assert from_json(to_json(report)) == report
    written = {path.name for path in write_report(report, tmp_path)}
    drawn, alone = box_plot_names(report)
    assert {f"{drawn}.svg", f"{drawn}.png"} <= written and f"{alone}.svg" not in written
    markdown, page = to_markdown(report), to_html(report)
    assert f"](plots/{drawn}.svg)" in markdown and f"{alone}.svg" not in markdown
    assert page.count("<figure") == 2
    for name in ("By template", "Three tasks.", "GPT-3 style", "can we infer", "only"):
        assert name in markdown and name in page
    assert "![" not in to_markdown(report, plots=None)


@pytest.mark.parametrize("width", [60, 100, 160])
def test_the_terminal_shows_the_table_within_its_width(width: int) -> None:
    file = io.StringIO()
    to_terminal(Report("T", box_plots=(PLOT,)), Console(file=file, width=width))
    text = file.getvalue()
    assert max(cell_len(line) for line in text.splitlines()) <= width
    for part in ("By template", "Three tasks.", "median", "32.5", "GPT-3 style"):
        assert part in text


@settings(max_examples=10)
@given(st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=4), max_size=5), st.none() | st.floats(-1, 1))
def test_whatever_is_drawn_is_well_formed(rows, chance) -> None:
    boxes = tuple(Box(f"<b>&\x00{i}", points(*row), chance) for i, row in enumerate(rows))
    plot = BoxPlot("$x_1$ </svg>", boxes)
    svg = box_plot_svg(plot)
    assert "$x_1$ </svg>" in texts(svg)
    assert sum(text.startswith("<b>") for text in texts(svg)) == len(drawn_boxes(plot))


def test_what_is_no_box_is_refused() -> None:
    with pytest.raises(DataError, match="box 'rte'.*one score or more"):
        Box("rte", ())
    with pytest.raises(DataError, match="not finite: box 'rte'"):
        Box("rte", points(0.5, float("nan")))
    with pytest.raises(DataError, match="not finite: box 'rte'"):
        Box("rte", points(0.5), float("inf"))
