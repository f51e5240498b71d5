"""The recipe behind `ramekin train`: tasks or a mixture, and a base, by name; a checkpoint or adapter out.

While it trains, its state lies in `OUTPUT.unfinished`; when it ends, `OUTPUT` appears whole and the other
goes. The same command therefore continues an unfinished run, and finds a finished one done. Of processes that
were launched together each runs this; the first alone touches these folders, evaluates and reports.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.recipes.fine_tuning import LOSS, adapter_recipe, objective_text, stage_listener
from ramekin.recipes.models import open_named
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.results import report_text
from ramekin.recipes.runs import config_text, fresh_folder
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.tiny import in_small
from ramekin.recipes.tracking import check_trackers, followed
from ramekin.recipes.training.data import TrainingData, data_lines, read_training_data
from ramekin.recipes.training.evaluator import refuse_unknown_metric, training_evaluator
from ramekin.recipes.training.folders import claim, is_done, leave_unless_begun, tracked, unfinished
from ramekin.recipes.training.inputs import INPUTS, inputs_of, inputs_text
from ramekin.recipes.training.report import run_files, training_lineage, training_report

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ramekin.evaluate.evaluation import Evaluation
    from ramekin.train.loop import TrainReport
    from ramekin.train.team import AbstractTeam
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.opening import Opened

__all__ = ["execute", "plan"]

_RESULT = "result.json"


def plan(config: TrainConfig) -> Outcome:
    """What would be trained: rows, steps and the first prompt of each task; no weights are loaded."""
    config, places = in_small(config), _places(config)
    refuse_unknown_metric(config, places)
    count, data = data_lines(config, places)
    recipe = config.training
    steps = recipe.max_steps if count is None else recipe.total_steps(count)
    rows = "a mixture" if count is None else f"{count} rows"
    length = f"{recipe.epochs} passes" if steps is None else f"{steps} steps"
    learns = "" if config.objective.name == "direct" else f" ({objective_text(config.objective)})"
    what = f"train {config.model} {config.adapter.summary} on {rows}"
    lines = [f"{what} for {length} of {recipe.global_batch}{learns}:", *data]
    return Outcome({"model": config.model, "rows": count, "steps": steps}, "\n".join(lines))


def execute(config: TrainConfig, progress: AbstractProgress) -> Outcome:
    """Fine-tune, or continue, and write the checkpoint with its report."""
    from ramekin.train.launch import joined
    from ramekin.train.launched import remarks

    check_trackers(config.track)
    with joined(config.device) as team:
        for remark in remarks():
            progress.say(remark)
        output = Path(team.from_first(str(config.output or fresh_folder("train"))))
        working = unfinished(output)
        text = config_text(config)
        with team.first_alone() as is_first:
            done = is_first and is_done(output, text, config)
            if is_first and not done:
                claim(output, text, config)
        if team.from_first(done):
            return Outcome({**_told(output), "finished_before": True}, f"{output} is finished already")
        try:
            result = _train(in_small(config), output, working, text, progress, team)
        except BaseException:  # Ctrl-C while the data are read, too
            if team.is_first:
                leave_unless_begun(working)
            raise
        if team.is_first:
            shutil.rmtree(working, ignore_errors=True)
        return result


def _places(config: TrainConfig) -> Places:
    """Where things are looked for; in small nothing is looked for."""
    return dataclasses.replace(places_of(config), sample_rows=config.tiny)


@final
@dataclass(frozen=True)
class _Prepared:
    """What a training needs, before its first step."""

    opened: "Opened"
    tokenizer: "PreTrainedTokenizerFast"
    model: Any
    """The opened one, or an adapter's wrapper around it."""
    data: TrainingData


def _prepare(config: TrainConfig, places: Places, progress: AbstractProgress, device: str) -> _Prepared:
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.train.objective import refuse_unpackable
    from ramekin.weights.adapter import attach_adapter
    from ramekin.weights.soft_prompt import refuse_prompt

    refuse_unknown_metric(config, places)
    with progress.stage(f"open {config.model}"):
        opened = open_named(config.model, places, progress, device=device)
        refuse_prompt(opened.model, where=config.model)  # it could not be saved with what is trained now
        tokenizer = load_tokenizer(opened.tokenizer_folder)
    model: Any = opened.model
    if config.adapter.kind != "none":
        model = attach_adapter(model, adapter_recipe(config.adapter, tokenizer), seed=config.seed)
    if config.training.packing:
        refuse_unpackable(model)
    # The last, as it may take long: what is wrong with the model is told before.
    data = read_training_data(config, opened.tokenizer_folder, places, progress)
    return _Prepared(opened, tokenizer, model, data)


def _train(
    config: TrainConfig,
    output: Path,
    working: Path,
    text: str,
    progress: AbstractProgress,
    team: "AbstractTeam",
) -> Outcome:
    from ramekin.train.launch import home_device
    from ramekin.train.loop import finetune

    started = datetime.now(UTC).isoformat(timespec="seconds")
    places = _places(config)
    set_threads(config.threads)
    recipe = dataclasses.replace(config.training, seed=config.seed)
    base, read = inputs_of(config, places)
    prepared = team.first_then_others(lambda: _prepare(config, places, progress, home_device(team)))
    opened, model, data = prepared.opened, prepared.model, prepared.data
    with team.first_alone() as is_first:
        evaluator = (
            training_evaluator(config, places, opened, prepared.tokenizer, progress) if is_first else None
        )
    with (
        progress.stage("train", recipe.total_steps(data.feed.epoch_examples)) as stage,
        followed(
            stage_listener(stage, progress),
            config.track if team.is_first else (),
            project=config.project,
            folder=tracked(output),
            settings=config.model_dump(mode="json"),
        ) as listener,
    ):
        trained = finetune(
            model,
            data.feed,
            recipe,
            run_dir=working,
            resume=True,
            objective=config.objective,
            on_eval=evaluator,
            progress=evaluator.keeps_best(listener) if evaluator else listener,
            team=team,
        )
    with team.first_alone() as is_first:
        if not is_first:
            return Outcome(_values(output, trained, None), "")
        evaluation = evaluator.evaluation(_step_of_result(trained)) if evaluator else None
        if evaluator:
            data = dataclasses.replace(data, counters=(*data.counters, *evaluator.counters))
        lineage = training_lineage(config, opened, data, recipe)
        report = training_report(config, output, started, data, trained, evaluation, lineage, working)
        values = _values(output, trained, evaluation)
        files = {
            **run_files(report, text, working),
            _RESULT: json.dumps(values).encode(),
            INPUTS: inputs_text(base, (*read, *data.inputs)),
        }
        _save(model, opened, output, config, lineage, files)
    return Outcome(values, f"{report_text(report)}\nsaved {output}")


def _values(output: Path, trained: "TrainReport", evaluation: "Evaluation | None") -> dict[str, Any]:
    """What a finished run hands back."""
    step = _step_of_result(trained)
    losses = [done.metrics[LOSS] for done in trained.evals if done.step == step and LOSS in done.metrics]
    return {
        "output": str(output),
        "steps": trained.steps,
        "loss": trained.final_loss,
        **trained.epochs[-1].parts,
        **({"validation_loss": losses[-1]} if losses else {}),
        "seconds": trained.seconds,
        "scores": {p.task: p.headline.value for p in evaluation.tasks} if evaluation is not None else {},
    }


def _told(output: Path) -> dict[str, Any]:
    """What a run handed back when it finished; of one of an older version only where it is."""
    path = output / _RESULT
    return dict(json.loads(path.read_bytes())) if path.is_file() else {"output": str(output)}


def _save(
    model: Any,
    opened: "Opened",
    output: Path,
    config: TrainConfig,
    lineage: "Lineage",
    extra_files: Mapping[str, bytes],
) -> None:
    """Write the trained model, or its adapter, with the files of its run."""
    from ramekin.weights.adapter import save_adapter
    from ramekin.weights.checkpoint import save_checkpoint

    if config.adapter.kind != "none":
        save_adapter(
            model,
            output,
            base=config.model,
            lineage=lineage,
            overwrite=config.overwrite,
            extra_files=extra_files,
        )
        return
    save_checkpoint(
        opened.model,
        output,
        tokenizer_folder=opened.tokenizer_folder,
        lineage=lineage,
        base_folder=opened.base_folder or opened.folder,
        overwrite=config.overwrite,
        extra_files=extra_files,
    )


def _step_of_result(trained: "TrainReport") -> int:
    """After which step the weights were as they are in the result."""
    return trained.steps if trained.best is None else trained.best.step
