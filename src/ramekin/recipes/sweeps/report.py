"""What the points of a sweep found, as one table, and as a curve where one number is swept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from ramekin.recipes.results import machine, report_text
from ramekin.recipes.runs import command_line
from ramekin.recipes.sweeps.points import Points, SweepPoint
from ramekin.report.values import (
    AVERAGE,
    Cell,
    LossRow,
    LossTable,
    Reference,
    Report,
    RunFacts,
    ScoreTable,
    Series,
    Sweep,
    TableRow,
)

__all__ = ["PointResult", "columns_of", "sweep_report", "text_table"]

_MERGED = "Merged"


@final
@dataclass(frozen=True)
class PointResult:
    """What one point found."""

    point: SweepPoint
    values: Mapping[str, Any]
    """What its verb hands back, as JSON."""
    report: Report | None
    """Its own; None of a verb that writes none."""

    @property
    def scores(self) -> Mapping[str, Cell]:
        """The scores of its model by column."""
        table = next(iter(self.report.tables), None) if self.report is not None else None
        if table is None or not table.rows:
            return {}
        cells = zip(table.columns, table.rows[-1].cells, strict=True)
        return {column: cell for column, cell in cells if cell is not None}

    @property
    def label(self) -> str:
        """Its values, as a row of a table is called."""
        return ", ".join(self.point.values)

    def row(self, keys: Sequence[str]) -> dict[str, Any]:
        """The point as a line of a table: what is swept, what the verb tells in single values, the scores."""
        swept = dict(zip(keys, self.point.values, strict=True))
        told = {key: value for key, value in self.values.items() if isinstance(value, int | float | str)}
        scores = {column: cell.value for column, cell in self.scores.items()}
        return {**{key: value for key, value in told.items() if key not in swept}, **swept, **scores}


def sweep_report(
    verb: str,
    points: Points,
    results: Sequence[PointResult],
    references: Sequence[TableRow] = (),
    told: str = "",
) -> Report:
    """The results as a report: scores and losses with a row a point, a curve where one number is swept.

    Args:
        verb: what was carried out.
        points: what was swept.
        results: what each point found.
        references: rows of the columns of `columns_of` to compare them with.
        told: what these are.
    """
    table = _table(points, results, references, told)
    curve = _curve(points, table, references) if table is not None else None
    losses = tuple(row for result in results for row in _losses(result))
    notes = (f"{each.point.name}: {_told(each.values)}" for each in results if each.report is None)
    return Report(
        title=f"ramekin {verb} at {len(results)} points",
        tables=(table,) if table is not None else (),
        sweeps=(curve,) if curve is not None else (),
        losses=(LossTable("Loss a target token", losses),) if losses else (),
        facts=RunFacts(command=command_line(), machine=machine()),
        notes=tuple(notes),
    )


def text_table(report: Report, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """The report as a terminal shows it; of points without one their values, aligned."""
    if report.tables or report.losses:
        return report_text(report)
    lines = [list(columns), *([_shown(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def columns_of(results: Sequence[PointResult]) -> tuple[str, ...]:
    """What the points were scored on, the average last where there is one."""
    found = dict.fromkeys(column for result in results for column in result.scores)
    return (*(name for name in found if name != AVERAGE), *([AVERAGE] if AVERAGE in found else ()))


def _table(
    points: Points, results: Sequence[PointResult], references: Sequence[TableRow], told: str
) -> ScoreTable | None:
    """The scores of all points; a point that was not scored on a column has no cell there."""
    columns = columns_of(results)
    if not columns:
        return None
    group = _MERGED if references else ""
    rows = tuple(
        TableRow(result.label, tuple(result.scores.get(column) for column in columns), group)
        for result in results
    )
    keys = ", ".join(points.keys)
    captions = {table.caption for each in results if each.report is not None for table in each.report.tables}
    caption = " ".join(filter(None, (captions.pop() if len(captions) == 1 else "", told)))
    return ScoreTable(f"Scores by {keys}", columns, (*references, *rows), caption, keys)


def _losses(result: PointResult) -> tuple[LossRow, ...]:
    """The losses of a training, under the point's own label."""
    table = next(iter(result.report.losses), None) if result.report is not None else None
    rows = table.rows if table is not None else ()
    return (replace(rows[0], label=result.label),) if rows else ()


def _curve(points: Points, table: ScoreTable, references: Sequence[TableRow]) -> Sweep | None:
    """The scores along the one key that is swept, if its values are numbers."""
    try:
        factors = [float(point.values[0]) for point in points.points]
    except ValueError:
        return None
    if len(points.keys) > 1 or len(set(factors)) < len(factors):
        return None
    order = sorted(range(len(factors)), key=factors.__getitem__)
    rows = table.rows[len(references) :]
    of_task = [place for place, column in enumerate(table.columns) if column != AVERAGE]
    series = [
        Series(column, tuple(rows[place].cells[position] for place in order))
        for position, column in enumerate(table.columns)
    ]
    averages = [one for one in series if one.label == AVERAGE]
    return Sweep(
        f"Scores along {points.keys[0]}",
        tuple(factors[place] for place in order),
        tuple(one for one in series if one.label != AVERAGE),
        averages[0] if averages else None,
        tuple(
            Reference(
                row.label, row.cells[-1] if averages else None, tuple(row.cells[place] for place in of_task)
            )
            for row in references
        ),
        x_label=points.keys[0],
    )


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {_shown(value)}" for key, value in values.items() if isinstance(value, str | float | int)
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
