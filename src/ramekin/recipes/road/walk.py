"""The whole road: a base, one fine-tuning a task (whole and LoRA), merges, a sweep of λ, one report.

`ramekin demo` walks it on the built-in world and `ramekin run recipe=real_text` on real text; only their
configurations differ. Every checkpoint lies in the run's folder under `models/`, whole or not there, so the
same command continues a walk that was interrupted.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

from ramekin.recipes.bases.made import MadeBase, make_base
from ramekin.recipes.bases.names import WORLD_BASES
from ramekin.recipes.bases.world import ensure_world_base, refuse_another
from ramekin.recipes.data import TaskExamples, training_examples
from ramekin.recipes.examination import Examination, examined_rows
from ramekin.recipes.merge import run_merge
from ramekin.recipes.places import Places, places_of
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.results import short_name
from ramekin.recipes.road.jobs import (
    Evaluated,
    EvaluateJob,
    FineTuned,
    FineTuneJob,
    Kind,
    SweepJob,
    run_evaluation,
    run_fine_tuning,
    run_sweep,
)
from ramekin.recipes.schema import RoadConfig, RunConfig
from ramekin.recipes.workers import Workers, workers
from ramekin.report.values import DataOrigin, Timing
from ramekin.train.recipe import Recipe

if TYPE_CHECKING:
    from ramekin.merge.inputs import ModelInput
    from ramekin.text.score import Score

__all__ = ["Merged", "Walk", "walk"]

J = TypeVar("J")
R = TypeVar("R")


@final
@dataclass(frozen=True)
class Merged:
    """One merge of a road."""

    method: Mapping[str, Any]
    kind: str
    folder: Path
    sha256: str
    warnings: tuple[str, ...]


@final
@dataclass
class Walk:
    """Everything a road found, as it is found."""

    config: RoadConfig
    base: MadeBase
    base_name: str
    started: str
    origins: tuple[DataOrigin, ...] = ()
    tuned: list[FineTuned] = field(default_factory=list)
    merged: list[Merged] = field(default_factory=list)
    scores: dict[str, Evaluated] = field(default_factory=dict)
    """By job name: `base`, `full/rte`, `lora/rte`, `merged/full/ties_merging`."""
    sweep: tuple[Evaluated, ...] = ()
    baseline: dict[str, "Score"] = field(default_factory=dict)
    timings: list[Timing] = field(default_factory=list)


def walk(config: RunConfig, folder: Path, progress: AbstractProgress) -> Walk:
    """Walk the road, leaving checkpoints and predictions in `folder`."""
    road, places = config.recipe, places_of(config)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    clock = time.perf_counter()
    base = _base(config, road, places, folder, progress)
    found = Walk(road, base, road.base.name, started)
    found.timings.append(Timing("make the base", time.perf_counter() - clock))
    examination = Examination(
        road.tasks, road.split, road.mode, base.folder, places, limit=road.eval_rows, seed=config.seed
    )
    validation = examined_rows(examination)
    found.origins = tuple(each.origin for each in validation)
    with workers(road.workers) as pool:
        with _timed(found, "fine-tune"):
            jobs = _fine_tunings(config, base.folder, places, folder)
            found.tuned = _collect(pool, run_fine_tuning, jobs, progress, "fine-tune", _after_tuning)
        with _timed(found, "merge"):
            found.merged = _merge_all(road, base.folder, found.tuned, folder, progress)
        with _timed(found, "evaluate"):
            _evaluate_all(found, examination, folder, pool, progress)
    if road.baseline:
        with _timed(found, "baseline"), progress.stage("TF-IDF baseline", len(road.tasks)) as stage:
            found.baseline = _baseline(config, validation, places, lambda: stage.advance(1))
    return found


def _base(
    config: RunConfig, road: RoadConfig, places: Places, folder: Path, progress: AbstractProgress
) -> MadeBase:
    if road.base.name in WORLD_BASES:
        refuse_another(road.base, road.tasks)
        return MadeBase(ensure_world_base(road.base.name, places.world_seed, progress), None, 0.0)
    output = folder / "models" / "base"
    if (output / "ramekin.json").is_file():
        return MadeBase(output, None, 0.0)
    return make_base(road.base, road.tasks, places, output, config.seed, progress)


def _fine_tunings(config: RunConfig, base: Path, places: Places, folder: Path) -> list[FineTuneJob]:
    road = config.recipe
    kinds: tuple[tuple[Kind, Recipe | None], ...] = (("full", road.full), ("lora", road.lora))
    return [
        FineTuneJob(
            task,
            kind,
            base,
            road.base.name,
            folder / "models" / kind / short_name(task),
            replace(recipe, seed=config.seed),
            road.adapter,
            road.train_rows,
            places,
        )
        for kind, recipe in kinds
        if recipe is not None
        for task in road.tasks
    ]


def _after_tuning(result: FineTuned) -> str:
    return f"{result.kind} {short_name(result.task)}: loss {result.losses.losses[-1]:.3f}"


def _collect(
    pool: Workers,
    function: Callable[[J], R],
    jobs: Sequence[J],
    progress: AbstractProgress,
    title: str,
    note: Callable[[R], str],
) -> list[R]:
    """Run jobs with their progress shown; results in the order of the jobs."""
    results: dict[int, R] = {}
    with progress.stage(title, len(jobs)) as stage:
        for position, result in pool.run(function, jobs):
            results[position] = result
            stage.advance(1, note(result))
    return [results[position] for position in range(len(jobs))]


def _inputs(tuned: Sequence[FineTuned], kind: str, base: Path) -> list["ModelInput"]:
    from ramekin.merge.inputs import ModelInput

    return [
        ModelInput(short_name(t.task), t.folder, base if kind == "lora" else None)
        for t in tuned
        if t.kind == kind
    ]


def _merge_all(
    road: RoadConfig, base: Path, tuned: Sequence[FineTuned], folder: Path, progress: AbstractProgress
) -> list[Merged]:
    """Every method on the whole models and on the adapters."""
    from ramekin.weights.lineage import weights_sha256

    merged = []
    for kind in dict.fromkeys(t.kind for t in tuned):
        for method in road.methods:
            output = folder / "models" / "merged" / kind / method["name"]
            warnings: tuple[str, ...] = ()
            if not (output / "ramekin.json").is_file():
                report = run_merge(method, base, _inputs(tuned, kind, base), output, progress)
                warnings = report.warnings
            merged.append(Merged(method, kind, output, weights_sha256(output), warnings))
    return merged


def _evaluate_all(
    found: Walk, examination: Examination, folder: Path, pool: Workers, progress: AbstractProgress
) -> None:
    """Evaluate base, tuned and merged models and the sweep, everything side by side."""
    base, road = found.base.folder, found.config
    places = {"base": base}
    places |= {f"{t.kind}/{short_name(t.task)}": t.folder for t in found.tuned}
    places |= {f"merged/{m.kind}/{m.method['name']}": m.folder for m in found.merged}
    jobs: list[EvaluateJob | SweepJob] = []
    if road.sweep is not None:
        # First, because it is the longest.
        kind = "full" if road.full is not None else "lora"
        models = tuple(_inputs(found.tuned, kind, base))
        jobs.append(
            SweepJob(
                road.sweep.method,
                base,
                models,
                road.sweep.factors,
                examination,
                folder / "evaluations" / "sweep",
            )
        )
    jobs += [
        EvaluateJob(name, place, base, examination, folder / "evaluations" / name)
        for name, place in places.items()
    ]
    results = _collect(pool, _run_job, jobs, progress, "evaluate", lambda each: each[-1].label)
    for job, result in zip(jobs, results, strict=True):
        if isinstance(job, SweepJob):
            found.sweep = result
        else:
            found.scores[job.label] = result[0]


def _run_job(job: EvaluateJob | SweepJob) -> tuple[Evaluated, ...]:
    return run_sweep(job) if isinstance(job, SweepJob) else (run_evaluation(job),)


def _baseline(
    config: RunConfig, validation: Sequence[TaskExamples], places: Places, advance: Callable[[], None]
) -> dict[str, "Score"]:
    """A bag-of-words line for every task, on the rows the models were tuned and evaluated on."""
    from ramekin.evaluate.baseline import bag_of_words

    scores = {}
    for each in validation:
        (training,) = training_examples(
            [each.task.name],
            split="train",
            templates="first",
            limit=config.recipe.train_rows,
            places=places,
        )
        scores[each.task.name] = bag_of_words(
            training.examples,
            each.examples,
            kind=each.task.kind,
            options=each.task.options,
            seed=config.seed,
        )
        advance()
    return scores


@contextmanager
def _timed(found: Walk, stage: str) -> Iterator[None]:
    clock = time.perf_counter()
    yield
    found.timings.append(Timing(stage, time.perf_counter() - clock))
