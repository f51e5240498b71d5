"""The picture of numbers in rows and columns: a colour each, the number in it where there is room.

A scale that begins below zero has a colour for each sign and paper in between; others go from light to dark.
The colours stay as they are in a page of either theme, with ink to match on each. This module knows no files
and no page.
"""

from typing import TYPE_CHECKING, Final

from ramekin.report.drawing import COLOURS, Draw, inline_picture, png_picture, svg_picture
from ramekin.report.values import HeatMap, Report, TextTable
from ramekin.report.wording import clean, count_text, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "cell_colour",
    "count_table",
    "heat_map_inline",
    "heat_map_names",
    "heat_map_png",
    "heat_map_size",
    "heat_map_svg",
]

_RISING: Final = ((0xF8, 0xF1, 0xE7), (0xE9, 0xA9, 0x63), (0x8C, 0x3A, 0x08))
_DIVERGING: Final = ((0x2B, 0x5A, 0x9C), (0xF8, 0xF1, 0xE7), (0xA8, 0x45, 0x0C))
_DARK, _LIGHT = "#1c1713", "#fffdf9"
_NOTHING: Final = "#cfc8bf"
_LUMINANCE: Final = (0.2126, 0.7152, 0.0722)
_EITHER: Final = 0.19  # the luminance on which both inks are read equally well
_WRITTEN: Final = 10  # columns of numbers that have room in their cells
_BROAD, _THIN, _ROW, _TALL, _SQUARE = 0.66, 0.3, 0.26, 0.46, 0.62  # inches
_LETTER: Final = 0.076  # inches, of a label
_SCALE: Final = 0.95  # inches, of the scale at the right with its numbers
_LONGEST: Final = 30


def count_table(heat_map: HeatMap) -> TextTable | None:
    """The table of a heat map of shares: counts, the share beside each where there is room, and their sums.

    >>> shares = HeatMap("T", ("a",), ("a", "b"), ((0.75, 0.25),), as_percent=True, counts=((3, 1),))
    >>> count_table(shares).columns, count_table(shares).rows
    (('', 'n', 'a', 'b'), (('a', '4', '3 (75.0)', '1 (25.0)'),))
    """
    if not heat_map.counts:
        return None
    has_room = len(heat_map.columns) <= _WRITTEN
    rows = []
    for label, counts, shares in zip(heat_map.rows, heat_map.counts, heat_map.values, strict=True):
        texts = [
            f"{count_text(count)} ({_number(heat_map, share)})"
            if has_room and share is not None
            else count_text(count)
            for count, share in zip(counts, shares, strict=True)
        ]
        rows.append((label, count_text(sum(counts)), *texts))
    header = (heat_map.stub, "n", *heat_map.columns)
    return TextTable(heat_map.title, header, tuple(rows), caption=heat_map.caption)


def heat_map_names(report: Report) -> tuple[str, ...]:
    """The file name, without ending, of each picture; titles may repeat, names do not."""
    return tuple(f"heat-map-{i}-{slug(clean(each.title))}" for i, each in enumerate(report.heat_maps, 1))


def heat_map_svg(heat_map: HeatMap) -> bytes:
    """The picture as an SVG file on paper-coloured ground, under its title."""
    return svg_picture(_drawing(heat_map, titled=True), _size(heat_map, titled=True))


def heat_map_png(heat_map: HeatMap) -> bytes:
    """The picture as a PNG, 200 dots an inch, under its title."""
    return png_picture(_drawing(heat_map, titled=True), _size(heat_map, titled=True))


def heat_map_inline(heat_map: HeatMap, *, prefix: str) -> str:
    """The picture as an `<svg>` element for a page, which gives it its title.

    Args:
        heat_map: what to draw.
        prefix: put before every identifier, so that several pictures can share a page.
    """
    place = "the table below" if heat_map.counts else "report.json"
    is_written = len(heat_map.columns) <= _WRITTEN and not heat_map.counts
    label = f"{clean(heat_map.title)}: heat map" + ("" if is_written else f"; {place} holds its numbers")
    return inline_picture(
        _drawing(heat_map, titled=False), heat_map_size(heat_map), prefix=prefix, label=label
    )


def heat_map_size(heat_map: HeatMap) -> tuple[float, float]:
    """The size of the picture in inches, without a title."""
    return _size(heat_map, titled=False)


def cell_colour(heat_map: HeatMap, value: float | None) -> tuple[str, str]:
    """The colour of a number, and that of what is written on it.

    >>> scale = HeatMap("t", (), (), (), low=-1.0, high=1.0)
    >>> cell_colour(scale, 0.0)[0], cell_colour(scale, 1.0), cell_colour(scale, None)[0]
    ('#f8f1e7', ('#a8450c', '#fffdf9'), '#cfc8bf')
    """
    if value is None:
        return _NOTHING, _DARK
    stops = _DIVERGING if heat_map.low < 0 else _RISING
    place = 2 * min(1.0, max(0.0, (value - heat_map.low) / (heat_map.high - heat_map.low)))
    first, second = stops[int(place) : int(place) + 2] if place < 2 else stops[1:]
    along = place - int(place) if place < 2 else 1.0
    mixed = [round(a + (b - a) * along) for a, b in zip(first, second, strict=True)]
    luminance = sum(share * (part / 255) ** 2.2 for share, part in zip(_LUMINANCE, mixed, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed), _DARK if luminance > _EITHER else _LIGHT


def _drawing(heat_map: HeatMap, *, titled: bool) -> Draw:
    return lambda figure: _draw(figure, heat_map, titled=titled)


def _label(text: str) -> str:
    shown = clean(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _cell_size(heat_map: HeatMap) -> tuple[float, float]:
    """Inches a column and a row: squares of a matrix, broad cells for numbers, thin ones for many.

    Tall ones hold two numbers.
    """
    if heat_map.counts:
        return (_BROAD, _TALL) if len(heat_map.columns) <= _WRITTEN else (_THIN, _ROW)
    if heat_map.rows == heat_map.columns and len(heat_map.rows) <= _WRITTEN:
        return _SQUARE, _SQUARE
    return (_BROAD if len(heat_map.columns) <= _WRITTEN else _THIN), _ROW


def _margins(heat_map: HeatMap, *, titled: bool) -> tuple[float, float]:
    """Inches left of the cells and above them."""
    left = 0.2 + _LETTER * max(len(_label(text)) for text in (heat_map.stub, *heat_map.rows))
    longest = max((len(_label(text)) for text in heat_map.columns), default=0)
    above = 0.2 + _LETTER * longest if _is_turned(heat_map) else 0.35
    return left, above + (0.4 if titled else 0.0)


def _is_turned(heat_map: HeatMap) -> bool:
    """Whether the labels of columns are too long to be written level."""
    longest = max((len(_label(text)) for text in heat_map.columns), default=0)
    return longest * _LETTER > _cell_size(heat_map)[0]


def _size(heat_map: HeatMap, *, titled: bool) -> tuple[float, float]:
    left, above = _margins(heat_map, titled=titled)
    width, height = _cell_size(heat_map)
    title = 0.09 * len(clean(heat_map.title)) + 0.3 if titled else 0.0
    return (
        max(title, left + width * max(1, len(heat_map.columns)) + _SCALE),
        above + max(1.2, height * len(heat_map.rows)) + 0.15,
    )


def _draw(figure: "Figure", heat_map: HeatMap, *, titled: bool) -> None:
    from matplotlib.patches import Rectangle

    (width, height), (left, above) = _size(heat_map, titled=titled), _margins(heat_map, titled=titled)
    cell, row_height = _cell_size(heat_map)
    across, down = cell * max(1, len(heat_map.columns)), max(row_height * len(heat_map.rows), 0.01)
    axes = figure.add_axes((left / width, (height - above - down) / height, across / width, down / height))
    axes.set_xlim(0, max(1, len(heat_map.columns)))
    axes.set_ylim(max(1, len(heat_map.rows)), 0)
    writes = len(heat_map.columns) <= _WRITTEN
    for y, row in enumerate(heat_map.values):
        for x, value in enumerate(row):
            colour, ink = cell_colour(heat_map, value)
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor=_LIGHT, linewidth=0.6))
            if writes:
                text = "–" if value is None else _number(heat_map, value)
                if heat_map.counts:
                    _two_numbers(axes, x, y, count_text(heat_map.counts[y][x]), text, ink)
                else:
                    axes.text(x + 0.5, y + 0.5, text, color=ink, ha="center", va="center", fontsize=8)
    _labels(axes, heat_map)
    _scale(figure, heat_map, (left + across + 0.2) / width, (height - above - 1.1) / height)
    if titled:
        title = clean(heat_map.title)
        figure.text(
            0.12 / width,
            1 - 0.2 / height,
            title,
            color=COLOURS["ink"],
            fontweight="bold",
            fontsize=11,
            va="center",
        )


def _two_numbers(axes: "Axes", x: int, y: int, first: str, second: str, ink: str) -> None:
    axes.text(x + 0.5, y + 0.35, first, color=ink, ha="center", va="center", fontsize=9.5)
    axes.text(x + 0.5, y + 0.73, second, color=ink, ha="center", va="center", fontsize=7.5)


def _labels(axes: "Axes", heat_map: HeatMap) -> None:
    for side in axes.spines.values():
        side.set_visible(False)
    turned = _is_turned(heat_map)
    ink = COLOURS["ink"]
    axes.xaxis.tick_top()
    axes.set_xticks(
        [x + 0.5 for x in range(len(heat_map.columns))],
        [_label(text) for text in heat_map.columns],
        rotation=90 if turned else 0,
        fontsize=8.5,
        color=ink,
    )
    axes.set_yticks(
        [y + 0.5 for y in range(len(heat_map.rows))],
        [_label(text) for text in heat_map.rows],
        fontsize=8.5,
        color=ink,
    )
    axes.tick_params(length=0, pad=4)
    stub, muted = _label(heat_map.stub), COLOURS["muted"]
    axes.annotate(
        stub, (0, 0), (-4, 6), textcoords="offset points", ha="right", va="bottom", fontsize=8.5, color=muted
    )


def _scale(figure: "Figure", heat_map: HeatMap, left: float, bottom: float) -> None:
    """A small bar of the colours, with what its ends and its middle stand for."""
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches()
    axes = figure.add_axes((left, bottom, 0.14 / width, 1.1 / height))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(heat_map.low, heat_map.high)
    steps = 44
    step = (heat_map.high - heat_map.low) / steps
    for place in range(steps):
        low = heat_map.low + place * step
        colour = cell_colour(heat_map, low + step / 2)[0]
        # An edge of the same colour, lest the paper be seen between neighbours.
        axes.add_patch(Rectangle((0, low), 1, step, facecolor=colour, edgecolor=colour, linewidth=0.5))
    for value in (heat_map.low, (heat_map.low + heat_map.high) / 2, heat_map.high):
        axes.text(
            1.5, value, _number(heat_map, value), color=COLOURS["muted"], fontsize=8, va="center", ha="left"
        )


def _number(heat_map: HeatMap, value: float) -> str:
    """Two decimals, or per cent with as many as keep three digits."""
    if not heat_map.as_percent:
        text = f"{value:.2f}"
        return {"-0.00": "0.00"}.get(text, text).replace("-", "−")
    times_hundred = 100 * value
    return (
        f"{times_hundred:.{0 if abs(times_hundred) >= 99.95 else 1 if abs(times_hundred) >= 9.995 else 2}f}"
    )
