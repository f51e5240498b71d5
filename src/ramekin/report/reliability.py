"""The reliability diagram: accuracy over confidence, a point a bin with its interval, and its table.

The larger a point, the more answers it stands for; on the diagonal a model is as sure as it is right
(DeGroot and Fienberg 1983; Guo et al. 2017, arXiv 1706.04599). This module knows no files and no page.
"""

import textwrap
from typing import TYPE_CHECKING, Final

from ramekin.report.drawing import COLOURS, Draw, inline_picture, plain_frame, png_picture, svg_picture
from ramekin.report.values import Cell, Reliability, Report, TextTable
from ramekin.report.wording import clean, count_text, interval_text, percent, plus_minus, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "RELIABILITY_INCHES",
    "reliability_inline",
    "reliability_names",
    "reliability_png",
    "reliability_summary",
    "reliability_svg",
    "reliability_table",
]

RELIABILITY_INCHES: Final = (4.6, 4.6)
"""The size of the picture in a page."""
_FILE: Final = (8.0, 4.9)  # inches, with title and numbers
_SQUARE: Final = 3.6  # inches
_LARGEST: Final = 210.0  # square points of the point that stands for the most answers
_COLUMNS: Final = ("Confidence", "n", "mean confidence", "accuracy", "95 % interval", "accuracy − confidence")


def reliability_summary(reliability: Reliability) -> tuple[str, ...]:
    """The measures in sentences."""
    each = reliability
    total = f"{count_text(each.accuracy.n)} answers: " if each.accuracy.n is not None else ""
    accuracy = " ".join(filter(None, (percent(each.accuracy.value), plus_minus(each.accuracy))))
    return (
        f"{total}accuracy {accuracy}, mean confidence {percent(each.confidence)}.",
        f"Expected calibration error {percent(each.calibration_error)}; "
        f"{percent(each.calibration_noise)} is usual of confidences that are true.",
        f"Brier score {_decimals(each.brier)}.",
        f"Negative log-likelihood {_decimals(each.negative_log_likelihood)} nats.",
    )


def _decimals(cell: Cell) -> str:
    """`0.350 (0.320 to 0.380; equal probabilities 0.500)`."""
    interval = f"{cell.low:.3f} to {cell.high:.3f}" if cell.low is not None else ""
    chance = f"equal probabilities {cell.chance:.3f}" if cell.chance is not None else ""
    beside = "; ".join(filter(None, (interval, chance)))
    return (f"{cell.value:.3f}" + (f" ({beside})" if beside else "")).replace("-", "−")


def reliability_table(reliability: Reliability) -> TextTable:
    """The bins, times a hundred, under the measures."""
    rows = tuple(
        (
            f"{percent(each.low)}–{percent(each.high)}",
            count_text(each.count),
            percent(each.confidence),
            percent(each.accuracy.value),
            interval_text(each.accuracy),
            percent(each.accuracy.value - each.confidence),
        )
        for each in reliability.bins
    )
    caption = " ".join(filter(None, (*reliability_summary(reliability), reliability.caption)))
    return TextTable(reliability.title, _COLUMNS, rows, caption=caption)


def reliability_names(report: Report) -> tuple[str, ...]:
    """The file name, without ending, of each picture; titles may repeat, names do not."""
    return tuple(
        f"reliability-{i}-{slug(clean(each.title))}" for i, each in enumerate(report.reliabilities, 1)
    )


def reliability_svg(reliability: Reliability) -> bytes:
    """The picture as an SVG file on paper-coloured ground, with its title and measures."""
    return svg_picture(_drawing(reliability, titled=True), _FILE)


def reliability_png(reliability: Reliability) -> bytes:
    """The picture as a PNG, 200 dots an inch, with its title and measures."""
    return png_picture(_drawing(reliability, titled=True), _FILE)


def reliability_inline(reliability: Reliability, *, prefix: str) -> str:
    """The picture as an `<svg>` element for a page, which gives it title and measures.

    Args:
        reliability: what to draw.
        prefix: put before every identifier, so that several pictures can share a page.
    """
    label = f"{clean(reliability.title)}: reliability diagram; the table below holds its numbers"
    draw = _drawing(reliability, titled=False)
    return inline_picture(draw, RELIABILITY_INCHES, prefix=prefix, label=label)


def _drawing(reliability: Reliability, *, titled: bool) -> Draw:
    return lambda figure: _draw(figure, reliability, titled=titled)


def _draw(figure: "Figure", reliability: Reliability, *, titled: bool) -> None:
    width, height = _FILE if titled else RELIABILITY_INCHES
    place = (0.75 / width, 0.6 / height, _SQUARE / width, _SQUARE / height)
    axes = figure.add_axes(place)
    _frame(axes)
    _points(axes, reliability)
    if titled:
        ink, top = COLOURS["ink"], 1 - 0.24 / height
        title = clean(reliability.title)
        figure.text(0.12 / width, top, title, color=ink, fontweight="bold", fontsize=11, va="center")
        _measures(figure, reliability, (0.75 + _SQUARE + 0.35) / width, (0.6 + _SQUARE) / height)


def _frame(axes: "Axes") -> None:
    muted = COLOURS["muted"]
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    plain_frame(axes)
    axes.set_xticks(range(0, 101, 20))
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("confidence × 100", color=muted, labelpad=6)
    axes.text(-0.11, 1.035, "accuracy × 100", transform=axes.transAxes, color=muted, fontsize=9)
    axes.plot([0, 100], [0, 100], color=muted, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
    axes.text(2, 97, "right more often than it says", color=muted, fontsize=8.5, va="top")
    axes.text(100, 1, "right less often than it says", color=muted, fontsize=8.5, ha="right")


def _points(axes: "Axes", reliability: Reliability) -> None:
    colour = COLOURS["series-1"]
    most = max((each.count for each in reliability.bins), default=1)
    for i, each in enumerate(reliability.bins):
        x, cell = 100 * each.confidence, each.accuracy
        if cell.low is not None and cell.high is not None:
            ends = [100 * cell.low, 100 * cell.high]
            axes.plot([x, x], ends, color=colour, linewidth=1.4, alpha=0.55, zorder=3)
        area = max(9.0, _LARGEST * each.count / most)
        axes.plot(
            [x],
            [100 * cell.value],
            "o",
            color=colour,
            markersize=area**0.5,
            markeredgecolor=COLOURS["paper"],
            markeredgewidth=0.8,
            zorder=4,
            gid=f"bin-{i}",
        )


def _measures(figure: "Figure", reliability: Reliability, left: float, top: float) -> None:
    lines = []
    for sentence in (*reliability_summary(reliability), clean(reliability.caption)):
        lines += [*textwrap.wrap(sentence, 44), ""]
    lines += textwrap.wrap("A point: a bin of answers of like confidence, its area their number.", 44)
    text = "\n".join(lines)
    figure.text(left, top, text, color=COLOURS["muted"], fontsize=9, va="top", linespacing=1.4)
