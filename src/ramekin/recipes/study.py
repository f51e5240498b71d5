"""`ramekin study`: number of tasks by size of model by chains of thought, trained, scored and drawn.

Flan 2022's question (Chung et al., arXiv 2210.11416, sections 3 and 4): what do more tasks, a larger model
and data with chains of thought each bring on held-out tasks? Every point is a training and its evaluations,
carried out as the points of a sweep are: what is finished is found done.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ramekin.files import folder_lock
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.results import report_text
from ramekin.recipes.runs import fresh_folder
from ramekin.recipes.studies.plan import planned, refuse_lacking, sizes_of
from ramekin.recipes.studies.points import KEYS, StudyPoint, study_points
from ramekin.recipes.studies.report import Found, rows_of, study_report
from ramekin.recipes.studies.schema import StudyConfig
from ramekin.recipes.sweep import failed_points, run_points, write_rows
from ramekin.recipes.sweeps.jobs import PointJob, check_jobs
from ramekin.recipes.sweeps.points import Points, SweepPoint
from ramekin.recipes.sweeps.records import read_record
from ramekin.recipes.sweeps.report import PointResult
from ramekin.report.write import write_report

__all__ = ["execute", "plan"]


def plan(config: StudyConfig) -> Outcome:
    """The grid with its sizes and commands; nothing is read but the catalogue."""
    folder, points = _asked(config)
    return planned(config.study, folder, points)


def execute(config: StudyConfig, progress: AbstractProgress) -> Outcome:
    """Train and score every point that is not finished; write the tables and the pictures of all.

    Raises:
        UsageError: a point's tasks are not there, or there are fewer; nothing is begun.
        RamekinError: a point failed; what the others made stays, and the same command goes on from there.
    """
    folder, points = _asked(config)
    sizes = sizes_of(points)
    refuse_lacking(points, sizes)
    with folder_lock(folder):
        _forget_lost(points)
        trainings = {each.training: each.point for each in points if each.training is not None}
        trained = _carried_out(config, trainings, folder, progress)
        scorings = {job: each.point for each in points for job in each.evaluations.values()}
        scored = _carried_out(config, scorings, folder, progress)
        found = [
            Found(
                point,
                size,
                trained[point.training].values if point.training is not None else {},
                {name: scored[job].scores for name, job in point.evaluations.items()},
            )
            for point, size in zip(points, sizes, strict=True)
        ]
        report = study_report(config.study, found)
        write_report(report, folder)
        rows = rows_of(found)
        write_rows(folder, "study", KEYS, rows)
    values = {"output": str(folder), "study": config.study.name, "keys": list(KEYS), "points": rows}
    return Outcome(values, f"{report_text(report)}\nwritten to {folder}")


def _asked(config: StudyConfig) -> tuple[Path, tuple[StudyPoint, ...]]:
    """The folder and the points, all of their words checked."""
    folder = config.output or fresh_folder(f"study-{config.study.name}")
    points = study_points(config, folder)
    jobs = [job for point in points for job in (point.training, *point.evaluations.values())]
    check_jobs([job for job in jobs if job is not None])
    return folder, points


def _forget_lost(points: Sequence[StudyPoint]) -> None:
    """Forget trainings whose model is gone while an evaluation still needs it: they are carried out again.

    Raises:
        UsageError: a finished point is of another study.
    """
    for point in points:
        is_scored = all([read_record(each) is not None for each in point.evaluations.values()])
        job = point.training
        if job is not None and read_record(job) is not None and not job.output.exists() and not is_scored:
            job.record.unlink()


def _carried_out(
    config: StudyConfig, jobs: Mapping[PointJob, SweepPoint], folder: Path, progress: AbstractProgress
) -> dict[PointJob, PointResult]:
    points = Points(KEYS, tuple(jobs.values()))
    results, failures = run_points(points, list(jobs), config.study.workers, progress)
    if failures:
        raise failed_points(failures, len(jobs), folder)
    return {job: result for job, result in zip(jobs, results, strict=True) if result is not None}
