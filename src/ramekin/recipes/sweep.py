"""`ramekin sweep`: a verb at every point of a grid, each in a folder of its own, and one table of results.

A point that is finished has a record and is not done again; one that was interrupted goes on as its verb
does. A grid may be extended: the points that are there already are found. Points run one after the other, or
side by side.
"""

import csv
import importlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ramekin.errors import UsageError
from ramekin.files import folder_lock, write_json, write_text
from ramekin.recipes import schema
from ramekin.recipes.compose import compose
from ramekin.recipes.models import MADE_HERE, locate
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import places_of
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.runs import FREE_KEYS, fresh_folder
from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.recipes.sweeps.points import Points, SweepPoint, sweep_points
from ramekin.recipes.sweeps.report import PointResult, read_report, sweep_report, text_table
from ramekin.recipes.tiny import in_small
from ramekin.recipes.workers import workers
from ramekin.registry import unknown_name
from ramekin.report.write import write_report

__all__ = [
    "RECORDS",
    "PointJob",
    "SweepRequest",
    "check_jobs",
    "composed",
    "execute",
    "plan",
    "run_point",
    "run_points",
    "write_rows",
]

_SCHEMAS: Mapping[str, type[AbstractVerbConfig]] = {
    "train": schema.TrainConfig,
    "evaluate": schema.EvaluateConfig,
    "merge": schema.MergeConfig,
    "fuse": schema.FuseConfig,
}
RECORDS = "points"
"""The folder of the records of finished points."""


@final
@dataclass(frozen=True)
class SweepRequest:
    """What a user asks for: a verb, its words, and how many points run side by side."""

    verb: str
    words: tuple[str, ...]
    config_file: Path | None = None
    workers: int = 1
    """0 takes one a core."""


@final
@dataclass(frozen=True)
class PointJob:
    """One point, to be carried out in whatever process."""

    verb: str
    words: tuple[str, ...]
    """But for the output."""
    config_file: Path | None
    record: Path
    """A file that says that the point is finished, with its values."""
    output: Path
    one_thread: bool
    whereabouts: tuple[str, ...] = ()
    """Further words, that say where things are and decide nothing."""

    @property
    def told(self) -> list[str]:
        """The words that decide what the point computes."""
        return [word for word in self.words if word.partition("=")[0].lstrip("+") not in FREE_KEYS]


def plan(request: SweepRequest) -> Outcome:
    """The points with their commands; each is checked as its verb would, and nothing is carried out."""
    points, folder, jobs = _asked(request)
    lines = [f"{len(jobs)} points of ramekin {request.verb}, below {folder}:"]
    lines += [f"  {point.name}" for point in points.points]
    values = {"verb": request.verb, "keys": list(points.keys), "points": [list(job.words) for job in jobs]}
    return Outcome(values, "\n".join(lines))


def execute(request: SweepRequest, progress: AbstractProgress) -> Outcome:
    """Carry out every point that is not finished, and write the table of all."""
    points, folder, jobs = _asked(request)
    with folder_lock(folder):
        results = run_points(points, jobs, request.workers, progress)
        return _written(request.verb, points, results, folder)


def run_points(
    points: Points, jobs: Sequence[PointJob], num_workers: int, progress: AbstractProgress
) -> list[PointResult]:
    """The results of all points in their order; those that are finished are only read.

    Raises:
        RamekinError: a point failed; what the others made stays, and the same command goes on from there.
    """
    done: dict[int, Mapping[str, Any]] = {}
    for position, job in enumerate(jobs):
        record = _record_of(job)
        if record is not None:
            done[position] = record
    left = [position for position in range(len(jobs)) if position not in done]
    if done:
        progress.say(f"{len(done)} of {len(jobs)} points are finished already")
    with progress.stage("sweep", len(jobs)) as stage:
        stage.advance(len(done))
        if len(left) > 1 and num_workers != 1:
            _make_bases([jobs[position] for position in left], progress)
        with workers(num_workers if len(left) > 1 else 1) as pool:
            for place, values in pool.run(run_point, [jobs[position] for position in left]):
                done[left[place]] = values
                stage.advance(1, points.points[left[place]].name)
    return [
        PointResult(point, done[position], read_report(jobs[position].output))
        for position, point in enumerate(points.points)
    ]


def run_point(job: PointJob) -> Mapping[str, Any]:
    """Carry out one point and record its values."""
    if job.one_thread:
        import torch

        torch.set_num_threads(1)
    config = composed(job)
    if job.verb != "train" and job.output.exists() and not _is_unfinished(job.output):
        # Finished, yet without a record: killed between the two. Its verb would refuse to overwrite it.
        config = config.model_copy(update={"overwrite": True})
    module = importlib.import_module(f"ramekin.recipes.{job.verb}")
    values = json.loads(json.dumps(module.execute(config, SilentProgress()).to_json(), default=str))
    write_json(job.record, {"verb": job.verb, "words": job.told, "values": values})
    return dict(values)


def _is_unfinished(output: Path) -> bool:
    """Whether a run folder was left before its report was written; the same command goes on with it."""
    return (output / "config.yaml").is_file() and not (output / "report.json").is_file()


def composed(job: PointJob) -> AbstractVerbConfig:
    """The configuration of a point.

    Raises:
        UsageError: its words are wrong.
    """
    quoted = str(job.output).replace("\\", "\\\\").replace("'", "\\'")
    words = [*job.words, *job.whereabouts, f"output='{quoted}'"]
    return compose(job.verb, _SCHEMAS[job.verb], words, config_file=job.config_file)


def _record_of(job: PointJob) -> Mapping[str, Any] | None:
    """What a finished point recorded; None if it is not finished.

    Raises:
        UsageError: another point of the same name is there.
    """
    if not job.record.is_file() or composed(job).overwrite:
        return None
    record = json.loads(job.record.read_text(encoding="utf-8"))
    if (record["verb"], record["words"]) != (job.verb, job.told):
        raise UsageError(
            "the folder holds a point of another sweep",
            where=str(job.record),
            expected=" ".join(job.told),
            got=" ".join(record["words"]),
            fix="choose another output",
        )
    return dict(record["values"])


def _asked(request: SweepRequest) -> tuple[Points, Path, list[PointJob]]:
    """The points and their jobs, all of them checked."""
    if request.verb not in _SCHEMAS:
        raise UsageError(unknown_name("verb to sweep", request.verb, _SCHEMAS))
    given = [word.partition("=") for word in request.words]
    outputs = [value for key, _, value in given if key.lstrip("+") == "output"]
    folder = Path(outputs[-1].strip("'\"")) if outputs else fresh_folder(f"sweep-{request.verb}")
    points = sweep_points([word for word in request.words if word.partition("=")[0].lstrip("+") != "output"])
    jobs = [_job(request, point, folder) for point in points.points]
    check_jobs(jobs)
    return points, folder, jobs


def check_jobs(jobs: Sequence[PointJob]) -> None:
    """Check the words of all points as their verbs would.

    Raises:
        UsageError: some are wrong; all problems at once.
    """
    problems = []
    # Those that differ in where things are alone are right or wrong together.
    for job in {(job.verb, job.words, job.config_file): job for job in jobs}.values():
        try:
            composed(job)
        except UsageError as error:
            problems.append(f"{job.output.name}: {error}")
    if problems:
        raise UsageError.of_problems(problems)


def _job(request: SweepRequest, point: SweepPoint, folder: Path) -> PointJob:
    record = folder / RECORDS / f"{point.name}.json"
    parallel = request.workers != 1
    return PointJob(
        request.verb, point.words, request.config_file, record, folder / point.name, one_thread=parallel
    )


def _make_bases(jobs: Sequence[PointJob], progress: AbstractProgress) -> None:
    """Make the bases that are made on the spot, before processes would make one each."""
    for job in jobs:
        config = composed(job)
        if isinstance(config, schema.TrainConfig):
            config = in_small(config)
        named = [getattr(config, key) for key in ("model", "base") if key in type(config).model_fields]
        for name in sorted({name for name in named if name in MADE_HERE}):
            locate(name, places_of(config), progress)


def _written(verb: str, points: Points, results: Sequence[PointResult], folder: Path) -> Outcome:
    """Leave the table as report, JSON and CSV."""
    report = sweep_report(verb, points, results)
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
