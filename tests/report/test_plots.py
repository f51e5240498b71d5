import itertools
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.report.drawing import COLOURS, spread
from ramekin.report.plots import drawable, inline_svg, plot_names, sweep_png, sweep_svg
from ramekin.report.values import Cell, Reference, Report, Series, Sweep

HOSTILE = '<b>&"x"\'</b>]]> $\\frac{1}{ \x00\x1b[31m --> \ud800 模型'


def one_point(label="a", value=0.5):
    return Sweep("S", (0.3,), (Series(label, (Cell(value),)),))


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_names_and_the_best_factor_are_written_beside_the_lines(sweep):
    written = texts(sweep_svg(sweep))
    for name in ("cola", "rte", "stsb", "Average", "Pre-trained 50.0", "Fine-tuned 90.0", "scaling factor λ"):
        assert name in written
    assert "best average 82.0 at 0.5" in written


def test_the_same_sweep_gives_the_same_bytes(sweep):
    assert sweep_svg(sweep) == sweep_svg(sweep)
    assert sweep_png(sweep) == sweep_png(sweep)
    assert inline_svg(sweep, prefix="p") == inline_svg(sweep, prefix="p")


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(sweep, tmp_path):
    program = (
        "import sys; from ramekin.report.plots import sweep_svg, sweep_png;"
        "from ramekin.report.document import from_json; import json, hashlib;"
        "s = from_json(json.load(sys.stdin)).sweeps[0];"
        "print(hashlib.sha256(sweep_svg(s) + sweep_png(s)).hexdigest())"
    )
    import hashlib
    import json

    from ramekin.report.document import to_json

    document = json.dumps(to_json(Report("T", sweeps=(sweep,))))
    env = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1", "TZ": "Asia/Tokyo"}
    found = subprocess.run(
        [sys.executable, "-c", program], input=document, capture_output=True, text=True, env=env, check=True
    )
    assert found.stdout.strip() == hashlib.sha256(sweep_svg(sweep) + sweep_png(sweep)).hexdigest()


def test_no_date_version_or_metadata_is_in_the_files(sweep):
    svg = sweep_svg(sweep)
    assert b"metadata" not in svg
    assert b"Matplotlib" not in svg + sweep_png(sweep)
    assert b"DOCTYPE" not in svg


def test_a_users_own_matplotlib_settings_change_nothing_and_are_kept(sweep):
    import matplotlib as mpl

    expected = sweep_svg(sweep)
    with mpl.rc_context({"lines.linewidth": 9.0, "font.size": 30, "axes.facecolor": "red"}):
        assert sweep_svg(sweep) == expected
        assert mpl.rcParams["lines.linewidth"] == 9.0


def test_the_inline_plot_uses_the_pages_colours_and_its_own_identifiers(sweep):
    svg = inline_svg(sweep, prefix="p7")
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert "table below" in root.get("aria-label")
    assert not any(colour in svg for colour in COLOURS.values())
    assert "var(--plot-ink)" in svg and "var(--plot-series-1)" in svg
    identifiers = [element.get("id") for element in root.iter() if element.get("id")]
    assert identifiers and all(name.startswith("p7-") for name in identifiers)
    assert "<style" not in svg and "<!DOCTYPE" not in svg and "<?xml" not in svg
    assert root.get("width") is None


def test_the_narrow_plot_is_half_as_wide(sweep):
    wide, narrow = (
        float(ElementTree.fromstring(inline_svg(sweep, prefix="p", narrow=n)).get("viewBox").split()[2])
        for n in (False, True)
    )
    assert narrow == pytest.approx(wide / 2)


@pytest.mark.parametrize("where", ["title", "label", "x_label", "reference", "average"])
def test_hostile_names_are_drawn_as_text(where):
    sweep = replace(
        one_point(HOSTILE if where == "label" else "a"),
        title=HOSTILE if where == "title" else "T",
        x_label=HOSTILE if where == "x_label" else "x",
        average=Series(HOSTILE if where == "average" else "Average", (Cell(0.4),)),
        references=(Reference(HOSTILE if where == "reference" else "r", Cell(0.2)),),
    )
    for svg in (sweep_svg(sweep).decode(), inline_svg(sweep, prefix="p")):
        ElementTree.fromstring(svg)
        assert "<b>" not in svg
    assert sweep_png(sweep).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "sweep",
    [
        one_point(),
        Sweep("S", (0.0, 1.0), (Series("a", (None, Cell(0.5))), Series("b", (None, None)))),
        Sweep("S", (0.0, 1.0), (), Series("Average", (Cell(0.5, 0.4, 0.6), None))),
        Sweep("S", (0.0, 1.0), (Series("same", (Cell(0.5), Cell(0.5))),)),
        Sweep("S", (0.0, 1.0), (Series("negative", (Cell(-0.5), Cell(0.5))),)),
        Sweep("S", tuple(i / 40 for i in range(41)), (Series("long", (Cell(0.5),) * 41),)),
        Sweep("S", (1.0,), tuple(Series(f"task {i}", (Cell(i / 40),)) for i in range(30))),
    ],
)
def test_odd_sweeps_are_drawn(sweep):
    assert drawable(sweep)
    ElementTree.fromstring(sweep_svg(sweep))


def test_what_has_no_point_is_not_drawable_but_does_not_fail():
    for sweep in (Sweep("S", (), ()), Sweep("S", (0.0,), (Series("a", (None,)),))):
        assert not drawable(sweep)
        sweep_svg(sweep)


def test_plot_names_differ_even_when_titles_do_not(sweep):
    names = plot_names(Report("T", sweeps=(sweep, sweep, replace(sweep, title="../../etc"))))
    assert names == ("1-along", "2-along", "3-etc")


class TestSpread:
    def test_distant_positions_stay(self):
        assert spread([1.0, 5.0, 9.0], gap=1.0, low=0.0, high=10.0) == [1.0, 5.0, 9.0]

    def test_nothing_gives_nothing(self):
        assert spread([], gap=1.0, low=0.0, high=1.0) == []

    @given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0.1, 10))
    def test_they_keep_order_gap_and_bounds(self, positions, gap):
        placed = spread(positions, gap=gap, low=0.0, high=100.0)
        gap = min(gap, 100.0 / max(1, len(positions) - 1))
        assert all(-1e-6 <= place <= 100 + 1e-6 for place in placed)
        ordered = sorted(range(len(positions)), key=lambda i: (positions[i], placed[i]))
        for before, after in itertools.pairwise(ordered):
            assert placed[after] - placed[before] >= gap - 1e-6

    @given(st.lists(st.floats(30, 70), min_size=2, max_size=6))
    @settings(max_examples=15)
    def test_no_other_placing_moves_them_less(self, positions):
        from scipy.optimize import minimize

        positions = sorted(positions)
        placed = spread(positions, gap=3.0, low=0.0, high=100.0)
        constraints = [
            {"type": "ineq", "fun": lambda p, i=i: p[i + 1] - p[i] - 3.0} for i in range(len(positions) - 1)
        ]

        def moved(places):
            return sum((a - b) ** 2 for a, b in zip(places, positions, strict=True))

        start = [positions[0] + 3.5 * i for i in range(len(positions))]
        found = minimize(moved, start, constraints=constraints, method="SLSQP", tol=1e-10)
        assert moved(placed) <= found.fun + 1e-4


def test_every_series_colour_is_readable_on_paper():
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    paper = luminance(COLOURS["paper"])
    for role, colour in COLOURS.items():
        if role.startswith("series-") or role in ("ink", "muted"):
            contrast = (paper + 0.05) / (luminance(colour) + 0.05)
            assert contrast >= 3.0, (role, round(contrast, 2))
    assert math.isclose(luminance("#ffffff"), 1.0)
