"""The recipe behind `ramekin train`: tasks and a base by name, a checkpoint or adapter folder out.

While it trains, its state lies in `OUTPUT.unfinished`; when it ends, `OUTPUT` appears whole and the other
goes. The same command therefore continues an unfinished run, and finds a finished one done.
"""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramekin.errors import DataError, LockedError, UsageError, WeightsError
from ramekin.evaluate.mode import MODES
from ramekin.files import folder_lock, refuse_existing, write_text
from ramekin.recipes.data import TaskExamples, evaluation_sets, training_examples
from ramekin.recipes.models import open_named
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, pick_device, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.results import (
    caption_of,
    columns_of,
    counters_of,
    evaluation_sets_of,
    machine,
    report_text,
    score_row,
)
from ramekin.recipes.runs import command_line, config_text, fresh_folder
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.training import lora_recipe, loss_row, stage_listener
from ramekin.report.values import (
    CheckpointFact,
    Counter,
    LossTable,
    Report,
    RunFacts,
    ScoreTable,
    Timing,
)
from ramekin.report.write import write_report

if TYPE_CHECKING:
    from ramekin.evaluate.evaluation import Evaluation
    from ramekin.tensors.encode import EncodedSet
    from ramekin.train.loop import TrainReport
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.opening import Opened

__all__ = ["execute", "plan"]


def plan(config: TrainConfig) -> Outcome:
    """What would be trained: rows, steps and the first prompt of each task; no weights are loaded."""
    examples = _training(config, places_of(config))
    count = sum(len(each.examples) for each in examples)
    steps = config.training.total_steps(count)
    how = "whole" if config.adapter.kind == "none" else f"with {config.adapter.kind} r={config.adapter.rank}"
    batch = config.training.global_batch
    lines = [f"train {config.model} {how} on {count} rows for {steps} steps of {batch}:"]
    for each in examples:
        lines += each.preview()
    return Outcome({"model": config.model, "rows": count, "steps": steps}, "\n".join(lines))


def execute(config: TrainConfig, progress: AbstractProgress) -> Outcome:
    """Fine-tune, or continue, and write the checkpoint with its report."""
    output = config.output or fresh_folder("train")
    text = config_text(config)
    if _is_done(output, text, config):
        return Outcome({"output": str(output), "finished_before": True}, f"{output} is finished already")
    working = output.with_name(f"{output.name}.unfinished")
    _claim(working, text, config)
    try:
        result = _train(config, output, working, text, progress)
    except (UsageError, DataError, WeightsError):
        _leave_unless_begun(working)
        raise
    shutil.rmtree(working, ignore_errors=True)
    return result


def _leave_unless_begun(working: Path) -> None:
    """Remove the folder of a run that was refused before its first step: there is nothing to continue."""
    with contextlib.suppress(LockedError), folder_lock(working):
        if not (working / "state").exists():
            shutil.rmtree(working)


def _is_done(output: Path, text: str, config: TrainConfig) -> bool:
    """Whether `output` is this very run, finished; anything else there is refused."""
    saved = output / "config.yaml"
    may_continue = config.resume == "auto" and not config.overwrite
    if may_continue and saved.is_file() and saved.read_text(encoding="utf-8") == text:
        return True
    refuse_existing(output, overwrite=config.overwrite)
    return False


def _claim(working: Path, text: str, config: TrainConfig) -> None:
    """Make the working folder, or see that it is this run's and that nobody trains in it."""
    if config.overwrite and working.exists():
        with folder_lock(working):
            shutil.rmtree(working)
    saved = working / "config.yaml"
    with folder_lock(working):
        if not saved.is_file():
            write_text(saved, text)
            return
        same = saved.read_text(encoding="utf-8") == text
        if not same or config.resume == "never":
            raise UsageError(
                "an unfinished run of another configuration is in the way"
                if not same
                else "an unfinished run is in the way",
                where=str(saved),
                fix="repeat that run's command to continue it, choose another output, or add overwrite=true",
            )


def _train(
    config: TrainConfig, output: Path, working: Path, text: str, progress: AbstractProgress
) -> Outcome:
    from ramekin.tensors.encode import encode
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.train.loop import finetune
    from ramekin.weights.adapter import attach_lora, save_adapter
    from ramekin.weights.checkpoint import save_checkpoint

    started = datetime.now(UTC).isoformat(timespec="seconds")
    places = places_of(config)
    set_threads(config.threads)
    recipe = dataclasses.replace(config.training, seed=config.seed)
    examples = _training(config, places)
    with progress.stage(f"open {config.model}"):
        opened = open_named(config.model, places, progress, device=pick_device(config.device))
        tokenizer = load_tokenizer(opened.tokenizer_folder)
    encoded = encode(
        [example for each in examples for example in each.examples],
        tokenizer,
        max_input_tokens=recipe.max_input_tokens,
        max_target_tokens=recipe.max_target_tokens,
    )
    is_lora = config.adapter.kind == "lora"
    model = (
        attach_lora(opened.model, lora_recipe(config.adapter), seed=config.seed) if is_lora else opened.model
    )
    evaluations: list[Evaluation] = []
    on_eval = _evaluator(config, places, opened, tokenizer, evaluations)
    with progress.stage("train", recipe.total_steps(len(encoded.items))) as stage:
        trained = finetune(
            model,
            encoded.items,
            recipe,
            run_dir=working,
            resume=True,
            on_eval=on_eval,
            progress=stage_listener(stage, progress),
        )
    if on_eval is not None and not evaluations:
        on_eval(model, trained.steps)  # the run had ended, but was killed before its checkpoint was written
    lineage = _lineage(config, places, opened, examples, recipe, is_lora)
    report = _report(config, output, started, examples, encoded, trained, evaluations, lineage)
    extras = _run_files(report, text, working)
    if is_lora:
        save_adapter(
            model, output, base=config.model, lineage=lineage, overwrite=config.overwrite, extra_files=extras
        )
    else:
        save_checkpoint(
            opened.model,
            output,
            tokenizer_folder=opened.tokenizer_folder,
            lineage=lineage,
            base_folder=opened.base_folder or opened.folder,
            overwrite=config.overwrite,
            extra_files=extras,
        )
    values = {
        "output": str(output),
        "steps": trained.steps,
        "loss": trained.final_loss,
        "seconds": trained.seconds,
        "scores": {p.task: p.headline.value for p in evaluations[-1].tasks} if evaluations else {},
    }
    return Outcome(values, f"{report_text(report)}\nsaved {output}")


def _training(config: TrainConfig, places: Places) -> tuple[TaskExamples, ...]:
    return training_examples(
        config.task_names, split=config.split, templates=config.templates, limit=config.limit, places=places
    )


def _evaluator(
    config: TrainConfig, places: Places, opened: "Opened", tokenizer: Any, kept: list["Evaluation"]
) -> Any:
    """What scores the model during training, on `eval_split`; None when `eval_split` is empty."""
    if not config.eval_split:
        return None
    from ramekin.evaluate.runner import encode_sets, evaluate_encoded

    mode = MODES[config.mode]
    sets = evaluation_sets(
        config.task_names,
        split=config.eval_split,
        templates="first" if config.templates == "all" else config.templates,
        limit=config.eval_limit,
        places=places,
        mode=mode,
    )
    longest = config.training.max_input_tokens
    encoded = encode_sets(evaluation_sets_of(sets), tokenizer, mode=mode, max_input_tokens=longest)

    def score(_: Any, step: int) -> Mapping[str, float]:
        # The opened model is the trained one: an adapter's layers are put into it.
        evaluation = evaluate_encoded(
            opened.model, tokenizer, encoded, mode=mode, seed=config.seed, max_input_tokens=longest
        )
        kept.append(evaluation)
        return {f"{part.task} {part.headline.metric}": part.headline.value for part in evaluation.tasks}

    return score


def _lineage(
    config: TrainConfig,
    places: Places,
    opened: "Opened",
    examples: Sequence[TaskExamples],
    recipe: Any,
    is_lora: bool,
) -> "Lineage":
    from ramekin.weights.lineage import Lineage, Parent, weights_sha256

    settings: dict[str, Any] = {
        "tasks": list(config.task_names),
        "templates": config.templates,
        "recipe": dataclasses.asdict(recipe),
        "data": [dataclasses.asdict(each.origin) for each in examples],
    }
    if is_lora:
        settings["adapter"] = config.adapter.model_dump(mode="json")
    parent = Parent(config.model, weights_sha256(opened.folder), "base")
    return Lineage(
        kind="adapter" if is_lora else "dense",
        operation="finetune",
        base=config.model,
        parents=(parent,),
        settings=settings,
        seed=config.seed,
    )


def _report(
    config: TrainConfig,
    output: Path,
    started: str,
    examples: Sequence[TaskExamples],
    encoded: "EncodedSet",
    trained: "TrainReport",
    evaluations: Sequence["Evaluation"],
    lineage: "Lineage",
) -> Report:
    total = len(encoded.items)
    lost = {
        "training rows skipped": sum(each.skipped for each in examples),
        "training inputs truncated": encoded.truncated_inputs,
        "training targets truncated": encoded.truncated_targets,
        "training inputs with unknown characters": encoded.unknown_inputs,
        "training targets with unknown characters": encoded.unknown_targets,
    }
    counters = tuple(Counter(name, count, total) for name, count in lost.items() if count)
    tables: tuple[ScoreTable, ...] = ()
    if evaluations:
        last = evaluations[-1]
        tables = (
            ScoreTable(
                f"{config.eval_split} scores",
                columns_of(last),
                (score_row(output.name, last),),
                caption=caption_of(last),
            ),
        )
        counters += counters_of(last)
    return Report(
        title=f"{output.name}: {config.model} fine-tuned on {', '.join(config.task_names)}",
        summary=(
            f"{trained.steps} steps, {trained.examples} examples, {trained.trainable_parameters:,} of "
            f"{trained.parameters:,} parameters trained, final loss {trained.final_loss:.4f}.",
        ),
        tables=tables,
        losses=(LossTable("Loss a target token", (loss_row(output.name, trained),)),),
        timings=(Timing("training", trained.seconds),),
        facts=RunFacts(
            command=command_line(),
            seed=config.seed,
            started=started,
            machine=machine(),
            parameters=trained.parameters,
            versions=lineage.versions,
            data=tuple(each.origin for each in examples),
            checkpoints=(CheckpointFact(output.name, "finetune", (config.model,), trained.parameters),),
            counters=counters,
            warnings=trained.notices,
        ),
    )


def _run_files(report: Report, text: str, working: Path) -> Mapping[str, bytes]:
    """The files a run leaves beside its weights: configuration, events and report."""
    with tempfile.TemporaryDirectory() as folder:
        write_report(report, Path(folder))
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}
    files["config.yaml"] = text.encode("utf-8")
    files["events.jsonl"] = (working / "events.jsonl").read_bytes()
    return files
