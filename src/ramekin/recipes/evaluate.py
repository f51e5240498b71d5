"""The recipe behind `ramekin evaluate`: a model by name, tasks by name, a report in a folder."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ramekin.evaluate.evaluation import Evaluation
from ramekin.evaluate.mode import MODES, Mode
from ramekin.recipes.data import TaskExamples, evaluation_sets
from ramekin.recipes.earlier import Differences, differences, read_earlier
from ramekin.recipes.models import open_named
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import pick_device, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.results import (
    caption_of,
    columns_of,
    counters_of,
    evaluation_sets_of,
    finish,
    machine,
    score_row,
)
from ramekin.recipes.runs import command_line, fresh_folder, run_folder
from ramekin.recipes.schema import EvaluateConfig
from ramekin.report.values import Cell, CheckpointFact, Report, RunFacts, ScoreTable, TableRow, Timing
from ramekin.text.render import Style

if TYPE_CHECKING:
    from ramekin.weights.lineage import Lineage

__all__ = ["execute", "plan"]


def plan(config: EvaluateConfig) -> Outcome:
    """What would be evaluated: the rows and their first prompts; no weights are loaded."""
    sets, mode = _sets(config), MODES[config.mode]
    lines = [f"evaluate {config.model} by the rules of '{config.mode}':"]
    values = [
        {"task": e.task.name, "template": e.template, "rows": len(e.examples), **_ranked(e, mode)}
        for e in sets
    ]
    for each in sets:
        lines += each.preview(mode)
    return Outcome({"model": config.model, "mode": config.mode, "sets": values}, "\n".join(lines))


def execute(config: EvaluateConfig, progress: AbstractProgress) -> Outcome:
    """Evaluate and write the report; returns the scores."""
    with run_folder(config.output or fresh_folder("evaluate"), config) as folder:
        return _evaluate_into(folder, config, progress)


def _evaluate_into(folder: Path, config: EvaluateConfig, progress: AbstractProgress) -> Outcome:
    from ramekin.evaluate.runner import evaluate
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.weights.lineage import weights_sha256

    started = datetime.now(UTC).isoformat(timespec="seconds")
    places = places_of(config)
    set_threads(config.threads)
    sets = _sets(config)
    earlier = read_earlier(config.against) if config.against is not None else None
    clock = time.perf_counter()
    with progress.stage(f"open {config.model}"):
        opened = open_named(
            config.model, places, progress, base=config.base, device=pick_device(config.device)
        )
        tokenizer = load_tokenizer(opened.tokenizer_folder)
    opening_seconds = time.perf_counter() - clock
    total = sum(len(each.examples) for each in sets)
    with progress.stage("evaluate", total) as stage:
        done = 0

        def on_progress(answered: int, _: int) -> None:
            nonlocal done
            stage.advance(answered - done)
            done = answered

        evaluation = evaluate(
            opened.model,
            tokenizer,
            evaluation_sets_of(sets),
            mode=config.mode,
            batch_tokens=config.batch_tokens,
            seed=config.seed,
            max_input_tokens=config.max_input_tokens,
            on_progress=on_progress,
            journal=folder / "answers.jsonl",
        )
    table = ScoreTable(
        f"{config.model} on {', '.join(config.task_names)}",
        columns_of(evaluation),
        (score_row(config.model, evaluation),),
        caption=caption_of(evaluation),
    )
    found = differences(earlier, evaluation, seed=config.seed) if earlier is not None else None
    tables = [table, *([_difference_table(found, config, evaluation)] if found is not None else [])]
    facts = RunFacts(
        command=command_line(),
        seed=config.seed,
        started=started,
        machine=machine(),
        parameters=evaluation.all_parameters,
        versions=evaluation.versions,
        data=tuple(each.origin for each in sets),
        checkpoints=(
            CheckpointFact(
                config.model,
                operation=opened.lineage.operation if opened.lineage else "",
                parents=tuple(p.name for p in opened.lineage.parents) if opened.lineage else (),
                parameters=evaluation.all_parameters,
                sha256=weights_sha256(opened.folder),
            ),
        ),
        counters=counters_of(evaluation),
        warnings=_unfit(opened.lineage, evaluation.mode),
    )
    report = Report(
        title=f"Evaluation of {config.model}",
        tables=tuple(tables),
        timings=(Timing("open", opening_seconds), Timing("answer", evaluation.seconds)),
        facts=facts,
    )
    return finish(folder, report, evaluation, found.to_json() if found is not None else {})


def _unfit(lineage: "Lineage | None", mode: Mode) -> tuple[str, ...]:
    """What is to be said where a model learned to answer the other way round than it is asked."""
    learned = lineage.settings.get("objective") if lineage is not None else None
    name = learned.get("name") if isinstance(learned, Mapping) else None
    if name not in ("channel", "flipped") or mode.direction == name:
        return ()
    return (f"trained by objective={name}: mode={name} asks it what it learned",)


def _difference_table(found: Differences, config: EvaluateConfig, evaluation: Evaluation) -> ScoreTable:
    """The differences as cells whose chance level is 0, so that those that include it are marked."""
    cells = tuple(Cell(each.difference, each.low, each.high, each.n, chance=0.0) for each in found.listed)
    return ScoreTable(
        f"{config.model} minus {config.against}",
        columns_of(evaluation),
        (TableRow("difference", cells),),
        caption="The same rows, paired; a chance level of 0 stands for no difference.",
        stub="",
    )


def _sets(config: EvaluateConfig) -> tuple[TaskExamples, ...]:
    return evaluation_sets(
        config.task_names,
        split=config.split,
        templates=config.templates,
        limit=config.limit,
        places=places_of(config),
        mode=MODES[config.mode],
        style=Style(words=config.words),
    )


def _ranked(examples: TaskExamples, mode: Mode) -> dict[str, object]:
    """What is ranked of the first row, where the mode ranks."""
    if not mode.ranks:
        return {}
    options = examples.examples[0].options
    if not examples.flipped:
        return {"options": list(options)}
    form = examples.flipped[0]
    return {
        "inputs_under": dict(zip(options, form.under, strict=True)),
        "instruction": form.example.targets,
    }
