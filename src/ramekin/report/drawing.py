"""How pictures are drawn: colours, fonts, names at the ends of lines, and figures as SVG, PNG or for a page.

Drawn by matplotlib without its global state, as SVG and PNG whose bytes depend on the values alone: no
date, no version, no random identifiers, the font that matplotlib ships. Names are never read as
mathematics. This module knows no files and nothing of what is drawn.
"""

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "NUM_SERIES_COLOURS",
    "Draw",
    "Label",
    "inline_picture",
    "plain_frame",
    "png_picture",
    "series_colour",
    "spread",
    "svg_picture",
    "write_labels",
]

Draw: TypeAlias = Callable[["Figure"], None]
"""Draws on a figure that is empty."""

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "ink": "#211c17",
        "muted": "#70675e",
        "rule": "#e4ddd4",
        "paper": "#fffefc",
        "series-1": "#3d6fb3",
        "series-2": "#c4611f",
        "series-3": "#1f8a70",
        "series-4": "#a8477f",
        "series-5": "#8a7a12",
        "series-6": "#5b4a9e",
        "series-7": "#b03a3a",
        "series-8": "#3a8fb0",
    }
)
"""The role of each colour on paper; a page sets `--plot-ROLE` to change it.

Eight hues of like darkness that stay apart for the common kinds of colour blindness together with the
direct labels; from the ninth series on they return with dashes.
"""

NUM_SERIES_COLOURS: Final = sum(name.startswith("series-") for name in COLOURS)
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ramekin",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "path.simplify": False,
}
_FONTS = "system-ui, &quot;Segoe UI&quot;, Roboto, Helvetica, Arial, &quot;DejaVu Sans&quot;, sans-serif"


@final
@dataclass(frozen=True, slots=True)
class Label:
    """A name beside the plot: where its line ends and how it is written."""

    text: str
    x: float
    y: float
    colour: str
    weight: Literal["normal", "bold"] = "normal"


def series_colour(position: int) -> str:
    """The colour of a series; from the ninth on they return."""
    return COLOURS[f"series-{position % NUM_SERIES_COLOURS + 1}"]


def svg_picture(draw: Draw, size: tuple[float, float]) -> bytes:
    """A picture of `size` inches as an SVG file on paper-coloured ground."""
    text = _element(_render(draw, size, "svg"))
    return ('<?xml version="1.0" encoding="utf-8"?>\n' + text).encode("utf-8")


def png_picture(draw: Draw, size: tuple[float, float]) -> bytes:
    """A picture of `size` inches as a PNG, 200 dots an inch."""
    return _render(draw, size, "png")


def inline_picture(draw: Draw, size: tuple[float, float], *, prefix: str, label: str) -> str:
    """A picture as an `<svg>` element for a page: colours as `var(--plot-ROLE)`, identifiers prefixed.

    Args:
        draw: what draws it.
        size: in inches.
        prefix: put before every identifier, so that several pictures can share a page.
        label: what it is, for who cannot see it.
    """
    opening, rest = _element(_render(draw, size, "svg")).split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    label = escape(label, quote=True)
    # matplotlib's own style sheet begins with `*`: inside a page it would restyle everything.
    rest = re.sub(r"<style.*?</style>", "", rest, flags=re.DOTALL)
    rest = re.sub(r"<[^>]*>", lambda tag: _themed(tag.group(), prefix), rest)
    return f'<svg class="plot" {box.group() if box else ""} role="img" aria-label="{label}">{rest}'.strip()


def _themed(tag: str, prefix: str) -> str:
    """One tag with prefixed identifiers and themed colours; the text between tags is not touched."""
    tag = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{prefix}-", tag).replace("xlink:href", "href")
    for role, colour in COLOURS.items():
        tag = tag.replace(colour, f"var(--plot-{role})")
    return tag


def spread(positions: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Positions moved as little as can be so that neighbours are `gap` apart and all lie in [low, high].

    Least squares under the order constraint, by pooling adjacent violators. Where they cannot all fit, the
    gap shrinks. Equal positions keep their given order.

    >>> spread([0.0, 0.0, 5.0], gap=2.0, low=-10.0, high=10.0)
    [-1.0, 1.0, 5.0]
    """
    if not positions:
        return []
    count = len(positions)
    gap = min(gap, (high - low) / max(1, count - 1))
    order = sorted(range(count), key=lambda i: positions[i])
    blocks: list[list[float]] = []  # [mean, size] of q_i = y_i - i * gap, to be made non-decreasing
    for rank, i in enumerate(order):
        blocks.append([positions[i] - rank * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, size = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * size) / (before[1] + size)
            before[1] += size
    levels = [mean for mean, size in blocks for _ in range(int(size))]
    top = high - (count - 1) * gap
    placed = [min(max(level, low), top) + rank * gap for rank, level in enumerate(levels)]
    return [placed[order.index(i)] for i in range(count)]


def _element(svg: bytes) -> str:
    """The `<svg>` element alone, without matplotlib's prologue, set in the reader's own sans serif."""
    text = svg.decode("utf-8")
    return text[text.index("<svg") :].replace("'DejaVu Sans'", _FONTS)


def _render(draw: Draw, size: tuple[float, float], kind: Literal["svg", "png"]) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        # A glyph the font lacks is drawn as a box in the PNG; the SVG keeps the text itself.
        warnings.filterwarnings("ignore", message="Glyph")
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=size, facecolor=COLOURS["paper"])
        draw(figure)
        if kind == "svg":
            nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
            figure.savefig(file, format="svg", metadata=nothing, facecolor=COLOURS["paper"])
        else:
            figure.savefig(file, format="png", dpi=200, metadata={"Software": None})
    return file.getvalue()


def plain_frame(axes: "Axes") -> None:
    """Axes without a box: light horizontal rules, a line below, numbers with a true minus at the left."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_facecolor("none")
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["muted"])
    axes.grid(axis="y", color=COLOURS["rule"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=COLOURS["muted"], length=0, pad=6)
    axes.tick_params(axis="x", length=3)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))


def write_labels(axes: "Axes", labels: Sequence[Label], low: float, high: float) -> None:
    """Write each name at the right, level with the end of its line as far as there is room."""
    right = axes.get_xlim()[1]
    width = right - axes.get_xlim()[0]
    places = spread([label.y for label in labels], gap=0.052 * (high - low), low=low, high=high)
    for label, place in zip(labels, places, strict=True):
        path_x = [label.x, max(right, label.x) + 0.008 * width, right + 0.03 * width]
        axes.plot(
            path_x[1:] if label.x >= right else path_x,
            [label.y, place] if label.x >= right else [label.y, label.y, place],
            color=label.colour,
            linewidth=0.7,
            alpha=0.6,
            clip_on=False,
            zorder=1,
        )
        axes.text(
            right + 0.036 * width,
            place,
            _shorten(label.text),
            color=label.colour,
            va="center_baseline",
            fontweight=label.weight,
        )


def _shorten(text: str, limit: int = 24) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
