"""The report of a road: the tables of the FusionBench page for its models, the λ sweep, losses and facts."""

from collections.abc import Iterator, Sequence

from ramekin.recipes.results import machine, short_name
from ramekin.recipes.road.jobs import Evaluated
from ramekin.recipes.road.walk import Walk
from ramekin.recipes.runs import command_line
from ramekin.report.values import (
    AVERAGE,
    Cell,
    CheckpointFact,
    Counter,
    LossTable,
    Reference,
    Report,
    RunFacts,
    ScoreTable,
    Series,
    Sweep,
    TableRow,
    average_cell,
)
from ramekin.report.wording import percent

__all__ = ["road_report"]

_KINDS = {"full": "full fine-tuned models", "lora": "LoRA fine-tuned models"}
_METHODS = {
    "simple_average": "Simple average",
    "task_arithmetic": "Task arithmetic",
    "ties_merging": "TIES-merging",
}
_REFERENCE, _MERGING = "Reference results", "Model merging methods"


def road_report(found: Walk, seed: int) -> Report:
    """Everything a walk found, as one report."""
    kinds = list(dict.fromkeys(tuned.kind for tuned in found.tuned))
    tables = [table for kind in kinds for table in (_tuned_table(found, kind), _merged_table(found, kind))]
    return Report(
        title=found.config.title,
        summary=tuple(_summary(found, kinds)),
        tables=tuple(tables),
        sweeps=(_sweep(found, kinds[0]),) if found.sweep else (),
        losses=tuple(_loss_tables(found, kinds)),
        timings=tuple(found.timings),
        facts=_facts(found, seed),
    )


def _columns(found: Walk) -> tuple[str, ...]:
    return (*map(short_name, found.config.tasks), AVERAGE)


def _row(label: str, evaluated: Evaluated, group: str = "", own: str = "") -> TableRow:
    return TableRow(label, (*evaluated.cells, average_cell(evaluated.cells)), group=group, own=own)


def _base_row(found: Walk, group: str = "") -> TableRow:
    return _row("Pre-trained", found.scores["base"], group)


def _baseline_rows(found: Walk, group: str = "") -> list[TableRow]:
    if not found.baseline:
        return []
    cells = [Cell.of(found.baseline[task]) for task in found.config.tasks]
    return [TableRow("TF-IDF + logistic regression", (*cells, average_cell(cells)), group=group)]


def _tuned_table(found: Walk, kind: str) -> ScoreTable:
    """The base and each fine-tuned model on every task."""
    rows = [_base_row(found)]
    for tuned in found.tuned:
        if tuned.kind == kind:
            name = short_name(tuned.task)
            rows.append(_row(name, found.scores[f"{kind}/{name}"], own=name))
    return ScoreTable(
        f"Each model on each task: {_KINDS[kind]}",
        _columns(found),
        tuple(rows),
        caption="A row is a model, named by the task it was fine-tuned on.",
    )


def _merged_table(found: Walk, kind: str) -> ScoreTable:
    """References and merges, as the FusionBench page arranges them."""
    rows = [*_baseline_rows(found, _REFERENCE), _base_row(found, _REFERENCE)]
    own = _own_cells(found, kind)
    rows.append(TableRow("Fine-tuned (STL)", (*own, average_cell(own)), group=_REFERENCE))
    for merged in found.merged:
        if merged.kind == kind:
            method = merged.method["name"]
            factor = merged.method.get("scaling_factor")
            label = _METHODS.get(method, method) + (f" (λ={factor:g})" if factor is not None else "")
            rows.append(_row(label, found.scores[f"merged/{kind}/{method}"], _MERGING))
    return ScoreTable(
        f"Merging: {_KINDS[kind]}",
        _columns(found),
        tuple(rows),
        caption="Fine-tuned (STL): each task by the model that was fine-tuned on it.",
        stub="Method",
    )


def _own_cells(found: Walk, kind: str) -> list[Cell]:
    """Each task by its own fine-tuned model."""
    tasks = found.config.tasks
    return [found.scores[f"{kind}/{short_name(task)}"].cells[i] for i, task in enumerate(tasks)]


def _sweep(found: Walk, kind: str) -> Sweep:
    assert found.config.sweep is not None
    tasks = found.config.tasks
    method = str(found.config.sweep.method["name"])
    own, base = _own_cells(found, kind), found.scores["base"].cells
    return Sweep(
        title=f"{_METHODS.get(method, method)} by scaling factor: {_KINDS[kind]}",
        factors=found.config.sweep.factors,
        series=tuple(
            Series(short_name(task), tuple(point.cells[i] for point in found.sweep))
            for i, task in enumerate(tasks)
        ),
        average=Series(AVERAGE, tuple(average_cell(point.cells) for point in found.sweep)),
        references=(
            Reference("Pre-trained", average_cell(base), base),
            Reference("Fine-tuned (STL)", average_cell(own), tuple(own)),
        ),
        caption="The checkpoints were read once; every λ was computed from memory.",
    )


def _loss_tables(found: Walk, kinds: Sequence[str]) -> Iterator[LossTable]:
    if found.base.losses is not None:
        yield LossTable("Pre-training", (found.base.losses,))
    for kind in kinds:
        rows = tuple(tuned.losses for tuned in found.tuned if tuned.kind == kind)
        yield LossTable(f"Fine-tuning: {_KINDS[kind]}", rows, caption="Mean loss a target token, in nats.")


def _summary(found: Walk, kinds: Sequence[str]) -> Iterator[str]:
    """Sentences that state what the numbers say, whatever they are."""
    base = average_cell(found.scores["base"].cells)
    for kind in kinds:
        own = average_cell(_own_cells(found, kind))
        candidates = {
            str(m.method["name"]): average_cell(found.scores[f"merged/{kind}/{m.method['name']}"].cells)
            for m in found.merged
            if m.kind == kind
        }
        known = {name: cell for name, cell in candidates.items() if cell is not None}
        if base is None or own is None or not known:
            continue
        best, name = max(known, key=lambda method: known[method].value), _KINDS[kind]
        yield (
            f"{name[0].upper()}{name[1:]}: {len(found.config.tasks)} models reach {percent(own.value)} on "
            f"their own tasks (pre-trained: {percent(base.value)}); merged into one, the best of the methods "
            f"is {_METHODS.get(best, best)} with {percent(known[best].value)}."
        )


def _facts(found: Walk, seed: int) -> RunFacts:
    from ramekin.weights.lineage import current_versions, weights_sha256

    base = found.scores["base"]
    checkpoints = [
        CheckpointFact(
            found.base_name, "pretrain", (), base.parameters, sha256=weights_sha256(found.base.folder)
        )
    ]
    for tuned in found.tuned:
        checkpoints.append(
            CheckpointFact(
                f"{tuned.kind}/{short_name(tuned.task)}",
                "finetune",
                (found.base_name,),
                tuned.trainable_parameters,
                weights_sha256(tuned.folder),
            )
        )
    for merged in found.merged:
        parents = tuple(f"{t.kind}/{short_name(t.task)}" for t in found.tuned if t.kind == merged.kind)
        name = str(merged.method["name"])
        checkpoints.append(
            CheckpointFact(
                f"{merged.kind}/{name}", name, (found.base_name, *parents), base.parameters, merged.sha256
            )
        )
    return RunFacts(
        command=command_line(),
        seed=seed,
        started=found.started,
        machine=machine(),
        parameters=base.parameters,
        versions=current_versions(),
        data=found.origins,
        checkpoints=tuple(checkpoints),
        counters=tuple(_counters(found)),
        warnings=tuple(dict.fromkeys(warning for merged in found.merged for warning in merged.warnings)),
    )


def _counters(found: Walk) -> Iterator[Counter]:
    """What was lost in training, in sum; what evaluations lost stands in their tables."""
    sums: dict[str, int] = {}
    for tuned in found.tuned:
        for name, count in tuned.lost.items():
            sums[name] = sums.get(name, 0) + count
    yield from (Counter(name, count) for name, count in sums.items() if count)
    yield from found.scores["base"].counters
