"""The picture of how far scores hang on the template: a box a task, a dot a template, and its table.

A box goes from the lower to the upper quartile, the line in it is the median, the whiskers end at the worst
and at the best template; a tick stands at chance. This module knows no files and no page.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ramekin.report.drawing import COLOURS, Draw, inline_picture, png_picture, svg_picture
from ramekin.report.values import Box, BoxPlot, BoxPoint, Report, TextTable
from ramekin.report.wording import clean, count_text, percent, slug
from ramekin.text.score import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "box_plot",
    "box_plot_inline",
    "box_plot_names",
    "box_plot_png",
    "box_plot_svg",
    "box_table",
    "drawn_boxes",
]

_WIDE, _NARROW = 9.0, 4.5  # inches
_ROW: Final = 0.36  # inches
_ABOVE, _TITLE, _BELOW, _LINE = 0.12, 0.4, 0.72, 0.17  # inches
_LETTER: Final = 0.078  # inches, of a label
_LONGEST: Final = 30
_DOT: Final = 4.4  # points
_HALF: Final = 0.27  # of a row, from its middle to the edge of the box
_TICK: Final = 0.4  # of a row, from its middle to the end of the tick at chance
_KEY: Final = (
    "Box: lower quartile, median, upper quartile. Whiskers: worst and best template. Dot: a template."
)
_CHANCE_KEY: Final = " Dotted tick: chance."
_COLUMNS: Final = (
    *("Task", "templates", "chance", "worst", "25 %", "median", "75 %", "best"),
    *("worst template", "best template"),
)


def box_plot(title: str, scores: Mapping[str, Mapping[str, Score]], *, caption: str = "") -> BoxPlot:
    """The box plot of scores by task and template.

    The chance level of a task is that of its templates if they agree; templates with other options may not.

    >>> scores = {"first": Score("accuracy", 0.6, 10, 0.3, 0.8, 0.5, 0.15)}
    >>> box_plot("Templates", {"glue/rte": scores}).boxes[0].chance
    0.5
    """
    boxes = []
    for task, found in scores.items():
        if found:
            chances = {score.chance for score in found.values()}
            points = tuple(BoxPoint(name, score.value) for name, score in found.items())
            boxes.append(Box(task, points, chances.pop() if len(chances) == 1 else None))
    return BoxPlot(title, tuple(boxes), caption)


def drawn_boxes(plot: BoxPlot) -> tuple[Box, ...]:
    """The boxes that are drawn: those of two templates or more; the table has all."""
    return tuple(box for box in plot.boxes if len(box.points) > 1)


def box_table(plot: BoxPlot) -> TextTable:
    """The numbers of a box plot, times a hundred: a row a task, the worst and the best template named.

    >>> box = Box("rte", (BoxPoint("a", 0.5), BoxPoint("b", 0.6)))
    >>> box_table(BoxPlot("T", (box,))).rows
    (('rte', '2', '', '50.0', '52.5', '55.0', '57.5', '60.0', 'a', 'b'),)
    """
    rows = tuple(
        (
            box.label,
            count_text(len(box.points)),
            "" if box.chance is None else percent(box.chance),
            *(percent(value) for value in (box.worst.value, *box.quartiles, box.best.value)),
            box.worst.name,
            box.best.name,
        )
        for box in plot.boxes
    )
    return TextTable(plot.title, _COLUMNS, rows, caption=plot.caption)


def box_plot_names(report: Report) -> tuple[str, ...]:
    """The file name, without ending, of each picture; titles may repeat, names do not."""
    return tuple(f"templates-{i}-{slug(clean(each.title))}" for i, each in enumerate(report.box_plots, 1))


def box_plot_svg(plot: BoxPlot) -> bytes:
    """The picture as an SVG file on paper-coloured ground, under its title."""
    return svg_picture(_drawing(plot, titled=True), (_WIDE, _height(plot, titled=True)))


def box_plot_png(plot: BoxPlot) -> bytes:
    """The picture as a PNG, 200 dots an inch, under its title."""
    return png_picture(_drawing(plot, titled=True), (_WIDE, _height(plot, titled=True)))


def box_plot_inline(plot: BoxPlot, *, prefix: str, narrow: bool = False) -> str:
    """The picture as an `<svg>` element for a page, which gives it its title.

    Args:
        plot: what to draw.
        prefix: put before every identifier, so that several pictures can share a page.
        narrow: drawn for a phone, at half the width.
    """
    label = f"{clean(plot.title)}: box plot; the table below holds its numbers"
    size = (_NARROW if narrow else _WIDE, _height(plot, narrow=narrow))
    return inline_picture(_drawing(plot, narrow=narrow), size, prefix=prefix, label=label)


def _key(plot: BoxPlot, *, narrow: bool) -> list[str]:
    has_chance = any(box.chance is not None for box in drawn_boxes(plot))
    return textwrap.wrap(_KEY + _CHANCE_KEY * has_chance, 62 if narrow else 130)


def _height(plot: BoxPlot, *, narrow: bool = False, titled: bool = False) -> float:
    rows = max(1, len(drawn_boxes(plot)))
    return _ABOVE + _TITLE * titled + _ROW * rows + _BELOW + _LINE * len(_key(plot, narrow=narrow))


def _drawing(plot: BoxPlot, *, narrow: bool = False, titled: bool = False) -> Draw:
    return lambda figure: _draw(figure, plot, narrow=narrow, titled=titled)


def _draw(figure: "Figure", plot: BoxPlot, *, narrow: bool, titled: bool) -> None:
    width, height = _NARROW if narrow else _WIDE, _height(plot, narrow=narrow, titled=titled)
    boxes = drawn_boxes(plot)
    labels = [_label(box.label, 16 if narrow else _LONGEST) for box in boxes]
    left = 0.24 + _LETTER * max(map(len, labels), default=0)
    key = _key(plot, narrow=narrow)
    bottom, down = _BELOW + _LINE * len(key), _ROW * max(1, len(boxes))
    across = width - left - 0.2
    axes = figure.add_axes((left / width, bottom / height, across / width, down / height))
    _frame(axes, boxes, labels)
    low, high = axes.get_xlim()
    for row, box in enumerate(boxes):
        _box(axes, box, row, dot=_DOT / 72 * (high - low) / across)
    figure.text(
        0.12 / width,
        (0.1 + _LINE * len(key)) / height,
        "\n".join(key),
        color=COLOURS["muted"],
        fontsize=8.5,
        va="top",
        linespacing=1.35,
    )
    if titled:
        title = clean(plot.title)
        ink = COLOURS["ink"]
        figure.text(
            0.12 / width, 1 - 0.22 / height, title, color=ink, fontweight="bold", fontsize=11, va="center"
        )


def _label(text: str, longest: int) -> str:
    shown = clean(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _frame(axes: "Axes", boxes: Sequence[Box], labels: Sequence[str]) -> None:
    """A row a task from above, light vertical rules, per cent below."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    muted = COLOURS["muted"]
    axes.set_facecolor("none")
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(muted)
    axes.grid(axis="x", color=COLOURS["rule"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(max(1, len(boxes)) - 0.5, -0.5)
    axes.set_yticks(range(len(boxes)), labels, color=COLOURS["ink"])
    axes.set_xlim(*_limits(boxes))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", "−")))
    axes.tick_params(axis="y", length=0, pad=8)
    axes.tick_params(axis="x", colors=muted, length=3)
    axes.set_xlabel("score × 100", color=muted, labelpad=4)


def _limits(boxes: Sequence[Box]) -> tuple[float, float]:
    numbers = [100 * point.value for box in boxes for point in box.points]
    numbers += [100 * box.chance for box in boxes if box.chance is not None]
    low, high = min(numbers, default=0.0), max(numbers, default=100.0)
    pad = max(1.5, 0.04 * (high - low))
    return low - pad, high + pad


def _box(axes: "Axes", box: Box, row: int, *, dot: float) -> None:
    """One row; `dot` is the width of a dot on the x axis."""
    from matplotlib.patches import Rectangle

    colour = COLOURS["series-1"]
    first, middle, last = (100 * value for value in box.quartiles)
    worst, best = 100 * box.worst.value, 100 * box.best.value
    for start, end in ((worst, first), (last, best)):
        axes.plot([start, end], [row, row], color=colour, linewidth=1.2, solid_capstyle="butt", zorder=2)
    for end in (worst, best):
        axes.plot([end, end], [row - 0.13, row + 0.13], color=colour, linewidth=1.2, zorder=2)
    corner, wide = (first, row - _HALF), last - first
    axes.add_patch(Rectangle(corner, wide, 2 * _HALF, facecolor=colour, alpha=0.16, linewidth=0, zorder=2))
    axes.add_patch(
        Rectangle(corner, wide, 2 * _HALF, fill=False, edgecolor=colour, linewidth=1.2, zorder=2.5)
    )
    values = [100 * point.value for point in box.points]
    tall = _DOT / 72 / _ROW
    places = _swarm(values, dot)
    axes.plot(
        values,
        [row + tall * place for place in places],
        "o",
        color=colour,
        markersize=_DOT,
        markeredgewidth=0,
        alpha=0.75,
        zorder=4,
        gid=f"dots-{row}",
    )
    ink, heights = COLOURS["ink"], [row - _HALF, row + _HALF]
    axes.plot([middle, middle], heights, color=ink, linewidth=2, solid_capstyle="butt", zorder=5)
    if box.chance is not None:
        ends, x = [row - _TICK, row + _TICK], 100 * box.chance
        axes.plot(
            [x, x],
            ends,
            color=COLOURS["muted"],
            linewidth=1.6,
            linestyle=(0, (1, 1.2)),
            zorder=3,
            gid=f"chance-{row}",
        )


def _swarm(values: Sequence[float], width: float) -> list[int]:
    """For each value a place 0, ±1 or ±2 above or below the line, so that dots of `width` do not hide each
    other as far as that goes.

    >>> _swarm([0.0, 0.1, 5.0, 0.2], 1.0)
    [0, 1, 0, -1]
    """
    places = [0] * len(values)
    ends: dict[int, float] = {}
    for i in sorted(range(len(values)), key=lambda i: values[i]):
        free = (place for place in (0, 1, -1, 2, -2) if ends.get(place, -1e9) <= values[i])
        places[i] = next(free, 0)
        ends[places[i]] = values[i] + width
    return places
