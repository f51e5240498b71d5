"""The recipe of a merge that is tried out: formed in place in a loaded model, evaluated, not kept.

`ramekin sweep merge` carries it out at each of its points when it is given tasks. The points of one process
share the loaded model, the models to be merged, and the prompts as tokens.
"""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramekin.evaluate.mode import MODES
from ramekin.recipes.evaluated_merge import EvaluatedMerge, evaluated_merge_report
from ramekin.recipes.examination import Examination, examine, examined_rows
from ramekin.recipes.in_place import InPlaceModel, shared_model
from ramekin.recipes.merge import merge_inputs, plan_text
from ramekin.recipes.merge_schema import method_settings
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import pick_device, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.results import finish, short_name
from ramekin.recipes.runs import fresh_folder, run_folder
from ramekin.recipes.trial_schema import AbstractTrialConfig, TrialConfig

if TYPE_CHECKING:
    from ramekin.merge.inputs import ModelInput

__all__ = ["examination_of", "execute", "merge_plan_of", "opened_for", "plan"]


def plan(config: TrialConfig) -> Outcome:
    """What would be merged and asked; reads headers and rows, loads no weights."""
    base, models = merge_inputs(config, SilentProgress())
    merged = merge_plan_of(config, base, models)
    sets = examined_rows(examination_of(config, base or models[0].folder))
    lines = [merged.text(), "then evaluate:"]
    for each in sets:
        lines += each.preview(MODES[config.mode])
    rows = {each.task.name: len(each.examples) for each in sets}
    return Outcome({"merge": merged.to_json(), "rows": rows}, "\n".join(lines))


def execute(config: TrialConfig, progress: AbstractProgress) -> Outcome:
    """Merge in memory, evaluate, and write the scores."""
    with run_folder(config.output or fresh_folder("trial"), config) as folder:
        return _try(folder, config, progress)


def opened_for(
    config: AbstractTrialConfig, progress: AbstractProgress, *, hold: bool = True
) -> tuple[Path | None, list["ModelInput"], InPlaceModel]:
    """The base, the models, and the model of this process that they are merged into.

    Args:
        config: which they are.
        progress: told what is loaded.
        hold: whether the models stay in memory, where the configuration does not say.
    """
    base, models = merge_inputs(config, progress)
    hold = hold if config.in_memory is None else config.in_memory
    with progress.stage("load the base"):
        opened = shared_model(base, models, device=pick_device(config.device), hold=hold)
    return base, models, opened


def merge_plan_of(config: AbstractTrialConfig, base: Path | None, models: Sequence["ModelInput"]) -> Outcome:
    """What one merge would read, from the headers alone; an unfit pair of models is found here."""
    from ramekin.merge.plan import plan_merge

    planned = plan_merge(
        config.method["name"],
        base=base,
        models=models,
        output=None,
        settings=method_settings(config.method),
        **config.steps,
    )
    return Outcome(dataclasses.asdict(planned), plan_text(planned))


def examination_of(config: AbstractTrialConfig, tokenizer: Path, *, split: str | None = None) -> Examination:
    """What the merged model is asked; of another split than the configuration's where one is given."""
    return Examination(
        config.task_names,
        split or config.split,
        config.mode,
        tokenizer,
        places_of(config),
        templates=config.templates,
        limit=config.limit,
        seed=config.seed,
        max_input_tokens=config.max_input_tokens,
        batch_tokens=config.batch_tokens,
    )


def _try(folder: Path, config: TrialConfig, progress: AbstractProgress) -> Outcome:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    set_threads(config.threads)
    base, models, opened = opened_for(config, progress)
    merged = opened.merge(config.method, progress=progress, **config.steps)
    examination = examination_of(config, opened.tokenizer_folder)
    evaluation = examine(opened.model, examination, progress=progress, journal=folder / "answers")
    report = evaluated_merge_report(
        EvaluatedMerge(
            method=config.method,
            suite=", ".join(map(short_name, config.task_names)),
            base=base,
            base_name=config.base or "",
            models=models,
            sets=examined_rows(examination),
            evaluation=evaluation,
            started=started,
            merge_seconds=merged.seconds,
            warnings=merged.warnings,
        )
    )
    told: dict[str, Any] = {"merge_seconds": merged.seconds, "merge_bytes_read": merged.bytes_read}
    return finish(folder, report, evaluation, told)
