"""The plot of a sweep: every task a thin line with its name at its end, the average thick with its interval.

This module knows no files and no page; `inline_svg` only promises that its colours are CSS variables.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ramekin.report.drawing import (
    COLOURS,
    NUM_SERIES_COLOURS,
    Draw,
    Label,
    inline_picture,
    plain_frame,
    png_picture,
    series_colour,
    svg_picture,
    write_labels,
)
from ramekin.report.values import Cell, Report, Series, Sweep
from ramekin.report.wording import clean, factor_labels, percent, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["drawable", "inline_svg", "plot_names", "sweep_png", "sweep_svg"]

_WIDE: Final = (9.0, 4.7)
_NARROW: Final = (4.5, 4.7)


def drawable(sweep: Sweep) -> bool:
    """Whether there is a point to draw."""
    return bool(_numbers(sweep))


def plot_names(report: Report) -> tuple[str, ...]:
    """The file name, without ending, of each sweep's plot; titles may repeat, names do not."""
    return tuple(f"{i}-{slug(clean(sweep.title))}" for i, sweep in enumerate(report.sweeps, 1))


def sweep_svg(sweep: Sweep) -> bytes:
    """The plot as an SVG file on paper-coloured ground."""
    return svg_picture(_drawing(sweep), _WIDE)


def sweep_png(sweep: Sweep) -> bytes:
    """The plot as a PNG, 200 dots an inch."""
    return png_picture(_drawing(sweep), _WIDE)


def inline_svg(sweep: Sweep, *, prefix: str, narrow: bool = False) -> str:
    """The plot as an `<svg>` element for a page: colours as `var(--plot-ROLE)`, identifiers prefixed.

    Args:
        sweep: what to draw.
        prefix: put before every identifier, so that several plots can share a page.
        narrow: drawn for a phone, at half the width and as high.
    """
    label = f"{clean(sweep.title)}: line plot; the table below holds its numbers"
    size = _NARROW if narrow else _WIDE
    return inline_picture(_drawing(sweep, narrow=narrow), size, prefix=prefix, label=label)


def _drawing(sweep: Sweep, *, narrow: bool = False) -> Draw:
    return lambda figure: _draw(figure, sweep, narrow=narrow)


def _draw(figure: "Figure", sweep: Sweep, *, narrow: bool) -> None:
    axes = figure.add_axes((0.085, 0.125, 0.525, 0.8) if narrow else (0.06, 0.125, 0.715, 0.8))
    low, high = _frame(axes, sweep, ticks=6 if narrow else 12)
    labels = [_line(axes, sweep, one, i) for i, one in enumerate(sweep.series)]
    labels += _references(axes, sweep)
    if sweep.average is not None:
        labels.append(_average(axes, sweep, sweep.average))
    write_labels(axes, [label for label in labels if label is not None], low, high)


def _frame(axes: "Axes", sweep: Sweep, *, ticks: int) -> tuple[float, float]:
    """Axes without a box: light horizontal rules, the factors below, per cent at the left."""
    numbers = _numbers(sweep) or [0.0, 1.0]
    low, high = 100 * min(numbers), 100 * max(numbers)
    pad = max(2.0, 0.06 * (high - low))
    low, high = max(low - pad, min(low, -2.0)) if low >= 0 else low - pad, high + pad
    axes.set_ylim(low, high)
    factors = sweep.factors or (0.0, 1.0)
    room = 0.02 * (factors[-1] - factors[0]) or 0.5
    axes.set_xlim(factors[0] - room, factors[-1] + room)
    plain_frame(axes)
    every = -(-len(factors) // ticks)
    axes.set_xticks(factors[::every], factor_labels(factors)[::every])
    axes.set_xlabel(clean(sweep.x_label), color=COLOURS["muted"], labelpad=6)
    axes.text(
        -0.055, 1.035, "score × 100", transform=axes.transAxes, color=COLOURS["muted"], ha="left", fontsize=9
    )
    return low, high


def _line(axes: "Axes", sweep: Sweep, series: Series, position: int) -> Label | None:
    points = _points(sweep, series.cells)
    if not points:
        return None
    colour = series_colour(position)
    dashes = "-" if position < NUM_SERIES_COLOURS else (0, (4, 2))
    x, y = zip(*points, strict=True)
    axes.plot(x, y, color=colour, linewidth=1.3, linestyle=dashes, marker="o", markersize=2.8, zorder=3)
    return Label(clean(series.label), x[-1], y[-1], colour)


def _average(axes: "Axes", sweep: Sweep, series: Series) -> Label | None:
    points = _points(sweep, series.cells)
    if not points:
        return None
    ink = COLOURS["ink"]
    x, y = zip(*points, strict=True)
    band = [
        (factor, 100 * cell.low, 100 * cell.high)
        for factor, cell in zip(sweep.factors, series.cells, strict=True)
        if cell is not None and cell.low is not None and cell.high is not None
    ]
    if band:
        where, below, above = zip(*band, strict=True)
        axes.fill_between(where, below, above, color=ink, alpha=0.14, linewidth=0, zorder=2)
    axes.plot(x, y, color=ink, linewidth=3, marker="o", markersize=4.5, zorder=5, solid_capstyle="round")
    _best(axes, sweep, points)
    return Label(clean(series.label), x[-1], y[-1], ink, "bold")


def _best(axes: "Axes", sweep: Sweep, points: Sequence[tuple[float, float]]) -> None:
    """Ring the best average and say where it is, above the plot, where no line can cross it."""
    if len(points) < 2:
        return
    x, y = max(points, key=lambda point: point[1])
    ink = COLOURS["ink"]
    axes.plot([x], [y], "o", markersize=9, markerfacecolor=COLOURS["paper"], color=ink, mew=2.4, zorder=6)
    label = factor_labels(sweep.factors)[sweep.factors.index(x)]
    axes.axvline(x, color=ink, linewidth=0.8, linestyle=(0, (1, 2.5)), zorder=1)
    right = x < (sweep.factors[0] + sweep.factors[-1]) / 2
    axes.annotate(
        f"best average {percent(y / 100)} at {label}",
        (x, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if right else 3, 5),
        textcoords="offset points",
        ha="left" if right else "right",
        color=ink,
        fontsize=9,
        zorder=7,
    )


def _references(axes: "Axes", sweep: Sweep) -> list[Label | None]:
    labels: list[Label | None] = []
    for reference in sweep.references:
        if reference.average is None:
            continue
        y = 100 * reference.average.value
        axes.axhline(y, color=COLOURS["muted"], linewidth=1.1, linestyle=(0, (5, 3)), zorder=2)
        text = f"{clean(reference.label)} {percent(reference.average.value)}"
        labels.append(Label(text, axes.get_xlim()[1], y, COLOURS["muted"]))
    return labels


def _points(sweep: Sweep, cells: Sequence[Cell | None]) -> list[tuple[float, float]]:
    return [
        (factor, 100 * cell.value)
        for factor, cell in zip(sweep.factors, cells, strict=True)
        if cell is not None
    ]


def _numbers(sweep: Sweep) -> list[float]:
    """All fractions that are drawn, empty when no series has a point."""
    lines = (*sweep.series, *((sweep.average,) if sweep.average else ()))
    values = [cell.value for line in lines for cell in line.cells if cell is not None]
    if not values:
        return []
    return values + [r.average.value for r in sweep.references if r.average is not None]
