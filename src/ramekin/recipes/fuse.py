"""The recipe behind `ramekin fuse`: pool, method, taskpool, FusionBench's JSON and our report.

The pool's `_pretrained_` is the base; the others are merged in their order. `dummy` takes the base as it is.
"""

import dataclasses
import json
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.errors import UsageError
from ramekin.evaluate.mode import MODES
from ramekin.files import refuse_existing, write_json
from ramekin.recipes.evaluated_merge import EvaluatedMerge, evaluated_merge_report
from ramekin.recipes.examination import Examination, examine, examined_rows
from ramekin.recipes.in_place import shared_model
from ramekin.recipes.merge import model_input, plan_text, run_merge
from ramekin.recipes.merge_schema import method_settings
from ramekin.recipes.models import locate
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, pick_device, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.results import finish
from ramekin.recipes.runs import fresh_folder, run_folder
from ramekin.recipes.schema import FuseConfig, PoolMember

if TYPE_CHECKING:
    from ramekin.merge.inputs import ModelInput

__all__ = ["execute", "plan"]

_BASE = "_pretrained_"


def plan(config: FuseConfig) -> Outcome:
    """What would be merged and evaluated; reads headers and rows, loads no weights."""
    places = places_of(config)
    base, models = _inputs(config, places, SilentProgress())
    sets = examined_rows(_examination(config, places, base, SilentProgress()))
    lines = [f"fuse by {config.method['name']}, from {base}:"]
    lines += [f"  {model.name}: {model.folder}" for model in models]
    values: dict[str, Any] = {"method": config.method, "base": str(base)}
    values["models"] = {model.name: str(model.folder) for model in models}
    if config.method["name"] != "dummy":
        from ramekin.merge.plan import plan_merge

        planned = plan_merge(
            config.method["name"],
            base=base,
            models=models,
            output=config.merged_model_save_path,
            overwrite=config.overwrite,
            settings=method_settings(config.method),
        )
        lines.append(plan_text(planned))
        values["merge"] = dataclasses.asdict(planned)
    lines.append(f"then evaluate on {config.taskpool.name}:")
    for each in sets:
        lines += each.preview(MODES[config.taskpool.mode])
    values["rows"] = {each.task.name: len(each.examples) for each in sets}
    return Outcome(values, "\n".join(lines))


def execute(config: FuseConfig, progress: AbstractProgress) -> Outcome:
    """Merge, evaluate and write both reports; returns FusionBench's."""
    save_path = config.report_save_path
    if save_path is not None:
        refuse_existing(save_path, overwrite=config.overwrite)
    if config.merged_model_save_path is not None:
        refuse_existing(config.merged_model_save_path, overwrite=config.overwrite)
    folder = config.output or (save_path.with_suffix("") if save_path else fresh_folder("fuse"))
    if folder == save_path:
        raise UsageError("report_save_path needs a suffix", where=str(save_path), fix=f"say {save_path}.json")
    set_threads(config.threads)
    with ExitStack() as stack:
        # Counting parameters leaves nothing worth a folder.
        needs_folder = bool(config.taskpool.tasks) or config.output is not None
        run = stack.enter_context(run_folder(folder, config)) if needs_folder else None
        return _fuse(config, run, save_path, progress)


def _fuse(
    config: FuseConfig, run: Path | None, save_path: Path | None, progress: AbstractProgress
) -> Outcome:
    from ramekin.evaluate.fusionbench import fusionbench_report, model_info
    from ramekin.weights.seq2seq import parameter_counts

    started = datetime.now(UTC).isoformat(timespec="seconds")
    places = places_of(config)
    base, models = _inputs(config, places, progress)
    examination = _examination(config, places, base, progress)
    sets = examined_rows(examination)
    merged = _merged(config, base, models, progress)
    if not sets or run is None:
        counts = parameter_counts(merged.model)
        result: dict[str, Any] = {"model_info": model_info(counts.trainable, counts.all)}
        if save_path is not None:
            write_json(save_path, result)
        return Outcome(result, str(result))
    evaluation = examine(merged.model, examination, progress=progress, journal=run / "answers")
    result = fusionbench_report(evaluation)
    report = evaluated_merge_report(
        EvaluatedMerge(
            method=config.method,
            suite=config.taskpool.name,
            base=base,
            base_name=config.modelpool.models[_BASE].pretrained_model_name_or_path or base.name,
            models=models,
            sets=sets,
            evaluation=evaluation,
            started=started,
            merge_seconds=merged.seconds,
            warnings=merged.warnings,
        )
    )
    write_json(save_path or run / "program_report.json", result)
    outcome = finish(run, report, evaluation)
    shown = f"{outcome.text()}\n{save_path or run / 'program_report.json'}:\n{json.dumps(result)}"
    return Outcome(result, shown)


def _examination(config: FuseConfig, places: Places, base: Path, progress: AbstractProgress) -> Examination:
    """What the merged model is asked."""
    return Examination(
        tuple(config.taskpool.tasks),
        config.taskpool.split,
        config.taskpool.mode,
        _tokenizer_folder(config, places, base, progress),
        places,
        limit=config.limit,
        seed=config.seed,
        max_input_tokens=config.max_input_tokens,
        batch_tokens=config.batch_tokens,
    )


def _inputs(
    config: FuseConfig, places: Places, progress: AbstractProgress
) -> tuple[Path, list["ModelInput"]]:
    """The folders of the base and, unless the method is `dummy`, of the models."""
    members = dict(config.modelpool.models)
    base = members.pop(_BASE, None)
    if base is None:
        raise UsageError(
            f"the pool has no {_BASE} model",
            fix=f"add modelpool.models.{_BASE}.pretrained_model_name_or_path=…",
        )
    base_folder = _locate_dense(base, places, progress)
    if config.method["name"] == "dummy":
        return base_folder, []
    return base_folder, [_member(name, member, places, progress) for name, member in members.items()]


def _locate_dense(member: PoolMember, places: Places, progress: AbstractProgress) -> Path:
    if member.pretrained_model_name_or_path is None:
        raise UsageError(f"{_BASE} must be a dense checkpoint", fix="give pretrained_model_name_or_path")
    return locate(member.pretrained_model_name_or_path, places, progress)


def _member(name: str, member: PoolMember, places: Places, progress: AbstractProgress) -> "ModelInput":
    path = member.peft_model_path or member.pretrained_model_name_or_path
    assert path is not None  # the schema sees to it
    found: ModelInput = model_input(path, member.base_model_path, places, progress)
    return dataclasses.replace(found, name=name)


@final
@dataclasses.dataclass(frozen=True, slots=True)
class _Merged:
    """A merged model, or the base."""

    model: Any
    seconds: float
    """Of the merge."""
    warnings: tuple[str, ...] = ()


def _merged(
    config: FuseConfig, base: Path, models: Sequence["ModelInput"], progress: AbstractProgress
) -> _Merged:
    """The merged model: written and loaded where it is to be kept, else formed in place; `dummy` is the base.

    The points of a sweep share what is formed in place, so that another scaling factor reads nothing.
    """
    from ramekin.weights.seq2seq import load_model

    device, output = pick_device(config.device), config.merged_model_save_path
    if config.method["name"] == "dummy":
        with progress.stage(f"load {base.name}"):
            return _Merged(load_model(base, device=device), 0.0)
    if output is None:
        with progress.stage("load the base"):
            opened = shared_model(base, models, device=device, hold=False)
        merged = opened.merge(config.method, progress=progress)
        return _Merged(opened.model, merged.seconds, merged.warnings)
    written = run_merge(config.method, base, models, output, progress, overwrite=config.overwrite)
    with progress.stage("load the merged model"):
        return _Merged(load_model(output, device=device), written.seconds, written.warnings)


def _tokenizer_folder(config: FuseConfig, places: Places, base: Path, progress: AbstractProgress) -> Path:
    """The base's own tokenizer, or that of the checkpoint the pool names."""
    from ramekin.weights.beside import has_tokenizer

    if has_tokenizer(base) or config.modelpool.tokenizer is None:
        return base
    return locate(config.modelpool.tokenizer.pretrained_model_name_or_path, places, progress)
