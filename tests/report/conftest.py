"""A small finished run: three tasks, two sections, a sweep, losses, checkpoints."""

import hashlib

import pytest

from ramekin.report.values import (
    AVERAGE,
    Cell,
    CheckpointFact,
    Counter,
    DataOrigin,
    LossPoint,
    LossRow,
    LossTable,
    Reference,
    Report,
    RunFacts,
    ScoreTable,
    Series,
    Sweep,
    TableRow,
    Timing,
    ValidationTable,
    average_cell,
)

TASKS = ("cola", "rte", "stsb")


def cell(value, *, half=0.03, chance=0.5, n=400, **more):
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return Cell(value, low, high, n=n, chance=chance, metric=more.pop("metric", "accuracy"), **more)


def row(label, values, **more):
    cells = (
        cell(values[0]),
        cell(values[1], n=277),
        cell(values[2], chance=0.0, metric="spearman_rho"),
    )
    return TableRow(label, (*cells, average_cell(cells)), **more)


@pytest.fixture
def table():
    note = "constant predictions: correlation undefined, reported as 0"
    base = row("Pre-trained", (0.49, 0.3, 0.0), group="Reference results")
    noted = cell(0.0, half=0.02, chance=0.0, unparsable=21, note=note, metric="spearman_rho")
    return ScoreTable(
        "Merging methods",
        (*TASKS, AVERAGE),
        (
            TableRow(base.label, (*base.cells[:2], noted, None), group=base.group),
            row("Fine-tuned (STL)", (0.881, 0.859, 0.887), group="Reference results"),
            row("Simple average", (0.691, 0.712, 0.732), group="Model merging methods"),
            row("TIES-Merging (λ=0.3)", (0.703, 0.712, 0.783), group="Model merging methods"),
        ),
        caption="Three tasks.",
        stub="Method",
    )


@pytest.fixture
def sweep():
    factors = (0.0, 0.5, 1.0)
    series = tuple(
        Series(task, tuple(cell(v + 0.02 * i) for v in (0.5, 0.8, 0.3))) for i, task in enumerate(TASKS)
    )
    average = Series(AVERAGE, tuple(average_cell([one.cells[i] for one in series]) for i in range(3)))
    return Sweep(
        "Along λ",
        factors,
        series,
        average,
        (Reference("Pre-trained", cell(0.5), (cell(0.5),) * 3), Reference("Fine-tuned", cell(0.9))),
        caption="Base plus λ times the deltas.",
    )


@pytest.fixture
def report(table, sweep):
    digest = hashlib.sha256(b"weights").hexdigest()
    return Report(
        "Three tasks, one model",
        ("Merging keeps most of it.", "The base is at chance."),
        (table,),
        (sweep,),
        (LossTable("Training loss", (LossRow("cola", (2.0, 1.0, 0.5)), LossRow("rte", (1.5, None)))),),
        (Timing("pre-train", 61.2), Timing("merge", 0.4)),
        RunFacts(
            command="ramekin demo seed=0",
            seed=0,
            started="2025-01-31T12:00:00+00:00",
            machine="2 cores",
            parameters=4816896,
            versions={"ramekin": "0.1.0", "torch": "2.13.0"},
            data=(DataOrigin("glue/rte validation", "rte/validation.parquet", 277, 3, digest),),
            checkpoints=(
                CheckpointFact("mini/base", "pretrain", (), 4816896, digest),
                CheckpointFact("full/cola", "finetune", ("mini/base",), 4816896, digest),
                CheckpointFact("full/rte", "finetune", ("mini/base",), 4816896, digest),
                CheckpointFact("ties", "ties_merging", ("mini/base", "full/cola", "full/rte"), None, None),
            ),
            counters=(Counter("inputs truncated", 12, 8000), Counter("targets truncated", 0, 8000)),
            warnings=("the GPU was not used",),
        ),
        ("The average is the plain mean.",),
        (
            ValidationTable(
                "Training and validation loss",
                (LossPoint(46, 0.99, 34.6109), LossPoint(92, 1.99, 16.5236, 29.7732)),
                "Nats a target token.",
            ),
        ),
    )
