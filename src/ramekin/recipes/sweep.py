"""`ramekin sweep`: a verb at every point of a grid, each in a folder of its own, and one table of results.

A point that is finished has a record and is not done again; one that was interrupted goes on as its verb
does, and one that fails does not keep the others from being done. A grid may be extended: the points that are
there already are found. Points run one after the other, or side by side.
"""

import csv
import importlib
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ramekin import errors
from ramekin.errors import DataError, RamekinError, UsageError, WeightsError
from ramekin.files import folder_lock, write_json, write_text
from ramekin.recipes import schema
from ramekin.recipes.bases.names import MADE_HERE
from ramekin.recipes.compose import compose
from ramekin.recipes.models import locate
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import places_of
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.runs import config_text, fresh_folder
from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.recipes.sweeps.jobs import RECORDS, SCHEMAS, PointJob, carried_out, check_jobs, composed
from ramekin.recipes.sweeps.points import Points, SweepPoint, is_key, sweep_points
from ramekin.recipes.sweeps.records import (
    PointRecord,
    files_read,
    has_begun,
    read_record,
    write_begun,
    write_record,
)
from ramekin.recipes.sweeps.references import References, reference_rows, references_of, told
from ramekin.recipes.sweeps.report import PointResult, columns_of, sweep_report, text_table
from ramekin.recipes.tiny import in_small
from ramekin.recipes.workers import AbstractWorkers, workers
from ramekin.registry import unknown_name
from ramekin.report.write import write_report

__all__ = ["SweepRequest", "execute", "failed_points", "plan", "run_points", "write_rows"]


_OF_THE_SWEEP = ("cluster", "references")


@final
@dataclass(frozen=True)
class SweepRequest:
    """What a user asks for: a verb, its words, and how many points run side by side."""

    verb: str
    words: tuple[str, ...]
    config_file: Path | None = None
    workers: int = 1
    """0 takes one a core; on a cluster, 1 too takes all that it has room for."""

    @property
    def cluster(self) -> str | None:
        """Where the points are carried out, if not here: `ray`.

        Raises:
            UsageError: no such cluster.
        """
        found = [word.partition("=")[2] for word in self.words if is_key(word, "cluster")]
        if found and found[-1] not in ("ray", "null"):
            raise UsageError(unknown_name("cluster", found[-1], ("ray",)))
        return "ray" if found and found[-1] == "ray" else None

    @property
    def asked(self) -> tuple[str, ...]:
        """The words that are the verb's."""
        return tuple(word for word in self.words if not any(is_key(word, key) for key in _OF_THE_SWEEP))

    @property
    def with_references(self) -> bool:
        """Whether the base and the models themselves are evaluated beside their merges.

        Raises:
            UsageError: neither true nor false.
        """
        found = [word.partition("=")[2].lower() for word in self.words if is_key(word, "references")]
        if found and found[-1] not in ("true", "false"):
            raise UsageError("references is true or false", got=found[-1])
        return not found or found[-1] == "true"


def plan(request: SweepRequest) -> Outcome:
    """The points with their commands; each is checked as its verb would, and nothing is carried out."""
    points, folder, jobs, references = _asked(request)
    lines = [f"{len(jobs)} points of ramekin {request.verb}, below {folder}:"]
    lines += [f"  {point.name}" for point in points.points]
    values = {"verb": request.verb, "keys": list(points.keys), "points": [list(job.words) for job in jobs]}
    if references is not None:
        lines.append("to be compared with:")
        lines += [
            f"  {point.values[0]} on {', '.join(tasks)}"
            for point, tasks in zip(references.points.points, references.tasks, strict=True)
        ]
        values["references"] = [list(job.words) for job in references.jobs]
    return Outcome(values, "\n".join(lines))


def execute(request: SweepRequest, progress: AbstractProgress) -> Outcome:
    """Carry out every point that is not finished, and write the table of all that are.

    Raises:
        RamekinError: points failed; the table has the others.
    """
    points, folder, jobs, references = _asked(request)
    all_points = (*points.points, *(references.points.points if references is not None else ()))
    all_jobs = (*jobs, *(references.jobs if references is not None else ()))
    with folder_lock(folder):
        found, failures = run_points(
            Points(points.keys, all_points), all_jobs, request.workers, progress, cluster=request.cluster
        )
        of_points, of_references = found[: len(jobs)], found[len(jobs) :]
        done = Points(points.keys, tuple(p for p, each in zip(points.points, of_points, strict=True) if each))
        results = [each for each in of_points if each is not None]
        outcome = (
            _written(request.verb, done, results, folder, references, of_references) if results else None
        )
    if failures or outcome is None:
        raise failed_points(failures, len(all_jobs), folder)
    return outcome


def run_points(
    points: Points,
    jobs: Sequence[PointJob],
    num_workers: int,
    progress: AbstractProgress,
    *,
    cluster: str | None = None,
) -> tuple[list[PointResult | None], Sequence["_Failure"]]:
    """The results of all points in their order; those that are finished are only read.

    Args:
        points: what is swept.
        jobs: one a point.
        num_workers: how many are carried out side by side; 0 takes one a core.
        progress: told of each that is finished.
        cluster: `ray` carries them out on a Ray cluster.

    Returns:
        The results, None of a point whose data or numbers are at fault, and what was wrong with those.

    Raises:
        UsageError: a finished point is of another sweep.
        RamekinError: no point can be carried out: the disk is full, or a signal came.
    """
    records = [read_record(job) for job in jobs]
    done = {position: record for position, record in enumerate(records) if record is not None}
    left = [position for position in range(len(jobs)) if position not in done]
    failures: list[_Failure] = []
    if done:
        progress.say(f"{len(done)} of {len(jobs)} points are finished already")
    with progress.stage("sweep", len(jobs)) as stage:
        stage.advance(len(done))
        if len(left) > 1 and (num_workers != 1 or cluster):
            _make_bases([jobs[position] for position in left], progress)
        with _pool([jobs[position] for position in left], num_workers, cluster) as pool:
            for place, result in pool.run(_attempt, [jobs[position] for position in left]):
                name = points.points[left[place]].name
                if isinstance(result, PointRecord):
                    done[left[place]] = result
                else:
                    failures.append(result)
                    progress.say(f"{name} failed: {result.message}")
                stage.advance(1, name)
    return [
        PointResult(point, done[position].values, done[position].report) if position in done else None
        for position, point in enumerate(points.points)
    ], failures


def _pool(
    jobs: Sequence[PointJob], num_workers: int, cluster: str | None
) -> AbstractContextManager[AbstractWorkers]:
    """Where points are carried out."""
    if cluster is None or not jobs:
        return workers(num_workers if len(jobs) > 1 else 1)
    from ramekin.recipes.ray_workers import ray_workers

    on_gpus = composed(jobs[0]).device != "cpu"
    return ray_workers(num_workers if num_workers > 1 else 0, num_jobs=len(jobs), on_gpus=on_gpus)


@final
@dataclass(frozen=True)
class _Failure:
    """A point that could not be carried out."""

    name: str
    kind: str
    """The name of the exception's class."""
    message: str


def failed_points(failures: Sequence[_Failure], total: int, folder: Path) -> RamekinError:
    """What to raise when all else is done: that points failed, by the name of each."""
    error: RamekinError = getattr(errors, failures[0].kind)(
        f"{len(failures)} of {total} points failed; the others are finished",
        where=str(folder),
        got="; ".join(f"{each.name}: {each.message}" for each in failures),
        fix="mend them and run the same command again, or leave them out of the grid",
    )
    return error


def _attempt(job: PointJob) -> "PointRecord | _Failure":
    """Carry out one point; faults of its own numbers or data must not keep the others from being done."""
    try:
        return _run_point(job)
    except (DataError, UsageError, WeightsError) as error:
        return _Failure(job.output.name, type(error).__name__, str(error))


def _run_point(job: PointJob) -> PointRecord:
    """Carry out one point and record what it found."""
    if job.one_thread:
        import torch

        torch.set_num_threads(1)
    config = composed(job)
    if _is_its_own(job, config):
        write_begun(job)  # in place of a record that is made anew
        if job.verb != "train" and job.output.exists() and not _is_unfinished(job.output):
            # Finished, yet without a record: killed between the two. Its verb would refuse to overwrite it.
            config = config.model_copy(update={"overwrite": True})
    else:
        job.record.unlink(missing_ok=True)
    files = files_read(config)
    module = importlib.import_module(f"ramekin.recipes.{job.verb}")
    values = module.execute(config, SilentProgress()).to_json()
    return write_record(job, json.loads(json.dumps(values, default=str)), files=files)


def _is_its_own(job: PointJob, config: AbstractVerbConfig) -> bool:
    """Whether the folder of a point is still to be made, or holds what this very point left in it.

    Anything else there is somebody's: whether it may go is for the verb to refuse.
    """
    saved = job.output / "config.yaml"
    is_same = saved.is_file() and saved.read_text(encoding="utf-8") == config_text(config)
    return is_same or not job.output.exists() or has_begun(job)


def _is_unfinished(output: Path) -> bool:
    """Whether a run folder was left before its report was written; the same command goes on with it."""
    return (output / "config.yaml").is_file() and not (output / "report.json").is_file()


def _asked(request: SweepRequest) -> tuple[Points, Path, list[PointJob], References | None]:
    """The points and their jobs, and what they are compared with, all of them checked."""
    verb = carried_out(request.verb, request.asked, request.config_file)
    outputs = [word for word in request.asked if is_key(word, "output")]
    points = sweep_points([word for word in request.asked if not is_key(word, "output")])
    check_jobs([_job(request, verb, points.keys, point, Path()) for point in points.points])
    # Through the configuration, so that a file may say it, and a word be written as the verb takes it.
    first = [*points.points[0].words, *outputs]
    output = compose(verb, SCHEMAS[verb], first, config_file=request.config_file).output
    folder = output or fresh_folder(f"sweep-{request.verb}")
    jobs = [_job(request, verb, points.keys, point, folder) for point in points.points]
    references = references_of(composed(jobs[0]), points.keys, jobs[0]) if request.with_references else None
    if references is not None:
        check_jobs(references.jobs)
    return points, folder, jobs, references


def _job(request: SweepRequest, verb: str, keys: Sequence[str], point: SweepPoint, folder: Path) -> PointJob:
    record = folder / RECORDS / f"{point.name}.json"
    parallel = request.workers != 1 or request.cluster is not None
    words = point.words
    if (
        verb == "trial"
        and keys == ("method.scaling_factor",)
        and not any(is_key(w, "in_memory") for w in words)
    ):
        words = (*words, "in_memory=false")  # for another scaling factor no model is needed anew
    return PointJob(verb, words, request.config_file, record, folder / point.name, one_thread=parallel)


def _make_bases(jobs: Sequence[PointJob], progress: AbstractProgress) -> None:
    """Make the bases that are made on the spot, before processes would make one each."""
    for job in jobs:
        config = composed(job)
        if isinstance(config, schema.TrainConfig):
            config = in_small(config)
        named = [getattr(config, key) for key in ("model", "base") if key in type(config).model_fields]
        for name in sorted({name for name in named if name in MADE_HERE}):
            locate(name, places_of(config), progress)


def _written(
    verb: str,
    points: Points,
    results: Sequence[PointResult],
    folder: Path,
    references: References | None,
    of_references: Sequence[PointResult | None],
) -> Outcome:
    """Leave the table as report, JSON and CSV."""
    if references is None:
        report = sweep_report(verb, points, results)
    else:
        rows_beside = reference_rows(references, of_references, columns_of(results))
        report = sweep_report(verb, points, results, rows_beside, told(references))
    write_report(report, folder)
    rows = [result.row(points.keys) for result in results]
    columns = write_rows(folder, verb, points.keys, rows)
    values = {"output": str(folder), "verb": verb, "keys": list(points.keys), "points": rows}
    return Outcome(values, f"{text_table(report, columns, rows)}\nwritten to {folder}")


def write_rows(
    folder: Path, verb: str, keys: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> Sequence[str]:
    """Write the points as `results.csv` and `results.json`; hands back the columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "results.csv", text.getvalue())
    write_json(folder / "results.json", {"verb": verb, "keys": list(keys), "points": list(rows)})
    return columns
