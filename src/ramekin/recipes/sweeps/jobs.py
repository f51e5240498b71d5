"""The points of a sweep as jobs: a verb with its words, to be carried out in whatever process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from ramekin.errors import UsageError
from ramekin.recipes import schema
from ramekin.recipes.compose import compose
from ramekin.recipes.settings import AbstractVerbConfig

__all__ = ["RECORDS", "SCHEMAS", "PointJob", "check_jobs", "composed"]

SCHEMAS: Final[Mapping[str, type[AbstractVerbConfig]]] = {
    "train": schema.TrainConfig,
    "evaluate": schema.EvaluateConfig,
    "merge": schema.MergeConfig,
    "fuse": schema.FuseConfig,
}
"""The verbs that can be swept."""
RECORDS: Final = "points"
"""The folder of the records of finished points."""
_OF_ONE: Final = ("report_save_path", "merged_model_save_path")
"""Keys that name a file, which one point alone can write."""


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
    trained: "PointJob | None" = None
    """The job whose output is the model that this one takes."""

    @property
    def whereabouts(self) -> tuple[str, ...]:
        """Further words, that say where things are."""
        return () if self.trained is None else (f"model={_quoted(self.trained.output)}",)


def composed(job: PointJob) -> AbstractVerbConfig:
    """The configuration of a point.

    Raises:
        UsageError: its words are wrong.
    """
    words = [*job.words, *job.whereabouts, f"output={_quoted(job.output)}"]
    return compose(job.verb, SCHEMAS[job.verb], words, config_file=job.config_file)


def check_jobs(jobs: Sequence[PointJob]) -> None:
    """Check the words of all points as their verbs would.

    Raises:
        UsageError: some are wrong, or several would write one file; all problems at once.
    """
    problems, written = [], set()
    # Those that differ in where things are alone are right or wrong together.
    for job in {(job.verb, job.words, job.config_file): job for job in jobs}.values():
        try:
            config = composed(job)
        except UsageError as error:
            problems.append(f"{job.output.name}: {error}")
            continue
        for key in _OF_ONE:
            path = getattr(config, key, None)
            if path is not None and (key, path) in written:
                problems.append(f"{job.output.name}: {key}: another point writes {path} (leave the key out)")
            written.add((key, path))
    if problems:
        raise UsageError.of_problems(problems)


def _quoted(path: Path) -> str:
    """A path as a value in Hydra's grammar."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
