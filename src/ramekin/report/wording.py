"""How numbers and names are written: per cent with one decimal, intervals, seconds, counts, clean text.

One place, so that the terminal, the Markdown and the page say the same. It knows no table and no format.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, TypeAlias

from ramekin.report.values import Cell, RunFacts
from ramekin.text.score import LOWER_IS_BETTER

__all__ = [
    "Standing",
    "alerts",
    "clean",
    "count_text",
    "duration",
    "factor_labels",
    "figure",
    "interval_text",
    "metric_text",
    "percent",
    "plus_minus",
    "short_hash",
    "slug",
    "standing",
    "superscript",
]

Standing: TypeAlias = Literal["above", "near", "below", "unknown"]
"""Where a score's interval lies against chance; "near" when it includes it."""

_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    r"""One line that is safe to show: no control characters, no bidirectional overrides, no lone surrogates.

    A name with an escape sequence in it would otherwise repaint the terminal, and a NUL would make the SVG
    unreadable. White space of any kind becomes one space.

    >>> clean("a\x1b[31m b\n c") == "a\ufffd[31m b c"
    True
    """
    spaced = re.sub(r"\s+", " ", text)
    return "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Cn", "Co") or c in _BIDI else c for c in spaced
    ).strip()


def percent(fraction: float) -> str:
    """A fraction times a hundred with one decimal and a true minus sign.

    >>> percent(0.8341), percent(-0.021), percent(-0.0001)
    ('83.4', '−2.1', '0.0')
    """
    text = f"{100 * fraction:.1f}"
    return {"-0.0": "0.0"}.get(text, text).replace("-", "−")


def figure(value: float, metric: str = "") -> str:
    """A score as it is shown: a fraction times a hundred, a perplexity as it is.

    >>> figure(0.8341), figure(12.346, "perplexity"), figure(32128.0, "perplexity")
    ('83.4', '12.35', '32,128')
    """
    if metric not in LOWER_IS_BETTER:
        return percent(value)
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def plus_minus(cell: Cell) -> str:
    """The interval as its larger side, `±2.1`; empty when there is none.

    Intervals of proportions are lopsided near 0 and 1; the larger side never claims too much.
    """
    if cell.low is None or cell.high is None:
        return ""
    return "±" + figure(max(cell.value - cell.low, cell.high - cell.value, 0.0), cell.metric)


def interval_text(cell: Cell) -> str:
    """Both ends of the interval, `80.1–86.2`, or `−3.0 to 4.1` when one is negative; empty when none.

    >>> interval_text(Cell(0.5, 0.4, 0.6)), interval_text(Cell(0.0, -0.03, 0.041))
    ('40.0–60.0', '−3.0 to 4.1')
    """
    if cell.low is None or cell.high is None:
        return ""
    low, high = figure(cell.low, cell.metric), figure(cell.high, cell.metric)
    return f"{low} to {high}" if "−" in low + high else f"{low}–{high}"


def standing(cell: Cell) -> Standing:
    """Whether the score is better than chance, worse, or not to be told from it."""
    if cell.chance is None or cell.low is None or cell.high is None:
        return "unknown"
    if cell.metric in LOWER_IS_BETTER:  # less of it is better than chance
        return "above" if cell.high < cell.chance else "below" if cell.low > cell.chance else "near"
    if cell.low > cell.chance:
        return "above"
    return "below" if cell.high < cell.chance else "near"


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> [duration(s) for s in (0.04, 9.96, 72.4, 3725)]
    ['0.04 s', '10.0 s', '1 min 12 s', '1 h 02 min']
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count_text(count: int) -> str:
    """A count with separated thousands: `247,577,856`."""
    return f"{count:,}"


def factor_labels(factors: Sequence[float], *, max_decimals: int = 4) -> tuple[str, ...]:
    """The factors with as many decimals as the one that needs most.

    >>> factor_labels([0.0, 0.25, 1.0])
    ('0.00', '0.25', '1.00')
    """
    decimals = next(
        (d for d in range(1, max_decimals) if all(abs(round(f, d) - f) < 1e-9 for f in factors)), max_decimals
    )
    return tuple(f"{factor:.{decimals}f}".replace("-", "−") for factor in factors)


def short_hash(sha256: str | None) -> str:
    """The first twelve digits; the whole is in report.json."""
    return clean(sha256 or "")[:12]


def slug(text: str, empty: str = "plot") -> str:
    """A file name or identifier made of a title: lower-case ASCII letters, digits and hyphens.

    `empty` stands for a title without any.

    >>> slug("Task arithmetic: λ from 0 to 1")
    'task-arithmetic-from-0-to-1'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:60].strip("-") or empty


def superscript(numbers: Sequence[int]) -> str:
    """Footnote numbers, raised: `¹⸴²`."""
    return "⸴".join(str(n).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) for n in numbers)


def metric_text(metric: str) -> str:
    """A metric's name for a reader: `spearman ρ` for `spearman_rho`."""
    return clean(metric).replace("_rho", " ρ").replace("_", " ")


def alerts(facts: RunFacts) -> list[str]:
    """What a reader must not miss: the warnings, and every counter that is not zero."""
    counted = [
        f"{clean(counter.name)}: {count_text(counter.count)}"
        + (f" of {count_text(counter.of)}" if counter.of is not None else "")
        for counter in facts.counters
        if counter.count
    ]
    return [*(clean(warning) for warning in facts.warnings), *counted]
