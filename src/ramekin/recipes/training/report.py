"""What a training leaves beside its weights: lineage, report, and the files of its run."""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramekin.recipes.fine_tuning import loss_rows, objective_text
from ramekin.recipes.results import caption_of, columns_of, counters_of, machine, score_row
from ramekin.recipes.runs import command_line
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.training.data import TrainingData
from ramekin.recipes.training.validation_losses import validation_tables
from ramekin.report.values import CheckpointFact, LossTable, Report, RunFacts, ScoreTable, Timing
from ramekin.report.write import write_report

if TYPE_CHECKING:
    from ramekin.evaluate.evaluation import Evaluation
    from ramekin.train.loop import TrainReport
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.opening import Opened

__all__ = ["run_files", "training_lineage", "training_report"]


def training_lineage(config: TrainConfig, opened: "Opened", data: TrainingData, recipe: Any) -> "Lineage":
    """Where the trained weights come from."""
    from ramekin.weights.lineage import Lineage, Parent, weights_sha256

    is_adapter = config.adapter.kind != "none"
    settings: dict[str, Any] = {
        **({"recipe_name": config.recipe} if config.recipe is not None else {}),
        **({"tiny": True} if config.tiny else {}),
        **data.settings,
        "recipe": dataclasses.asdict(recipe),
        "objective": dataclasses.asdict(config.objective),
        **({"adapter": config.adapter.model_dump(mode="json")} if is_adapter else {}),
    }
    return Lineage(
        kind="adapter" if is_adapter else "dense",
        operation="finetune",
        base=config.model,
        parents=(Parent(config.model, weights_sha256(opened.folder), "base"),),
        settings=settings,
        seed=config.seed,
    )


def training_report(
    config: TrainConfig,
    output: Path,
    started: str,
    data: TrainingData,
    trained: "TrainReport",
    evaluation: "Evaluation | None",
    lineage: "Lineage",
    working: Path,
) -> Report:
    """The run as a report: scores, losses, times, facts; its log is read from the working folder."""
    from ramekin.train.journal import read_events

    tables: tuple[ScoreTable, ...] = ()
    counters = data.counters
    if evaluation is not None:
        row = score_row(output.name, evaluation)
        title = f"{config.eval_split} scores"
        tables = (ScoreTable(title, columns_of(evaluation), (row,), caption=caption_of(evaluation)),)
        counters += counters_of(evaluation)
    return Report(
        title=f"{output.name}: {config.model} fine-tuned on {data.title}",
        summary=(_sentence(trained), f"Objective: {objective_text(config.objective)}."),
        tables=tables,
        losses=(LossTable("Loss a target token", loss_rows(output.name, trained)),),
        validations=validation_tables(
            trained.evals,
            read_events(working / "events.jsonl"),
            steps_per_epoch=config.training.steps_per_epoch(data.feed.epoch_examples),
            objective=config.objective,
        ),
        timings=(Timing("training", trained.seconds),),
        facts=RunFacts(
            command=command_line(),
            seed=config.seed,
            started=started,
            machine=machine(),
            parameters=trained.parameters,
            versions=lineage.versions,
            data=data.origins,
            checkpoints=(CheckpointFact(output.name, "finetune", (config.model,), trained.parameters),),
            counters=counters,
            warnings=(*trained.notices, *data.warnings),
        ),
    )


def _sentence(trained: "TrainReport") -> str:
    best = f"; the weights are those after step {trained.best.step}, the best" if trained.best else ""
    early = ", where nothing had got better for long" if trained.stopped_early else ""
    several = f" on {trained.processes} processes" if trained.processes > 1 else ""
    return (
        f"{trained.steps} steps{several}{early}, {trained.examples} examples, "
        f"{trained.trainable_parameters:,} of {trained.parameters:,} parameters trained, "
        f"{trained.padding_share:.0%} of the computed positions were padding, "
        f"final loss {trained.final_loss:.4f}{best}."
    )


def run_files(report: Report, text: str, working: Path) -> Mapping[str, bytes]:
    """The files a run leaves beside its weights: configuration, events and report."""
    with tempfile.TemporaryDirectory() as folder:
        write_report(report, Path(folder))
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}
    files["config.yaml"] = text.encode("utf-8")
    files["events.jsonl"] = (working / "events.jsonl").read_bytes()
    return files
