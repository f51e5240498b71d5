"""What a report is made of: scores in tables and sweeps, losses, timings and the facts of the run.

Plain frozen values that any stage can fill. Scores are fractions (0.834; correlations in [-1, 1]); showing
them times a hundred is the renderers' business. This module knows nothing of how anything is shown.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from ramekin.errors import DataError
from ramekin.text.score import Score

__all__ = [
    "AVERAGE",
    "Box",
    "BoxPlot",
    "BoxPoint",
    "Cell",
    "CheckpointFact",
    "Counter",
    "CurveLine",
    "Curves",
    "DataOrigin",
    "HeatMap",
    "LossPoint",
    "LossRow",
    "LossTable",
    "Reference",
    "Reliability",
    "ReliabilityBin",
    "Report",
    "RunFacts",
    "ScoreTable",
    "Series",
    "Sweep",
    "TableRow",
    "TextTable",
    "Timing",
    "ValidationTable",
    "average_cell",
]

AVERAGE = "Average"
"""The name of the column that holds the plain mean of the others."""


@final
@dataclass(frozen=True, slots=True)
class Cell:
    """One score in a table; what is not known is None."""

    value: float
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""
    n: int | None = None
    """Examples it was measured on."""
    chance: float | None = None
    """What blind guessing reaches."""
    unparsable: int = 0
    """Predictions that could not be read as an answer."""
    note: str = ""
    """Shown as a footnote of the table."""
    metric: str = ""
    """Such as `accuracy`."""
    standard_error: float | None = None
    majority: float | None = None
    """What the best constant answer reaches."""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "chance", "standard_error", "majority"):
            _require_finite(getattr(self, name), f"Cell.{name}")
        if (self.low is None) != (self.high is None):
            raise DataError("an interval needs both ends", where="Cell", got=f"{self.low} to {self.high}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise DataError("an interval is upside down", where="Cell", got=f"{self.low} to {self.high}")

    @classmethod
    def of(cls, score: Score, *, majority: float | None = None) -> "Cell":
        """The cell of a `Score`, with what the best constant answer reaches where that is known."""
        return cls(
            value=score.value,
            low=score.low,
            high=score.high,
            n=score.n,
            chance=score.chance,
            unparsable=score.unparsable,
            note=score.note,
            metric=score.metric,
            standard_error=score.standard_error,
            majority=majority,
        )


@final
@dataclass(frozen=True, slots=True)
class TableRow:
    """One model or method: its scores in the order of the table's columns; None where there is none."""

    label: str
    cells: tuple[Cell | None, ...]
    group: str = ""
    """The section it stands under, such as "Reference results"; consecutive rows share one heading."""
    own: str = ""
    """The column of the task this row's model was tuned on, if it was tuned on one; tinted when shown."""
    reference: bool = False
    """A line only to compare with; it is never the best of a column."""


@final
@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Rows of models or methods, columns of tasks and, usually, `AVERAGE`.

    Raises:
        DataError: a row has not exactly one cell a column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    caption: str = ""
    stub: str = "Model"
    """The heading over the row labels."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise DataError(
                    "a row of a score table does not fit its columns",
                    where=f"table '{self.title}', row '{row.label}'",
                    expected=f"{len(self.columns)} cells",
                    got=str(len(row.cells)),
                )


@final
@dataclass(frozen=True, slots=True)
class Series:
    """The scores of one task along a sweep, one a factor."""

    label: str
    cells: tuple[Cell | None, ...]


@final
@dataclass(frozen=True, slots=True)
class Reference:
    """A level to compare a sweep with, such as the pre-trained model."""

    label: str
    average: Cell | None
    cells: tuple[Cell | None, ...] = ()
    """One a task, in the order of the sweep's series; empty when only the average is known."""


@final
@dataclass(frozen=True, slots=True)
class Sweep:
    """Scores along one setting, such as the scaling factor λ.

    Raises:
        DataError: a series has not one cell a factor, a reference not one a series, or a factor is not
            finite or not above the one before it.
    """

    title: str
    factors: tuple[float, ...]
    series: tuple[Series, ...]
    average: Series | None = None
    references: tuple[Reference, ...] = ()
    x_label: str = "scaling factor λ"
    caption: str = ""

    def __post_init__(self) -> None:
        where = f"sweep '{self.title}'"
        for factor in self.factors:
            _require_finite(factor, f"{where}, factors")
        if any(b <= a for a, b in zip(self.factors, self.factors[1:], strict=False)):
            raise DataError("the factors of a sweep must rise", where=where, got=str(self.factors))
        for series in (*self.series, *((self.average,) if self.average else ())):
            _require_length(series.cells, len(self.factors), f"{where}, series '{series.label}'")
        for reference in self.references:
            if reference.cells:
                _require_length(reference.cells, len(self.series), f"{where}, reference '{reference.label}'")


@final
@dataclass(frozen=True, slots=True)
class CurveLine:
    """One line of a picture: its scores, one a place; lines of one number share a colour or their dashes."""

    label: str
    cells: tuple[Cell | None, ...]
    colour: int = 0
    dash: int = 0
    """0 is solid, 1 dashed, 2 dotted."""


@final
@dataclass(frozen=True, slots=True)
class Curves:
    """Several lines over one axis of counts, each point with its interval.

    Raises:
        DataError: a line has not one cell a place, or the places do not rise from 0 or more.
    """

    title: str
    places: tuple[float, ...]
    """On the x axis, a step for each doubling."""
    lines: tuple[CurveLine, ...]
    x_label: str
    y_label: str = "score × 100"
    chance: float | None = None
    caption: str = ""

    def __post_init__(self) -> None:
        where = f"curves '{self.title}'"
        for place in self.places:
            _require_finite(place, f"{where}, places")
        if any(b <= a for a, b in zip((-1.0, *self.places), self.places, strict=False)):
            raise DataError("places must rise from 0 or more", where=where, got=str(self.places))
        for line in self.lines:
            _require_length(line.cells, len(self.places), f"{where}, line '{line.label}'")


@final
@dataclass(frozen=True, slots=True)
class LossRow:
    """One training run: its mean loss a target token (nats), one an epoch; None where none was taken."""

    label: str
    losses: tuple[float | None, ...]

    def __post_init__(self) -> None:
        for loss in self.losses:
            _require_finite(loss, f"losses of '{self.label}'")


@final
@dataclass(frozen=True, slots=True)
class LossTable:
    """The losses of several runs side by side; runs may differ in their number of epochs."""

    title: str
    rows: tuple[LossRow, ...]
    caption: str = ""
    step: str = "epoch"
    """What a column is."""


@final
@dataclass(frozen=True, slots=True)
class LossPoint:
    """What an evaluation while training found: losses a target token (nats)."""

    step: int
    epoch: float
    """How many passes over the data the step ends."""
    validation: float
    training: float | None = None
    """Mean of what was logged since the evaluation before, or else that one's; None up to the first line."""

    def __post_init__(self) -> None:
        for name in ("epoch", "validation", "training"):
            _require_finite(getattr(self, name), f"LossPoint.{name}")


@final
@dataclass(frozen=True, slots=True)
class ValidationTable:
    """Training and validation loss side by side, an evaluation a row."""

    title: str
    points: tuple[LossPoint, ...]
    caption: str = ""


@final
@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of what is no score: its cells are texts already.

    Raises:
        DataError: a row has not exactly one text a column.
    """

    title: str
    columns: tuple[str, ...]
    """The heading over the row labels first."""
    rows: tuple[tuple[str, ...], ...]
    """A label first; empty texts stand for what cannot be said."""
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            _require_width(row, len(self.columns), f"table '{self.title}', row '{(*row, '')[0]}'")


@final
@dataclass(frozen=True, slots=True)
class HeatMap:
    """A picture of numbers in rows and columns, a colour each; None where there is none.

    Raises:
        DataError: a row has not one number a column, or a number or an end of the scale is not finite.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    """`values[row][column]`."""
    low: float = 0.0
    high: float = 1.0
    """What the ends of the scale stand for; numbers beyond have the colour of the end."""
    as_percent: bool = False
    """Whether the numbers are written times a hundred."""
    caption: str = ""
    counts: tuple[tuple[int, ...], ...] = ()
    """Where numbers are shares of what was counted: the counts, written over them and in a table."""
    stub: str = ""
    """The heading over the row labels of that table."""

    def __post_init__(self) -> None:
        where = f"heat map '{self.title}'"
        if self.counts:
            _require_width(self.counts, len(self.rows), f"{where}, rows of counts")
        for label, counted in zip(self.rows, self.counts, strict=False):
            _require_width(counted, len(self.columns), f"{where}, counts of row '{label}'")
        for end in (self.low, self.high):
            _require_finite(end, f"{where}, scale")
        if self.low >= self.high:
            raise DataError("a scale is upside down", where=where, got=f"{self.low} to {self.high}")
        _require_width(self.values, len(self.rows), f"{where}, rows")
        for label, row in zip(self.rows, self.values, strict=True):
            _require_width(row, len(self.columns), f"{where}, row '{label}'")
            for value in row:
                _require_finite(value, f"{where}, row '{label}'")


@final
@dataclass(frozen=True, slots=True)
class BoxPoint:
    """One prompt's score on a task."""

    name: str
    """The template's."""
    value: float


@final
@dataclass(frozen=True, slots=True)
class Box:
    """One task: the scores of its templates, and what blind guessing reaches.

    Raises:
        DataError: there is no score, or a number is not finite.
    """

    label: str
    points: tuple[BoxPoint, ...]
    chance: float | None = None

    def __post_init__(self) -> None:
        where = f"box '{self.label}'"
        if not self.points:
            raise DataError("a box has no scores", where=where, expected="one score or more", got="none")
        for number in (self.chance, *(point.value for point in self.points)):
            _require_finite(number, where)

    @property
    def worst(self) -> BoxPoint:
        """The lowest score, the first of equals."""
        return min(self.points, key=lambda point: point.value)

    @property
    def best(self) -> BoxPoint:
        """The highest score, the first of equals."""
        return max(self.points, key=lambda point: point.value)

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile, linear between scores (Hyndman and Fan 1996, type 7).

        >>> Box("t", tuple(BoxPoint(str(i), i / 4) for i in range(5))).quartiles
        (0.25, 0.5, 0.75)
        """
        values = [point.value for point in self.points]
        if len(values) == 1:
            return values[0], values[0], values[0]
        first, middle, last = statistics.quantiles(values, n=4, method="inclusive")
        return first, middle, last


@final
@dataclass(frozen=True, slots=True)
class BoxPlot:
    """How far scores hang on the template: a box a task."""

    title: str
    boxes: tuple[Box, ...]
    caption: str = ""


@final
@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The answers that were given with about the same confidence."""

    low: float
    high: float
    """The edges of the bin, fractions."""
    count: int
    confidence: float
    """Their mean confidence."""
    accuracy: Cell

    def __post_init__(self) -> None:
        for name in ("low", "high", "confidence"):
            _require_finite(getattr(self, name), f"ReliabilityBin.{name}")


@final
@dataclass(frozen=True, slots=True)
class Reliability:
    """Whether a model was as sure as it was right."""

    title: str
    bins: tuple[ReliabilityBin, ...]
    """Those with answers, from the least confident."""
    accuracy: Cell
    """Of all answers, with their number."""
    confidence: float
    """Mean confidence of all answers."""
    calibration_error: float
    """Expected calibration error, a fraction."""
    calibration_noise: float
    """What it would be on average if the confidences were true."""
    brier: Cell
    """Brier score, from 0 to 2; its chance level is that of equal probabilities."""
    negative_log_likelihood: Cell
    """Of the right option, in nats; its chance level is that of equal probabilities."""
    caption: str = ""

    def __post_init__(self) -> None:
        for name in ("confidence", "calibration_error", "calibration_noise"):
            _require_finite(getattr(self, name), f"Reliability.{name}")


@final
@dataclass(frozen=True, slots=True)
class Timing:
    """Wall-clock seconds of one stage."""

    stage: str
    seconds: float

    def __post_init__(self) -> None:
        _require_finite(self.seconds, f"timing '{self.stage}'")


@final
@dataclass(frozen=True, slots=True)
class DataOrigin:
    """Where the rows of one split came from."""

    name: str
    """Task and split, such as `glue/rte validation`."""
    origin: str
    """A file, a hub id with revision, or "world seed=0"."""
    rows: int
    skipped: int = 0
    sha256: str | None = None


@final
@dataclass(frozen=True, slots=True)
class CheckpointFact:
    """One checkpoint of the run: what made it, from what, and what it hashes to."""

    name: str
    operation: str = ""
    """Such as `pretrain`, `finetune`, `ties_merging`."""
    parents: tuple[str, ...] = ()
    """Names of the checkpoints it came from; a name that is no checkpoint of the run stands for itself."""
    parameters: int | None = None
    sha256: str | None = None
    """Of its weights file."""


@final
@dataclass(frozen=True, slots=True)
class Counter:
    """Something that was counted because it must not go unseen: truncated inputs, skipped rows."""

    name: str
    count: int
    of: int | None = None
    """How many there were in all."""


@final
@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is needed to run it again and to trust it."""

    command: str = ""
    seed: int | None = None
    started: str = ""
    """When it began, such as `2025-01-31T12:00:00+00:00`."""
    machine: str = ""
    parameters: int | None = None
    """Of the base model."""
    versions: Mapping[str, str] = field(default_factory=dict)
    data: tuple[DataOrigin, ...] = ()
    checkpoints: tuple[CheckpointFact, ...] = ()
    counters: tuple[Counter, ...] = ()
    warnings: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run has to say at its end."""

    title: str
    summary: tuple[str, ...] = ()
    """Sentences; the first is the one to remember."""
    tables: tuple[ScoreTable, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    losses: tuple[LossTable, ...] = ()
    timings: tuple[Timing, ...] = ()
    facts: RunFacts = field(default_factory=RunFacts)
    notes: tuple[str, ...] = ()
    validations: tuple[ValidationTable, ...] = ()
    """Shown after the losses."""
    curves: tuple[Curves, ...] = ()
    """Shown after the sweeps."""
    text_tables: tuple[TextTable, ...] = ()
    """Shown after the box plots."""
    heat_maps: tuple[HeatMap, ...] = ()
    """Shown after the tables of texts."""
    box_plots: tuple[BoxPlot, ...] = ()
    """Shown after the curves."""
    reliabilities: tuple[Reliability, ...] = ()
    """Shown after the heat maps."""


def average_cell(cells: Sequence[Cell | None]) -> Cell | None:
    """The plain mean of the cells, or None when one is missing, as the mean of fewer tasks would mislead.

    Its interval adds the distances to the ends in quadrature, each side by itself, the tasks' errors being
    independent (MOVER: Zou and Donner 2008, https://doi.org/10.1002/sim.3095). `n` stays None: it is not
    a proportion of examples.

    >>> mean = average_cell([Cell(0.8, 0.7, 0.9, chance=0.5), Cell(0.6, 0.6, 0.6, chance=0.25)])
    >>> mean.value, round(mean.low, 3), round(mean.high, 3), mean.chance
    (0.7, 0.65, 0.75, 0.375)
    """
    known = [cell for cell in cells if cell is not None]
    if not known or len(known) != len(cells):
        return None
    count = len(known)
    value = math.fsum(cell.value for cell in known) / count
    chances = [cell.chance for cell in known if cell.chance is not None]
    chance = math.fsum(chances) / count if len(chances) == count else None
    unparsable = sum(cell.unparsable for cell in known)
    ends = [(cell.low, cell.high) for cell in known]
    if any(low is None or high is None for low, high in ends):
        return Cell(value, chance=chance, unparsable=unparsable)
    below = math.hypot(*(cell.value - (cell.low or 0.0) for cell in known)) / count
    above = math.hypot(*((cell.high or 0.0) - cell.value for cell in known)) / count
    return Cell(value, value - below, value + above, chance=chance, unparsable=unparsable)


def _require_finite(number: float | None, where: str) -> None:
    if number is not None and not math.isfinite(number):
        raise DataError("a number of the report is not finite", where=where, got=str(number))


def _require_width(cells: Sequence[object], expected: int, where: str) -> None:
    if len(cells) != expected:
        raise DataError(
            "cells are missing or too many", where=where, expected=str(expected), got=str(len(cells))
        )


def _require_length(cells: Sequence[object], expected: int, where: str) -> None:
    if len(cells) != expected:
        raise DataError(
            "cells of a sweep are missing or too many",
            where=where,
            expected=str(expected),
            got=str(len(cells)),
        )
