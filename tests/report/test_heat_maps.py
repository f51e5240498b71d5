"""Heat maps: what is written in them, their colours, and where they stand in a report."""

import doctest
import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ramekin.errors import DataError
from ramekin.report import heat_maps
from ramekin.report.document import from_json, to_json
from ramekin.report.drawing import COLOURS
from ramekin.report.heat_maps import (
    cell_colour,
    count_table,
    heat_map_inline,
    heat_map_names,
    heat_map_png,
    heat_map_size,
    heat_map_svg,
)
from ramekin.report.markdown import to_markdown
from ramekin.report.pages import to_html
from ramekin.report.terminal import to_terminal
from ramekin.report.values import HeatMap, Report
from ramekin.report.write import write_report

COSINES = HeatMap("Cosines", ("rte", "cola"), ("rte", "cola"), ((1.0, -0.123), (-0.123, None)), low=-1.0)
LAYERS = tuple(f"encoder.block.{i}" for i in range(12))


def many(columns: int) -> HeatMap:
    names = tuple(f"a{i} · b{i}" for i in range(columns))
    values = tuple(tuple((x + y) / 40 for x in range(columns)) for y in range(12))
    return HeatMap("Conflict", LAYERS, names, values, high=0.5, as_percent=True, caption="Of elements.")


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_examples() -> None:
    found = doctest.testmod(heat_maps)
    assert found.attempted > 0 and found.failed == 0


def test_labels_and_numbers_are_written() -> None:
    written = texts(heat_map_svg(COSINES))
    assert written.count("rte") == written.count("cola") == 2
    assert {"1.00", "−0.12", "–", "0.00", "−1.00", "Cosines"} <= set(written)
    assert {"12.5", "5.00"} <= set(texts(heat_map_svg(many(4))))


def test_many_columns_have_colours_and_no_numbers() -> None:
    written = texts(heat_map_svg(many(28)))
    assert "12.5" not in written and {"a27 · b27", "encoder.block.11", "50.0", "25.0"} <= set(written)
    colours = set(re.findall(r"fill: (#[0-9a-f]{6})", heat_map_svg(many(28)).decode()))
    assert len(colours & {cell_colour(many(28), v)[0] for row in many(28).values for v in row}) > 20


@pytest.mark.parametrize("columns", [1, 2, 8, 28])
def test_labels_of_columns_do_not_run_into_each_other(columns: int) -> None:
    width, height = heat_map_size(many(columns))
    assert 1.5 < width < 14 and 2 < height < 8
    turned = "rotate(-90)" in heat_map_svg(many(columns)).decode()
    assert turned == (columns > 10)
    long = HeatMap("t", ("r",), ("a-model-with-a-long-name · another",), ((0.5,),))
    assert "rotate(-90)" in heat_map_svg(long).decode()


@given(st.floats(0, 1), st.booleans())
def test_numbers_can_be_read_on_their_colour_and_no_page_changes_it(place: float, both_signs: bool) -> None:
    scale = HeatMap("t", (), (), (), low=-1.0 if both_signs else 0.0)
    colour, ink = cell_colour(scale, scale.low + place * (scale.high - scale.low))
    light, dark = sorted((luminance(colour), luminance(ink)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.0
    assert colour not in COLOURS.values() and ink not in COLOURS.values()


def test_beyond_the_scale_is_the_colour_of_its_end() -> None:
    assert cell_colour(COSINES, 7.0) == cell_colour(COSINES, 1.0) != cell_colour(COSINES, -7.0)


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert heat_map_svg(COSINES) == heat_map_svg(COSINES)
    assert heat_map_png(COSINES) == heat_map_png(COSINES) and heat_map_png(COSINES).startswith(b"\x89PNG")


def test_in_a_page_it_leaves_its_title_and_its_own_identifiers() -> None:
    svg = heat_map_inline(COSINES, prefix="h1")
    element = ElementTree.fromstring(svg)
    assert "Cosines" not in texts(svg) and element.get("role") == "img"
    assert all(name.startswith("h1-") for each in element.iter() if (name := each.get("id")))
    assert "report.json" not in (element.get("aria-label") or "")
    assert "report.json" in heat_map_inline(many(28), prefix="h2")


def test_a_report_with_heat_maps_is_written_and_read_back(tmp_path) -> None:
    report = Report("T", heat_maps=(COSINES, many(3)))
    assert from_json(to_json(report)) == report
    written = {path.name for path in write_report(report, tmp_path)}
    for name in heat_map_names(report):
        assert {f"{name}.svg", f"{name}.png"} <= written and f"plots/{name}.svg" in to_markdown(report)
    page = to_html(report)
    assert page.count("<figure") == 2 and "Of elements." in page and "Of elements." in to_markdown(report)


CONFUSION = HeatMap(
    "Answers",
    ("yes", "no"),
    ("yes", "no", "(unread)"),
    ((0.75, 0.25, 0.0), (None, None, None)),
    as_percent=True,
    caption="Counts.",
    counts=((1500, 500, 0), (0, 0, 0)),
    stub="right answer",
)


def test_counts_are_written_over_their_shares() -> None:
    written = texts(heat_map_svg(CONFUSION))
    assert {"1,500", "75.0", "500", "25.0", "0", "0.00", "–", "right answer"} <= set(written)
    plain = HeatMap("Answers", CONFUSION.rows, CONFUSION.columns, CONFUSION.values, as_percent=True)
    assert "1,500" not in texts(heat_map_svg(plain))
    assert heat_map_size(CONFUSION)[0] > heat_map_size(plain)[0]  # the stub is longer than the labels


def test_counts_have_a_table_in_every_form(tmp_path) -> None:
    table = count_table(CONFUSION)
    assert table is not None and count_table(COSINES) is None
    assert table.columns == ("right answer", "n", "yes", "no", "(unread)")
    assert table.rows == (
        ("yes", "2,000", "1,500 (75.0)", "500 (25.0)", "0 (0.00)"),
        ("no", "0", "0", "0", "0"),
    )
    report = Report("T", heat_maps=(CONFUSION, COSINES))
    assert from_json(to_json(report)) == report
    file = io.StringIO()
    to_terminal(report, Console(file=file, width=100))
    for form in (file.getvalue(), to_markdown(report), to_html(report)):
        assert "1,500 (75.0)" in form and form.count("right answer") >= 1
    assert "Answers" in file.getvalue() and "Cosines" not in file.getvalue()
    assert "table below" in heat_map_inline(CONFUSION, prefix="h")


def test_many_counts_are_in_the_table_alone() -> None:
    names = tuple(f"option {i}" for i in range(30))
    counts = tuple(tuple(7 * (i == j) for j in range(30)) for i in range(30))
    values = tuple(tuple(float(i == j) for j in range(30)) for i in range(30))
    wide = HeatMap("T", names, names, values, as_percent=True, counts=counts)
    assert "7" not in texts(heat_map_svg(wide)) and heat_map_size(wide)[0] < 14
    table = count_table(wide)
    assert table is not None and table.rows[2][:5] == ("option 2", "7", "0", "0", "7")


NUMBERS = st.none() | st.floats(-1e6, 1e6)


@settings(max_examples=10)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12))
def test_whatever_is_drawn_is_well_formed(rows) -> None:
    names = tuple(f"<b>&\x00{i}" for i in range(len(rows)))
    svg = heat_map_svg(HeatMap("$x_1$ </svg>", names, ("a", "</text>"), tuple(rows)))
    assert len(texts(svg)) == 1 + 2 + 3 + 3 * len(rows)


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": ((1.0,),)},
        {"values": ((1.0, 2.0), (float("nan"), 0.0))},
        {"low": 1.0},
        {"high": float("inf")},
        {"rows": ("a",)},
        {"counts": ((1, 2),)},
        {"counts": ((1, 2), (3,))},
    ],
)
def test_what_does_not_fit_is_refused(wrong) -> None:
    fields = {"rows": ("a", "b"), "columns": ("c", "d"), "values": ((1.0, 2.0), (3.0, None))}
    with pytest.raises(DataError):
        HeatMap("t", **{**fields, **wrong})
