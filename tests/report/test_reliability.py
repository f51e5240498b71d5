"""Reliability diagrams: their sentences, where the points stand, and where they stand in a report."""

import io
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from ramekin.errors import DataError
from ramekin.report.document import from_json, to_json
from ramekin.report.markdown import to_markdown
from ramekin.report.pages import to_html
from ramekin.report.reliability import (
    reliability_inline,
    reliability_names,
    reliability_png,
    reliability_summary,
    reliability_svg,
    reliability_table,
)
from ramekin.report.terminal import to_terminal
from ramekin.report.values import Cell, Reliability, ReliabilityBin, Report
from ramekin.report.write import write_report

FOUND = Reliability(
    "Calibration of rte",
    (
        ReliabilityBin(0.5, 0.6, 100, 0.55, Cell(0.4, 0.3, 0.5, 100)),
        ReliabilityBin(0.9, 1.0, 1600, 0.95, Cell(0.8, 0.75, 0.85, 1600)),
    ),
    Cell(0.776, 0.75, 0.8, 1700),
    0.9265,
    0.15,
    0.012,
    Cell(0.35, 0.32, 0.38, chance=0.5),
    Cell(0.612, chance=0.693),
    "Softmax over the options.",
)


def texts(svg):
    elements = ElementTree.fromstring(svg).iter()
    return [element.text or "" for element in elements if element.tag.endswith("text")]


def group(svg, name):
    (found,) = (each for each in ElementTree.fromstring(svg).iter() if (each.get("id") or "") == name)
    return found


def test_the_sentences_say_every_measure_with_its_certainty_and_its_level() -> None:
    assert reliability_summary(FOUND) == (
        "1,700 answers: accuracy 77.6 ±2.6, mean confidence 92.7.",
        "Expected calibration error 15.0; 1.2 is usual of confidences that are true.",
        "Brier score 0.350 (0.320 to 0.380; equal probabilities 0.500).",
        "Negative log-likelihood 0.612 (equal probabilities 0.693) nats.",
    )


def test_the_table_has_a_row_a_bin() -> None:
    table = reliability_table(FOUND)
    assert table.rows == (
        ("50.0–60.0", "100", "55.0", "40.0", "30.0–50.0", "−15.0"),
        ("90.0–100.0", "1,600", "95.0", "80.0", "75.0–85.0", "−15.0"),
    )
    assert table.caption.endswith("nats. Softmax over the options.")


def test_points_stand_at_confidence_and_accuracy_and_their_area_is_their_number() -> None:
    svg = reliability_svg(FOUND)
    found = []
    for name in ("bin-0", "bin-1"):
        (use,) = (each for each in group(svg, name).iter() if each.tag.endswith("use"))
        shape = next(each.get("d") for each in group(svg, name).iter() if each.get("d"))
        radius = max(abs(float(number)) for number in re.findall(r"-?\d+\.?\d*", shape))
        found.append((float(use.get("x")), float(use.get("y")), radius))
    (x0, y0, r0), (x1, y1, r1) = found
    # The square's scales agree: 40 points of confidence and of accuracy are equally long.
    assert x1 - x0 == pytest.approx(y0 - y1, rel=1e-6) and x1 - x0 > 60
    assert r1 / r0 == pytest.approx(math.sqrt(1600 / 100), rel=0.02)


def test_title_and_measures_are_in_the_file_and_left_to_the_page() -> None:
    written = " ".join(texts(reliability_svg(FOUND)))
    assert "Calibration of rte" in written and "Brier score 0.350" in written
    svg = reliability_inline(FOUND, prefix="r1")
    element = ElementTree.fromstring(svg)
    assert "Brier" not in " ".join(texts(svg)) and "Calibration of rte" not in texts(svg)
    assert {"confidence × 100", "accuracy × 100"} <= set(texts(svg))
    assert all(name.startswith("r1-") for each in element.iter() if (name := each.get("id")))
    assert "var(--plot-series-1)" in svg and "#3d6fb3" not in svg


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert reliability_svg(FOUND) == reliability_svg(FOUND)
    assert reliability_png(FOUND) == reliability_png(FOUND)
    assert reliability_png(FOUND).startswith(b"\x89PNG")


def test_every_form_of_a_report_shows_it(tmp_path) -> None:
    report = Report("T", reliabilities=(FOUND, replace(FOUND, title="No bins", bins=())))
    assert from_json(to_json(report)) == report
    written = {path.name for path in write_report(report, tmp_path)}
    markdown, page = to_markdown(report), to_html(report)
    for name in reliability_names(report):
        assert {f"{name}.svg", f"{name}.png"} <= written and f"](plots/{name}.svg)" in markdown
    file = io.StringIO()
    to_terminal(report, Console(file=file, width=100))
    assert max(cell_len(line) for line in file.getvalue().splitlines()) <= 100
    terminal = " ".join(file.getvalue().split())
    for part in ("Calibration of rte", "Brier score 0.350", "90.0–100.0", "1,600", "−15.0", "Softmax over"):
        assert part in markdown and part in page and part in terminal
    assert page.count("<figure") == 2


def test_numbers_must_be_finite() -> None:
    with pytest.raises(DataError, match="Reliability.calibration_error"):
        replace(FOUND, calibration_error=math.nan)
    with pytest.raises(DataError, match="ReliabilityBin.confidence"):
        replace(FOUND.bins[0], confidence=math.inf)
