"""The picture of a study: scores by a count, a line a model, each point with its interval.

Lines of one model share a colour and a mark, lines of one kind of data their dashes, so that colour is never
all that tells two apart; each has its name at its end. This module knows no files and no page.
"""

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from ramekin.report.drawing import (
    COLOURS,
    Draw,
    Label,
    inline_picture,
    plain_frame,
    png_picture,
    series_colour,
    svg_picture,
    write_labels,
)
from ramekin.report.values import Cell, CurveLine, Curves, Report
from ramekin.report.wording import clean, percent, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curve_names", "curves_inline", "curves_png", "curves_svg"]

_WIDE: Final = (9.0, 5.2)
_NARROW: Final = (4.5, 5.2)
_MARKS: Final = "osD^v*"
_DASHES: Final[tuple[Any, ...]] = ("-", (0, (4, 2)), (0, (1, 1.6)))
_CLOSE: Final = 0.035
"""Places nearer than this share of the x axis have their numbers to the left and right of them."""
_APART: Final = 0.035
"""By so much of a step of the x axis each line is moved aside, so that intervals do not hide each other."""


def curve_names(report: Report) -> tuple[str, ...]:
    """The file name, without ending, of each picture; titles may repeat, names do not."""
    return tuple(f"curves-{i}-{slug(clean(each.title))}" for i, each in enumerate(report.curves, 1))


def curves_svg(curves: Curves) -> bytes:
    """The picture as an SVG file on paper-coloured ground."""
    return svg_picture(_drawing(curves, titled=True), _WIDE)


def curves_png(curves: Curves) -> bytes:
    """The picture as a PNG, 200 dots an inch."""
    return png_picture(_drawing(curves, titled=True), _WIDE)


def curves_inline(curves: Curves, *, prefix: str, narrow: bool = False) -> str:
    """The picture as an `<svg>` element for a page, which gives it its title.

    Args:
        curves: what to draw.
        prefix: put before every identifier, so that several pictures can share a page.
        narrow: drawn for a phone, at half the width and as high.
    """
    label = f"{clean(curves.title)}: line plot; a table on this page holds its numbers"
    size = _NARROW if narrow else _WIDE
    return inline_picture(_drawing(curves, narrow=narrow), size, prefix=prefix, label=label)


def _drawing(curves: Curves, *, narrow: bool = False, titled: bool = False) -> Draw:
    return lambda figure: _draw(figure, curves, narrow=narrow, titled=titled)


def _draw(figure: "Figure", curves: Curves, *, narrow: bool, titled: bool) -> None:
    left, width = (0.085, 0.525) if narrow else (0.06, 0.715)
    axes = figure.add_axes((left, 0.21, width, 0.655 if titled else 0.715))
    low, high = _frame(axes, curves)
    labels = [_line(axes, curves, line, place) for place, line in enumerate(curves.lines)]
    labels.append(_chance(axes, curves))
    write_labels(axes, [label for label in labels if label is not None], low, high)
    muted = COLOURS["muted"]
    if titled:
        figure.text(0.012, 0.955, clean(curves.title), color=COLOURS["ink"], fontweight="bold", fontsize=11)
    caption = textwrap.fill(clean(curves.caption), 62 if narrow else 125)
    figure.text(0.012, 0.085, caption, color=muted, fontsize=8.5, va="top", linespacing=1.35)


def _frame(axes: "Axes", curves: Curves) -> tuple[float, float]:
    low, high = _limits(curves)
    axes.set_ylim(low, high)
    plain_frame(axes)
    places = [_position(place) for place in curves.places] or [0.0]
    axes.set_xlim(places[0] - 0.25, places[-1] + 0.25)
    axes.set_xticks(places, [f"{place:g}" for place in curves.places] or [""])
    ticks = axes.get_xticklabels()
    for place, (here, there) in enumerate(pairwise(places)):
        if there - here < _CLOSE * (places[-1] - places[0]):
            ticks[place].set_horizontalalignment("right")
            ticks[place + 1].set_horizontalalignment("left")
    muted = COLOURS["muted"]
    axes.set_xlabel(clean(curves.x_label), color=muted, labelpad=6)
    axes.text(-0.055, 1.035, clean(curves.y_label), transform=axes.transAxes, color=muted, fontsize=9)
    return low, high


def _position(place: float) -> float:
    """Where a count stands: a step for each doubling, 0 a step before 1."""
    return place if place < 1 else 1 + math.log2(place)


def _limits(curves: Curves) -> tuple[float, float]:
    """The ends of the y axis: of all scores and intervals, yet not beyond what a score can be."""
    known = [cell for line in curves.lines for cell in line.cells if cell is not None]
    scores = [cell.value for cell in known]
    ends = [end for cell in known for end in (cell.low, cell.high) if end is not None]
    least = min([0.0, *scores]) if known else 0.0
    inside = [min(max(end, least), 1.0) for end in ends]
    values = [*scores, *inside, *([] if curves.chance is None else [curves.chance])] or [0.0, 1.0]
    low, high = 100 * min(values), 100 * max(values)
    pad = max(1.5, 0.05 * (high - low))
    return low - pad, high + pad


def _line(axes: "Axes", curves: Curves, line: CurveLine, place: int) -> Label | None:
    """One line, a little aside of the others; hollow marks where it is not solid."""
    points = _points(curves, line.cells)
    if not points:
        return None
    colour = series_colour(line.colour)
    aside = _APART * (place - (len(curves.lines) - 1) / 2)
    x = [_position(count) + aside for count, _ in points]
    y = [100 * cell.value for _, cell in points]
    for at, (_, cell) in zip(x, points, strict=True):
        if cell.low is not None and cell.high is not None:
            axes.plot([at, at], [100 * cell.low, 100 * cell.high], color=colour, linewidth=1.1, alpha=0.45)
    axes.plot(
        x,
        y,
        color=colour,
        linewidth=1.8,
        linestyle=_DASHES[line.dash % len(_DASHES)],
        marker=_MARKS[line.colour % len(_MARKS)],
        markersize=5,
        markerfacecolor=colour if line.dash == 0 else COLOURS["paper"],
        zorder=4,
        gid=f"line-{place}",
    )
    return Label(clean(line.label), x[-1], y[-1], colour)


def _chance(axes: "Axes", curves: Curves) -> Label | None:
    if curves.chance is None:
        return None
    y = 100 * curves.chance
    axes.axhline(y, color=COLOURS["muted"], linewidth=1.1, linestyle=(0, (1, 2.5)), zorder=1)
    return Label(f"chance {percent(curves.chance)}", axes.get_xlim()[1], y, COLOURS["muted"])


def _points(curves: Curves, cells: Sequence[Cell | None]) -> list[tuple[float, Cell]]:
    pairs = zip(curves.places, cells, strict=True)
    return [(place, cell) for place, cell in pairs if cell is not None]
