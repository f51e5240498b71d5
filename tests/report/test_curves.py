"""The picture of a study: what is written in it, and its lines."""

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.report.curves import curve_names, curves_inline, curves_png, curves_svg
from ramekin.report.document import from_json, to_json
from ramekin.report.drawing import COLOURS
from ramekin.report.markdown import to_markdown
from ramekin.report.pages import to_html
from ramekin.report.values import Cell, CurveLine, Curves, Report
from ramekin.report.write import write_report


def line(label, values, **more):
    cells = tuple(None if v is None else Cell(v, max(0, v - 0.1), min(1, v + 0.1), n=200) for v in values)
    return CurveLine(label, cells, **more)


CURVES = Curves(
    "held out: score by number of tasks",
    (0.0, 1.0, 2.0, 8.0),
    (
        line("small, with CoT", (0.2, 0.4, 0.5, 0.55)),
        line("small, without", (0.1, 0.4, None, 0.45), dash=1),
        line("large, with CoT", (0.2, 0.5, 0.6, 0.75), colour=1),
    ),
    x_label="fine-tuning tasks",
    y_label="accuracy × 100",
    chance=0.5,
    caption="Mean of boolq, multirc; n = 200 each.",
)


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def drawn_lines(svg):
    """The style of each line, by its number."""
    groups = [g for g in ElementTree.fromstring(svg).iter() if g.get("id", "").startswith("line-")]
    return [next(p.get("style") for p in g.iter() if p.tag.endswith("path")) for g in groups]


def test_axes_names_n_and_chance_are_written():
    written = texts(curves_svg(CURVES))
    for text in ("fine-tuning tasks", "accuracy × 100", "chance 50.0", CURVES.title, CURVES.caption):
        assert text in written
    for each in CURVES.lines:
        assert each.label in written
    assert {"0", "1", "2", "8"} <= set(written)


def test_lines_of_one_model_share_a_colour_and_those_of_one_kind_their_dashes():
    styles = drawn_lines(curves_svg(CURVES))
    assert len(styles) == 3
    assert [COLOURS["series-1"] in style for style in styles] == [True, True, False]
    assert ["stroke-dasharray" in style for style in styles] == [False, True, False]


def test_a_doubling_is_a_step_and_0_a_step_before_1():
    root = ElementTree.fromstring(curves_svg(CURVES))
    places = {e.text: float(e.get("x") or e.get("transform").split("(")[1].split()[0].strip(",")) for e in root.iter()
              if e.tag.endswith("text") and e.text in ("0", "1", "2", "8") and "middle" in (e.get("style") or "")}  # fmt: skip
    step = places["1"] - places["0"]
    assert places["2"] - places["1"] == pytest.approx(step, abs=0.5)
    assert places["8"] - places["2"] == pytest.approx(2 * step, abs=0.5)


def test_numbers_of_places_close_together_stand_to_their_left_and_right():
    cells = (None, None, None)
    svg = curves_svg(Curves("S", (0.0, 68.0, 81.0), (CurveLine("a", cells),), "x"))
    anchors = {
        e.text: (e.get("style") or "").rpartition("text-anchor: ")[2].partition(";")[0]
        for e in ElementTree.fromstring(svg).iter()
        if e.tag.endswith("text")
    }
    assert (anchors["x"], anchors["68"], anchors["81"]) == ("middle", "end", "start")


def test_the_same_curves_give_the_same_bytes():
    assert curves_svg(CURVES) == curves_svg(CURVES)
    assert curves_png(CURVES) == curves_png(CURVES) and curves_png(CURVES).startswith(b"\x89PNG")
    assert b"Matplotlib" not in curves_svg(CURVES) + curves_png(CURVES)


def test_in_a_page_they_take_its_colours_and_leave_their_title_to_it():
    svg = curves_inline(CURVES, prefix="c1")
    assert CURVES.title not in texts(svg) and "var(--plot-series-1)" in svg and "#3d6fb3" not in svg
    assert ElementTree.fromstring(svg).get("role") == "img"


def test_a_report_with_curves_is_written_and_read_back(tmp_path):
    report = Report("T", curves=(CURVES, CURVES))
    assert from_json(to_json(report)) == report
    written = {path.name for path in write_report(report, tmp_path)}
    for name in curve_names(report):
        assert {f"{name}.svg", f"{name}.png"} <= written
        assert f"plots/{name}.svg" in to_markdown(report)
    assert len(set(curve_names(report))) == 2
    assert to_html(report).count("<figure") == 4


SCORES = st.none() | st.floats(-1, 1)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES), min_size=0, max_size=12), st.none() | st.floats(0, 1))
def test_whatever_is_drawn_is_well_formed(rows, chance):
    lines = tuple(
        CurveLine("<b>&\x00" + str(i), tuple(None if v is None else Cell(v, v - 1, v + 1) for v in row), i, i)
        for i, row in enumerate(rows)
    )
    svg = curves_svg(Curves("$x_1$ </svg>", (0.0, 3.0), lines, "x", chance=chance))
    assert len(drawn_lines(svg)) == sum(any(v is not None for v in row) for row in rows)


@pytest.mark.parametrize("places", [(1.0, 1.0), (-1.0, 2.0), (float("nan"), 2.0)])
def test_places_rise(places):
    with pytest.raises(DataError):
        Curves("S", places, (), "x")


def test_a_line_has_a_cell_a_place():
    with pytest.raises(DataError, match="line 'a'"):
        Curves("S", (1.0, 2.0), (CurveLine("a", (None,)),), "x")
