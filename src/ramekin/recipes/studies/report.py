"""What the points of a study found, over the seeds: tables and pictures, a line a model and kind of data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from ramekin.recipes.results import machine
from ramekin.recipes.runs import command_line
from ramekin.recipes.studies.plan import TrainingSize
from ramekin.recipes.studies.points import StudyPoint
from ramekin.recipes.studies.schema import StudyPlan, TaskCount
from ramekin.report.values import (
    AVERAGE,
    Cell,
    CurveLine,
    Curves,
    Report,
    RunFacts,
    ScoreTable,
    TableRow,
)
from ramekin.report.wording import metric_text
from ramekin.text.mixing.adjustments import Inclusion

__all__ = ["Found", "over_seeds", "rows_of", "study_report"]

_COT: Mapping[Inclusion, str] = {
    "leave_out": "without chains of thought",
    "include": "with chains of thought",
    "only": "chains of thought alone",
}


_SHORT: Mapping[Inclusion, str] = {"include": "with CoT", "leave_out": "without", "only": "CoT alone"}
"""In a picture: solid, dashed, dotted."""


@final
@dataclass(frozen=True)
class Found:
    """What one point found."""

    point: StudyPoint
    size: TrainingSize
    training: Mapping[str, Any]
    """What its training handed back; empty of a model that is taken as it is."""
    scores: Mapping[str, Mapping[str, Cell]]
    """By evaluation and column."""

    def score(self, evaluation: str) -> Cell | None:
        """The average of an evaluation's tasks, or its one task's score."""
        cells = self.scores[evaluation]
        if AVERAGE not in cells:
            return next(iter(cells.values()), None)
        metrics = {cell.metric for column, cell in cells.items() if column != AVERAGE}
        return replace(cells[AVERAGE], metric=metrics.pop() if len(metrics) == 1 else "")


def rows_of(found: Sequence[Found]) -> list[dict[str, Any]]:
    """The points as lines of a table: the values of its keys, its size, its loss and every score."""
    rows = []
    for each in found:
        told = {key: each.training[key] for key in ("steps", "loss", "seconds") if key in each.training}
        scores = {
            f"{name}: {column}": cell.value
            for name, cells in each.scores.items()
            for column, cell in cells.items()
        }
        point = each.point
        rows.append(
            {
                "num_tasks": each.size.num_tasks,
                **({"task_set": point.num_tasks} if isinstance(point.num_tasks, str) else {}),
                "model": point.model,
                "cot": point.cot,
                "seed": "" if point.seed is None else point.seed,
                "cot_tasks": each.size.num_cot_tasks,
                **told,
                **scores,
            }
        )
    return rows


def over_seeds(cells: Sequence[Cell]) -> Cell:
    """The score of several seeds: their mean, with the 95 % interval of a mean by Student's t.

    Of one seed it is that score, with its own interval, which is of the examples alone. Neither interval
    knows of other tasks that could have been held out.

    Its rows are those of all seeds together.

    >>> round(over_seeds([Cell(0.5), Cell(0.6)]).high, 3)
    1.185
    """
    if len(cells) == 1:
        return cells[0]
    from scipy.stats import t

    count = len(cells)
    mean = math.fsum(cell.value for cell in cells) / count
    spread = math.sqrt(math.fsum((cell.value - mean) ** 2 for cell in cells) / (count - 1))
    half = float(t.ppf(0.975, count - 1)) * spread / math.sqrt(count)
    first = cells[0]
    unparsable = sum(cell.unparsable for cell in cells)
    rows = None if first.n is None else sum(cell.n or 0 for cell in cells)  # what could not be read is of all
    return Cell(
        mean, mean - half, mean + half, rows, first.chance, unparsable, f"{count} seeds", first.metric
    )


def study_report(study: StudyPlan, found: Sequence[Found]) -> Report:
    """A table and a picture for each evaluation."""
    counts = _counts(study, found)
    tables, curves = [], []
    for name in study.evaluations:
        lines = {
            (model, cot): _cells(name, model, cot, counts, found)
            for model in study.models
            for cot in study.cot
        }
        about = _about(study, name, found)
        tables.append(_table(name, counts, lines, about))
        if len(set(counts.values())) == len(counts):  # sets of as many tasks have no order along an axis
            curves.append(_curves(study, name, counts, lines, about))
    return Report(
        title=study.title,
        tables=tuple(tables),
        curves=tuple(curves),
        facts=RunFacts(command=command_line(), machine=machine(), versions=_versions()),
    )


_Lines = Mapping[tuple[str, Inclusion], tuple[Cell | None, ...]]
_Counts = Mapping[TaskCount, int]
"""The values of the first axis with their numbers of tasks, the fewest first."""


def _counts(study: StudyPlan, found: Sequence[Found]) -> _Counts:
    counts = {
        each: max((one.size.num_tasks or 0 for one in found if one.point.num_tasks == each), default=0)
        for each in study.num_tasks
    }
    return dict(sorted(counts.items(), key=lambda item: item[1]))


def _cells(
    name: str, model: str, cot: Inclusion, counts: _Counts, found: Sequence[Found]
) -> tuple[Cell | None, ...]:
    """The scores along the number of tasks, each over its seeds."""
    cells: list[Cell | None] = []
    for each in counts:
        scores = [
            one.score(name)
            for one in found
            if (one.point.model, one.point.cot, one.point.num_tasks) == (model, cot, each)
        ]
        known = [cell for cell in scores if cell is not None]
        cells.append(over_seeds(known) if known else None)
    return tuple(cells)


def _table(name: str, counts: _Counts, lines: _Lines, about: str) -> ScoreTable:
    rows = tuple(TableRow(f"{model}, {_COT[cot]}", cells) for (model, cot), cells in lines.items())
    columns = tuple(_column(each, count) for each, count in counts.items())
    return ScoreTable(f"{_title(name)}: score by number of tasks", columns, rows, about, "model and data")


def _column(each: TaskCount, count: int) -> str:
    """So many tasks; of a set of them its name, too."""
    told = f"{count} task{'s' * (count != 1)}"
    return told if isinstance(each, int) else f"{each} ({told})"


def _curves(study: StudyPlan, name: str, counts: _Counts, lines: _Lines, about: str) -> Curves:
    drawn = tuple(
        CurveLine(
            f"{model}, {_SHORT[cot]}",
            cells,
            colour=study.models.index(model),
            dash=list(_SHORT).index(cot),
        )
        for (model, cot), cells in lines.items()
    )
    chances = {cell.chance for cells in lines.values() for cell in cells if cell is not None}
    chance = chances.pop() if len(chances) == 1 else None
    metrics = {cell.metric for cells in lines.values() for cell in cells if cell is not None and cell.metric}
    metric = metrics.pop() if len(metrics) == 1 else "score"
    return Curves(
        f"{_title(name)}: score by number of tasks",
        tuple(map(float, counts.values())),
        drawn,
        x_label="fine-tuning tasks, those with chains of thought not counted",
        y_label=f"{metric_text(metric)} × 100",
        chance=chance,
        caption=about,
    )


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _about(study: StudyPlan, name: str, found: Sequence[Found]) -> str:
    """What a reader of the scores must know: tasks, n, mode, and of what the intervals are."""
    columns = {column: cell for each in found for column, cell in each.scores[name].items()}
    tasks = [column for column in columns if column != AVERAGE]
    ns = {cell.n for column, cell in columns.items() if column != AVERAGE}
    mode = study.evaluations[name].get("mode", "fusionbench")
    count = len(study.seeds)
    of = f"the mean over {count} seeds" if count > 1 else "the rows that were drawn, of one seed"
    mean = "Mean of " if len(tasks) > 1 else ""
    told = ", ".join(str(n) for n in sorted(n for n in ns if n is not None))
    return f"{mean}{', '.join(tasks)}; n = {told} each, mode={mode}. Intervals (95 %) are of {of}."


def _versions() -> dict[str, str]:
    from ramekin.infer.kept import versions

    return versions()
