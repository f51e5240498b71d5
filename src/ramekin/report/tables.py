"""A score table made ready to show: texts, which cells are best, which are at chance, and the footnotes.

The terminal, the Markdown, the page and LaTeX all draw a `ShownTable`, so they cannot disagree. A table of
more tasks than fit side by side is turned here: tasks become rows and models columns. It knows nothing of
escaping, colours or widths.
"""

import itertools
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

from ramekin.report.values import (
    AVERAGE,
    Cell,
    LossTable,
    Reference,
    Report,
    ScoreTable,
    Series,
    Sweep,
    TableRow,
    ValidationTable,
)
from ramekin.report.wording import (
    Standing,
    clean,
    count_text,
    factor_labels,
    figure,
    interval_text,
    metric_text,
    plus_minus,
    slug,
    standing,
)
from ramekin.text.score import LOWER_IS_BETTER

__all__ = [
    "Section",
    "ShownCell",
    "ShownRow",
    "ShownTable",
    "loss_columns",
    "named_tables",
    "show",
    "sweep_table",
    "validation_rows",
]

_MAX_UNPARSABLE_LISTED = 8
_MAX_COLUMNS = 12
"""A table of more columns is turned if that leaves it fewer."""
_USUAL_STUB = "Model"
_ENDINGS: dict[Standing, str] = {
    "near": "the 95 % interval includes the chance level",
    "below": "below the chance level",
}


@final
@dataclass(frozen=True, slots=True)
class ShownCell:
    """One cell as text and what is to be said of it."""

    value: str
    plus_minus: str
    interval: str
    best: bool
    own: bool
    standing: Standing
    footnotes: tuple[int, ...]
    detail: str
    """All that is known of it, in one line."""
    is_quiet: bool = False
    """Whether it is no score but stands beside them: a chance level, a number of examples."""


@final
@dataclass(frozen=True, slots=True)
class ShownRow:
    """A label and its cells."""

    label: str
    cells: tuple[ShownCell | None, ...]
    is_average: bool = False


@final
@dataclass(frozen=True, slots=True)
class Section:
    """Consecutive rows under one heading; the heading may be empty."""

    group: str
    rows: tuple[ShownRow, ...]


@final
@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table ready to be drawn in any format."""

    title: str
    caption: str
    stub: str
    columns: tuple[str, ...]
    average: int | None
    """The position of the average's column; None where there is none, or where it is a row."""
    sections: tuple[Section, ...]
    footer: tuple[tuple[str, tuple[str, ...]], ...]
    """Rows such as `chance` and `n`, one text a column."""
    metrics: str
    """Which metric the numbers are, one sentence; empty when not known."""
    best_of: str
    """What the best is the best of, such as `its column`; empty where nothing is."""
    has_intervals: bool
    has_own: bool
    standings: frozenset[Standing]
    footnotes: tuple[str, ...]
    unparsable: str
    is_turned: bool = False
    """Whether tasks are rows and models columns."""

    @property
    def rows(self) -> tuple[ShownRow, ...]:
        """The rows of all sections."""
        return tuple(row for section in self.sections for row in section.rows)


def show(table: ScoreTable) -> ShownTable:
    """Make a table ready: best cell a column within each section, standing, footnotes, chance and n.

    A section with one row has no best. Cells that read the same with one decimal are best together. A table
    of more than twelve columns and fewer rows than columns is turned: a row a task, the average last, chance
    and n in columns of their own.
    """
    shown = _upright(table)
    return _turned(shown) if len(shown.columns) > max(_MAX_COLUMNS, len(table.rows)) else shown


def _upright(table: ScoreTable) -> ShownTable:
    columns = tuple(clean(column) for column in table.columns)
    notes = _footnotes(table.rows)
    sections = tuple(
        _section(clean(group), tuple(rows), columns, notes)
        for group, rows in itertools.groupby(table.rows, key=lambda row: row.group)
    )
    cells = [cell for row in table.rows for cell in row.cells if cell is not None]
    return ShownTable(
        title=clean(table.title),
        caption=clean(table.caption),
        stub=clean(table.stub),
        columns=columns,
        average=columns.index(AVERAGE) if AVERAGE in columns else None,
        sections=sections,
        footer=_footer(table),
        metrics=_metrics(table),
        best_of=_best_of(sections),
        has_intervals=any(cell.low is not None for cell in cells),
        has_own=any(row.own in table.columns for row in table.rows),
        standings=frozenset(standing(cell) for cell in cells),
        footnotes=tuple(clean(note) for note in notes),
        unparsable=_unparsable(table),
    )


def _best_of(sections: Sequence[Section]) -> str:
    has_best = any(cell and cell.best for each in sections for row in each.rows for cell in row.cells)
    within = " within its section" if len(sections) > 1 else ""
    return f"its column{within}" if has_best else ""


def _turned(shown: ShownTable) -> ShownTable:
    """Rows as columns and columns as rows; what stood at the foot stands at the right."""
    rows = []
    for i, column in enumerate(shown.columns):
        cells = [row.cells[i] for row in shown.rows]
        quiet = [_quiet(texts[i], f"{column}: {name} {texts[i]}") for name, texts in shown.footer]
        rows.append(ShownRow(column, (*cells, *quiet), is_average=i == shown.average))
    parts = ([row for row in rows if not row.is_average], [row for row in rows if row.is_average])
    return replace(
        shown,
        caption=" ".join(filter(None, (shown.caption, *_told_of_columns(shown)))),
        stub="Task",
        columns=(*_labels(shown), *(name for name, _ in shown.footer)),
        average=None,
        sections=tuple(Section("", tuple(part)) for part in parts if part),
        footer=(),
        best_of=shown.best_of.replace("column", "row"),
        is_turned=True,
    )


def _quiet(text: str, detail: str) -> ShownCell | None:
    return ShownCell(text, "", "", False, False, "unknown", (), detail, is_quiet=True) if text else None


def _labels(shown: ShownTable) -> list[str]:
    """The rows' labels, with their sections where they repeat."""
    pairs = [(section.group, row.label) for section in shown.sections for row in section.rows]
    met = Tally(label for _, label in pairs)
    return [f"{group}: {label}" if met[label] > 1 and group else label for group, label in pairs]


def _told_of_columns(shown: ShownTable) -> list[str]:
    """What the headings that are gone said of the rows that are columns now."""
    told = [] if shown.stub in ("", _USUAL_STUB) else [f"Columns: {shown.stub}."]
    groups = [
        f"{section.group}: {', '.join(row.label for row in section.rows)}."
        for section in shown.sections
        if section.group
    ]
    return told + groups


def named_tables(report: Report) -> tuple[tuple[str, ScoreTable], ...]:
    """Every score table of a report, those of sweeps last, under names for files that do not repeat."""
    named = [(f"{i}-{slug(clean(each.title), 'table')}", each) for i, each in enumerate(report.tables, 1)]
    sweeps = [
        (f"sweep-{i}-{slug(clean(each.title), 'table')}", sweep_table(each))
        for i, each in enumerate(report.sweeps, 1)
    ]
    return (*named, *sweeps)


def sweep_table(sweep: Sweep) -> ScoreTable:
    """The table of a sweep: a row a factor, a column a task, and the average last."""
    series = (*sweep.series, *((_as_average(sweep.average),) if sweep.average else ()))
    rows = [
        TableRow(label=label, cells=tuple(one.cells[i] for one in series))
        for i, label in enumerate(factor_labels(sweep.factors))
    ]
    return ScoreTable(
        title=sweep.title,
        columns=tuple(one.label for one in series),
        rows=(*rows, *_reference_rows(sweep)),
        caption=sweep.caption,
        stub=sweep.x_label,
    )


def loss_columns(table: LossTable, *, limit: int = 10) -> tuple[int, ...]:
    """Which epochs to show, from 0: all, or `limit` of them evenly with the first and the last."""
    longest = max((len(row.losses) for row in table.rows), default=0)
    if longest <= limit:
        return tuple(range(longest))
    return tuple(sorted({round(i * (longest - 1) / (limit - 1)) for i in range(limit)}))


def validation_rows(table: ValidationTable) -> tuple[tuple[str, ...], ...]:
    """The texts of a validation table, its heading first, in the form of the Trainer's model cards.

    >>> from ramekin.report.values import LossPoint
    >>> validation_rows(ValidationTable("", (LossPoint(46, 1.0, 0.57), LossPoint(92, 2.0, 0.48, 0.6))))[1:]
    (('No log', '1.00', '46', '0.5700'), ('0.6000', '2.00', '92', '0.4800'))
    """
    return (
        ("Training Loss", "Epoch", "Step", "Validation Loss"),
        *(
            (
                "No log" if point.training is None else f"{point.training:.4f}",
                f"{point.epoch:.2f}",
                str(point.step),
                f"{point.validation:.4f}",
            )
            for point in table.points
        ),
    )


def _as_average(series: Series) -> Series:
    return Series(AVERAGE, series.cells)


def _reference_rows(sweep: Sweep) -> Iterable[TableRow]:
    for reference in sweep.references:
        cells = reference.cells or (None,) * len(sweep.series)
        average = (reference.average,) if sweep.average else ()
        if any((*cells, *average)):
            yield _reference_row(reference, (*cells, *average))


def _reference_row(reference: Reference, cells: tuple[Cell | None, ...]) -> TableRow:
    return TableRow(label=reference.label, cells=cells, group="For comparison", reference=True)


def _section(group: str, rows: tuple[TableRow, ...], columns: Sequence[str], notes: Sequence[str]) -> Section:
    rivals = [row for row in rows if not row.reference]
    best = [_best_text([row.cells[i] for row in rivals]) for i in range(len(columns))]
    return Section(group, tuple(_row(row, columns, best, notes) for row in rows))


def _best_text(column: Sequence[Cell | None]) -> str | None:
    """The shown text of the column's best cell, or None when there is nothing to win."""
    known = [cell for cell in column if cell is not None]
    texts = {figure(cell.value, cell.metric) for cell in known}
    if len(texts) < 2:
        return None
    least = all(cell.metric in LOWER_IS_BETTER for cell in known)
    best = (min if least else max)(known, key=lambda cell: cell.value)
    return figure(best.value, best.metric)


def _row(row: TableRow, columns: Sequence[str], best: Sequence[str | None], notes: Sequence[str]) -> ShownRow:
    label = clean(row.label)
    cells = tuple(
        None
        if cell is None
        else _cell(
            cell,
            best=not row.reference and figure(cell.value, cell.metric) == best[i],
            own=clean(row.own) == columns[i],
            notes=notes,
            where=f"{label}, {columns[i]}",
        )
        for i, cell in enumerate(row.cells)
    )
    return ShownRow(label, cells)


def _cell(cell: Cell, *, best: bool, own: bool, notes: Sequence[str], where: str) -> ShownCell:
    return ShownCell(
        value=figure(cell.value, cell.metric),
        plus_minus=plus_minus(cell),
        interval=interval_text(cell),
        best=best,
        own=own,
        standing=standing(cell),
        footnotes=(notes.index(cell.note) + 1,) if cell.note else (),
        detail=_detail(cell, where),
    )


def _detail(cell: Cell, where: str) -> str:
    parts = [f"{where}: {figure(cell.value, cell.metric)}"]
    if cell.metric:
        parts.append(metric_text(cell.metric))
    if cell.low is not None:
        parts.append(f"95 % interval {interval_text(cell)}")
    if cell.chance is not None:
        parts.append(f"chance {figure(cell.chance, cell.metric)}")
    if cell.majority is not None:
        parts.append(f"best constant answer {figure(cell.majority, cell.metric)}")
    if cell.n is not None:
        parts.append(f"n = {count_text(cell.n)}")
    if cell.unparsable:
        parts.append(f"{count_text(cell.unparsable)} unparsable")
    if standing(cell) in _ENDINGS:
        parts.append(_ENDINGS[standing(cell)])
    return ", ".join(parts)


def _footnotes(rows: Sequence[TableRow]) -> tuple[str, ...]:
    """The different notes, in the order they are met."""
    return tuple(dict.fromkeys(cell.note for row in rows for cell in row.cells if cell and cell.note))


def _column(table: ScoreTable, position: int) -> list[Cell]:
    return [cell for row in table.rows if (cell := row.cells[position]) is not None]


def _footer(table: ScoreTable) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The chance level, the best constant answer's and n of each column; an empty row is left out."""
    columns = [_column(table, i) for i in range(len(table.columns))]
    chance = tuple(_level(cells, [cell.chance for cell in cells]) for cells in columns)
    majority = tuple(_level(cells, [cell.majority for cell in cells]) for cells in columns)
    counts = tuple(_range([cell.n for cell in cells], lambda n: count_text(int(n))) for cells in columns)
    rows = (("chance", chance), ("majority", majority), ("n", counts))
    return tuple((name, texts) for name, texts in rows if any(texts))


def _level(cells: Sequence[Cell], levels: Sequence[float | None]) -> str:
    metric = cells[0].metric if cells else ""
    return _range(levels, lambda level: figure(level, metric))


def _range(numbers: Iterable[float | None], text_of: object) -> str:
    """One text when all numbers read the same, otherwise the smallest and the largest."""
    known = sorted({number for number in numbers if number is not None})
    if not known or not callable(text_of):
        return ""
    first, last = text_of(known[0]), text_of(known[-1])
    return str(first) if first == last else f"{first}–{last}"


def _metrics(table: ScoreTable) -> str:
    """`Accuracy ×100; stsb: spearman_rho ×100`, the most frequent metric first."""
    named: dict[str, list[str]] = {}
    for i, column in enumerate(table.columns):
        for metric in dict.fromkeys(metric_text(cell.metric) for cell in _column(table, i) if cell.metric):
            named.setdefault(metric, []).append(clean(column))
    if not named:
        return ""
    first = max(named, key=lambda metric: len(named[metric]))
    others = [
        f"{', '.join(where)}: {metric}{_scale(metric)}" for metric, where in named.items() if metric != first
    ]
    told = [f"{first[:1].upper()}{first[1:]}{_scale(first)}", *others]
    return "; ".join(told)


def _scale(metric: str) -> str:
    """How a metric's numbers are shown."""
    return " (less is better)" if metric in LOWER_IS_BETTER else " × 100"


def _unparsable(table: ScoreTable) -> str:
    """Where predictions could not be read as an answer, and how many; averages are left out."""
    met: list[tuple[str, int, int | None]] = [
        (f"{clean(row.label)} on {clean(column)}", cell.unparsable, cell.n)
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell is not None and cell.unparsable and column != AVERAGE
    ]
    if not met:
        return ""
    met.sort(key=lambda one: -one[1])
    shown = [
        f"{where} {count_text(count)}" + (f" of {count_text(n)}" if n is not None else "")
        for where, count, n in met[:_MAX_UNPARSABLE_LISTED]
    ]
    rest = len(met) - len(shown)
    if rest:
        left = Tally(dict(enumerate(count for _, count, _ in met[_MAX_UNPARSABLE_LISTED:]))).total()
        shown.append(f"{count_text(left)} more in {count_text(rest)} other cells")
    return "Predictions that could not be read as an answer and count as wrong: " + "; ".join(shown) + "."
