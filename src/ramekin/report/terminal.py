"""A report in the terminal: score tables that fit the width, losses, times, and what went uncounted nowhere.

From 100 columns on each score has its interval, beside it or below it; under that only the scores are
shown, and a table that is still too wide is cut into several. Where there is no terminal, nothing but plain
text is written, and marks replace the styles. It knows no files.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ramekin.report.box_plots import box_table
from ramekin.report.heat_maps import count_table
from ramekin.report.reliability import reliability_table
from ramekin.report.tables import ShownCell, ShownTable, loss_columns, show, sweep_table, validation_rows
from ramekin.report.values import LossTable, Report, ScoreTable, TextTable, Timing, ValidationTable
from ramekin.report.wording import alerts, clean, duration, superscript

__all__ = ["print_table", "table_text", "to_terminal"]

_Layout: TypeAlias = Literal["beside", "below", "compact"]
_GAPS: Mapping[str, int] = MappingProxyType({"beside": 2, "below": 2, "compact": 1})
"""Columns of space between two columns; the box draws one of them."""
_LABEL_MIN = 14
_LABEL_MAX = 34
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII: Mapping[str, str] = MappingProxyType(
    {
        "±": "+-",
        "≈": "~",
        "↓": "<",
        "–": "-",
        "−": "-",
        "λ": "lambda",
        "ρ": "rho",
        "×": "x",
        "…": "...",
        "⸴": ",",
    }
    | {raised: f"^{i}" for i, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
    | {block: "" for block in _BLOCKS}
)


@final
@dataclass(frozen=True, slots=True)
class _Screen:
    """What the console can show."""

    width: int
    plain: bool
    """No bold and no grey: marks have to say it."""
    text: Callable[[str], str]
    """Replaces what the console's encoding lacks."""


def to_terminal(report: Report, console: Console) -> None:
    """Print the whole report on a rich console."""
    screen = _screen(console)
    console.print(Text(screen.text(clean(report.title)), style="bold"))
    for sentence in report.summary:
        console.print(Text(screen.text(clean(sentence))))
    for alert in alerts(report.facts):
        console.print(Text(screen.text(f"! {alert}"), style="yellow"))
    for table in (*report.tables, *(sweep_table(sweep) for sweep in report.sweeps)):
        print_table(table, console)
    for texts in _text_tables(report):
        _heading(console, screen, texts.title, texts.caption)
        _print_texts(texts, console, screen)
    for losses in report.losses:
        _heading(console, screen, losses.title, losses.caption)
        _print_losses(losses, console, screen)
    for validation in report.validations:
        _heading(console, screen, validation.title, validation.caption)
        _print_validation(validation, console)
    if report.timings:
        _heading(console, screen, "Time", "")
        _print_timings(report.timings, console, screen)
    if report.notes:
        console.print()
        for note in report.notes:
            console.print(Text(screen.text(clean(note)), style="dim"))


def _text_tables(report: Report) -> tuple[TextTable, ...]:
    """The tables of texts, those of pictures among them, in the order of the page."""
    return (
        *map(box_table, report.box_plots),
        *report.text_tables,
        *(table for heat_map in report.heat_maps if (table := count_table(heat_map)) is not None),
        *map(reliability_table, report.reliabilities),
    )


def table_text(table: ScoreTable, *, width: int = 100) -> str:
    """One score table as plain text of at most `width` columns."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=False, color_system=None, highlight=False)
    print_table(table, console)
    return "\n".join(line.rstrip() for line in file.getvalue().strip("\n").split("\n")) + "\n"


def print_table(table: ScoreTable, console: Console) -> None:
    """Print one score table in the fullest layout that fits the console's width."""
    screen = _screen(console)
    shown = show(table)
    _heading(console, screen, shown.title, shown.caption)
    layout = _layout(shown, screen)
    for columns in _chunks(shown, layout, screen):
        console.print(_grid(shown, columns, layout, screen))
    for line in _key(shown, layout, screen):
        console.print(Text(screen.text(line), style="dim"))


def _screen(console: Console) -> _Screen:
    ascii_only = console.options.ascii_only
    return _Screen(console.width, not console.is_terminal, _to_ascii if ascii_only else str)


def _to_ascii(text: str) -> str:
    replaced = "".join(_ASCII.get(character, character) for character in text)
    return replaced.encode("ascii", "backslashreplace").decode("ascii")


def _heading(console: Console, screen: _Screen, title: str, caption: str) -> None:
    console.print()
    console.print(Text(screen.text(clean(title)), style="bold"))
    if caption:
        console.print(Text(screen.text(clean(caption)), style="dim"))


def _layout(shown: ShownTable, screen: _Screen) -> _Layout:
    """Beside the score if that fits, below it from 100 columns on, else no intervals."""
    if not shown.has_intervals:
        return "compact"
    if shown.is_turned and screen.width >= 100:
        return "beside"  # cut into several, if it must be: twice as many lines would be longer
    everything = range(len(shown.columns))
    if _needed(shown, everything, "beside", screen) <= screen.width:
        return "beside"
    if screen.width >= 100 and _needed(shown, everything, "below", screen) <= screen.width:
        return "below"
    return "compact"


def _needed(shown: ShownTable, columns: Sequence[int], layout: _Layout, screen: _Screen) -> int:
    return _label_room(shown, layout, screen) + sum(
        _column_width(shown, i, layout, screen) + _GAPS[layout] for i in columns
    )


def _label_room(shown: ShownTable, layout: _Layout, screen: _Screen) -> int:
    """What the labels get before the columns: their full length where they are tasks, which cannot be told
    apart once they are folded, less where they are models.
    """
    whole = layout == "beside" or (shown.is_turned and screen.width >= 2 * _LABEL_MAX)
    return min(_longest_label(shown, screen), _LABEL_MAX if whole else _LABEL_MIN)


def _longest_label(shown: ShownTable, screen: _Screen) -> int:
    labels = [shown.stub, *(row.label for row in shown.rows), *(name for name, _ in shown.footer)]
    return max(cell_len(screen.text(label)) for label in labels)


def _column_width(shown: ShownTable, position: int, layout: _Layout, screen: _Screen) -> int:
    texts = [screen.text(shown.columns[position])]
    texts += [_footer_text(numbers[position], shown, position, layout, screen) for _, numbers in shown.footer]
    for row in shown.rows:
        texts += _cell_text(row.cells[position], shown, position, layout, screen).plain.split("\n")
    return max(cell_len(text) for text in texts)


def _chunks(shown: ShownTable, layout: _Layout, screen: _Screen) -> list[list[int]]:
    """The columns in as many groups as the width asks for; one column at least in each."""
    label = _label_room(shown, layout, screen)
    chunks: list[list[int]] = [[]]
    room = screen.width - label
    for i in range(len(shown.columns)):
        width = _column_width(shown, i, layout, screen) + _GAPS[layout]
        if chunks[-1] and width > room:
            chunks.append([])
            room = screen.width - label
        chunks[-1].append(i)
        room -= width
    return chunks


def _grid(shown: ShownTable, columns: Sequence[int], layout: _Layout, screen: _Screen) -> Table:
    grid = _empty_grid(_GAPS[layout])
    widths = {i: _column_width(shown, i, layout, screen) for i in columns}
    room = screen.width - sum(width + _GAPS[layout] for width in widths.values())
    label = max(1, min(_longest_label(shown, screen), room))
    grid.add_column(Text(screen.text(shown.stub)), width=label, overflow="fold")
    for i, width in widths.items():
        grid.add_column(Text(screen.text(shown.columns[i]).rjust(width)), width=width, overflow="fold")
    for section in shown.sections:
        if section.group:
            grid.add_row(Text(screen.text(section.group), style="bold cyan"))
        for row in section.rows:
            cells = [_cell_text(row.cells[i], shown, i, layout, screen, widths[i]) for i in columns]
            grid.add_row(Text(screen.text(row.label)), *cells)
        grid.add_section()
    for name, numbers in shown.footer:
        texts = [_footer_text(numbers[i], shown, i, layout, screen).rjust(widths[i]) for i in columns]
        grid.add_row(*(Text(text, style="dim") for text in (name, *texts)))
    return grid


def _empty_grid(gap: int) -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 1, 0, 0), show_edge=False)


def _cell_text(
    cell: ShownCell | None, shown: ShownTable, position: int, layout: _Layout, screen: _Screen, width: int = 0
) -> Text:
    """The score, marked before it and after it so that the decimal points stay under each other.

    Padded to `width` here: rich would strip the space that stands for a mark the cell has not.
    """
    if cell is None:
        return Text(screen.text("–").rjust(width), style="dim")
    before = {"near": "≈", "below": "↓"}.get(cell.standing, "")
    after = _after(cell, screen).ljust(_after_width(shown, position, screen))
    score = screen.text(before) + screen.text(cell.value)
    beside = f" {screen.text(cell.plus_minus)}" if layout == "beside" else ""
    text = Text(" " * (width - cell_len(score + after + beside)))
    text.append(score, style="dim" if before or cell.is_quiet else "bold green" if cell.best else "")
    text.append(after + beside, style="dim")
    if layout == "below" and cell.plus_minus:
        below = screen.text(cell.plus_minus) + " " * cell_len(after)
        text.append("\n" + below.rjust(width), style="dim")
    return text


def _footer_text(number: str, shown: ShownTable, position: int, layout: _Layout, screen: _Screen) -> str:
    """A number of the footer, level with the scores above it."""
    if layout == "beside":
        return screen.text(number)
    return screen.text(number) + " " * _after_width(shown, position, screen)


def _after_width(shown: ShownTable, position: int, screen: _Screen) -> int:
    return max((cell_len(_after(row.cells[position], screen)) for row in shown.rows), default=0)


def _after(cell: ShownCell | None, screen: _Screen) -> str:
    if cell is None:
        return ""
    return ("*" if cell.best and screen.plain else "") + screen.text(superscript(cell.footnotes))


def _key(shown: ShownTable, layout: _Layout, screen: _Screen) -> list[str]:
    sentences = [
        f"{shown.metrics}." if shown.metrics else "",
        "±: larger side of the 95 % interval." if layout != "compact" and shown.has_intervals else "",
        f"{'*' if screen.plain else 'Bold'}: best of {shown.best_of}." if shown.best_of else "",
        "≈: interval includes chance." if "near" in shown.standings else "",
        "↓: below chance." if "below" in shown.standings else "",
    ]
    notes = [f"{superscript([i])} {note}" for i, note in enumerate(shown.footnotes, 1)]
    return [line for line in (" ".join(s for s in sentences if s), *notes, shown.unparsable) if line]


def _print_losses(table: LossTable, console: Console, screen: _Screen) -> None:
    labels = [cell_len(screen.text(clean(row.label))) for row in table.rows]
    label = min(max([*labels, 4]), 30)
    longest = max((len(row.losses) for row in table.rows), default=0)
    spark = 0 if screen.text(_BLOCKS) == "" else min(longest, 16)
    step = screen.text(clean(table.step))[:5]
    columns = loss_columns(table, limit=max(2, min(10, (screen.width - label - spark - 2) // 10)))
    grid = _empty_grid(2)
    grid.add_column("run", max_width=label, overflow="fold")
    for i in columns:
        grid.add_column(Text(f"{step} {i + 1}"), justify="right", no_wrap=True)
    if spark:
        grid.add_column("")
    top = max((loss for row in table.rows for loss in row.losses if loss is not None), default=0.0)
    for row in table.rows:
        texts = [_loss(row.losses[i] if i < len(row.losses) else None) for i in columns]
        drawn = [Text(_spark(row.losses[:16], top), style="dim")] if spark else []
        grid.add_row(Text(screen.text(clean(row.label))), *texts, *drawn)
    console.print(grid)


def _print_texts(table: TextTable, console: Console, screen: _Screen) -> None:
    """All columns, in as many tables below each other as the width asks for."""
    lines = [[screen.text(clean(text) or "–") for text in row] for row in (table.columns, *table.rows)]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(table.columns))]
    label = min(widths[0], _LABEL_MAX)
    parts: list[list[int]] = [[]]
    room = console.width - label
    for i, width in enumerate(widths[1:], 1):
        if parts[-1] and width + 2 > room:
            parts.append([])
            room = console.width - label
        parts[-1].append(i)
        room -= width + 2
    for part in parts:
        grid = _empty_grid(2)
        grid.add_column(Text(lines[0][0]), width=label, overflow="fold")
        for i in part:
            grid.add_column(Text(lines[0][i]), justify="right", overflow="fold")
        for line in lines[1:]:
            grid.add_row(Text(line[0]), *(Text(line[i]) for i in part))
        console.print(grid)


def _print_validation(table: ValidationTable, console: Console) -> None:
    header, *rows = validation_rows(table)
    grid = _empty_grid(2)
    for heading in header:
        grid.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    console.print(grid)


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.3f}"


def _spark(losses: Sequence[float | None], top: float) -> str:
    last = len(_BLOCKS) - 1
    return "".join(
        " " if loss is None else _BLOCKS[round(last * min(1.0, max(0.0, loss) / (top or 1.0)))]
        for loss in losses
    )


def _print_timings(timings: Sequence[Timing], console: Console, screen: _Screen) -> None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    grid.add_column(justify="right", no_wrap=True)
    for timing in timings:
        grid.add_row(Text(screen.text(clean(timing.stage))), duration(timing.seconds))
    total = duration(sum(timing.seconds for timing in timings))
    grid.add_row(Text("total", style="bold"), Text(total, style="bold"))
    console.print(grid)
