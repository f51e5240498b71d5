"""The points of a sweep as jobs: a verb with its words, to be carried out in whatever process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from ramekin.errors import UsageError
from ramekin.recipes import schema
from ramekin.recipes.compose import compose
from ramekin.recipes.evaluate_schema import EvaluateConfig
from ramekin.recipes.merge_schema import MergeConfig
from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.recipes.trial_schema import TrialConfig
from ramekin.registry import unknown_name
from ramekin.text.strict_yaml import read_yaml

__all__ = ["RECORDS", "SCHEMAS", "VERBS", "PointJob", "carried_out", "check_jobs", "composed"]

SCHEMAS: Final[Mapping[str, type[AbstractVerbConfig]]] = {
    "train": schema.TrainConfig,
    "evaluate": EvaluateConfig,
    "merge": MergeConfig,
    "fuse": schema.FuseConfig,
    "trial": TrialConfig,
}
"""What a point can carry out."""
VERBS: Final = ("train", "evaluate", "merge", "fuse")
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


def carried_out(verb: str, words: Sequence[str], config_file: Path | None) -> str:
    """What the points of a verb carry out: a merge that is given tasks is tried out, in memory.

    Raises:
        UsageError: the verb cannot be swept, or there is no such file.
    """
    if verb not in VERBS:
        raise UsageError(unknown_name("verb to sweep", verb, VERBS))
    data = read_yaml(config_file) if verb == "merge" and config_file is not None else None
    keys = [word.partition("=")[0].lstrip("+") for word in words]
    keys += list(data) if isinstance(data, Mapping) else []
    return "trial" if verb == "merge" and {"task", "tasks"} & set(keys) else verb


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
