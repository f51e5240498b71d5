"""What a study would do: its grid, what each training takes, and the commands that carry it out by hand.

Only the catalogue and the configurations are read: no data, no weights, no network.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ramekin.errors import RamekinError
from ramekin.recipes.mixtures.prepare import resolved_mixture
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import places_of
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.study_points import KEYS, StudyPoint
from ramekin.recipes.study_schema import StudyPlan
from ramekin.recipes.sweep import PointJob, composed
from ramekin.recipes.tiny import in_small
from ramekin.text.mixing.mixture import Mixture, task_parts

__all__ = ["TrainingSize", "planned", "size_of"]


@final
@dataclass(frozen=True, slots=True)
class TrainingSize:
    """What a training takes; of a model that is taken as it is, nothing."""

    num_tasks: int | None = 0
    """Those that have another form than chains of thought; None where the mixture cannot be put together."""
    num_cot_tasks: int | None = 0
    lack: str = ""
    """Why it cannot."""
    steps: int | None = 0
    """None where passes over the data are counted."""
    examples: int | None = 0
    """That its steps draw."""
    tokens_at_most: int | None = 0
    """That its steps read and write if every example is as long as examples may be."""


def size_of(job: PointJob | None) -> TrainingSize:
    """What a training takes, as far as it can be told without its data."""
    if job is None:
        return TrainingSize()
    config = composed(job)
    assert isinstance(config, TrainConfig)
    config = in_small(config)
    mixture_config, recipe = config.mixture, config.training
    assert mixture_config is not None, "the words of a point name a part of one"
    steps = recipe.max_steps
    examples = None if steps is None else steps * recipe.global_batch
    longest = recipe.max_input_tokens + recipe.max_target_tokens
    num_tasks = num_cot_tasks = None
    lack = ""
    try:
        mixture = resolved_mixture(mixture_config, places_of(config))
        num_tasks, num_cot_tasks = _counts(mixture)
    except RamekinError as error:
        lack = str(error)
    tokens = None if examples is None else examples * longest
    return TrainingSize(num_tasks, num_cot_tasks, lack, steps, examples, tokens)


def _counts(mixture: Mixture) -> tuple[int, int]:
    """The tasks of a mixture, and those of them that it has in chains of thought alone."""
    every = {part.task for _, part in task_parts(mixture)}
    plain = {part.task for each, part in task_parts(mixture) if any(f.cot == "none" for f in each.forms)}
    return len(plain), len(every - plain)


def planned(study: StudyPlan, folder: Path, points: Sequence[StudyPoint]) -> Outcome:
    """The grid with what each point takes, and its commands."""
    sizes = [size_of(point.training) for point in points]
    total = sum(size.tokens_at_most or 0 for size in sizes)
    lines = [
        f"{study.title}: {len(points)} models below {folder}",
        *_aligned(_rows(points, sizes)),
        f"tasks: those without reasoning; tokens at most, {total:,} in all: if every example were as long as",
        "it may be (with the data at hand, ramekin mix plan tells how long they are)",
        *dict.fromkeys(f"not counted: {size.lack}" for size in sizes if size.lack),
        "",
        *(line for point in points for line in _commands(point)),
    ]
    values = [
        {
            **dict(zip(KEYS, point.point.values, strict=True)),
            "tasks": size.num_tasks,
            "cot_tasks": size.num_cot_tasks,
            "steps": size.steps,
            "examples": size.examples,
            "tokens_at_most": size.tokens_at_most,
            "commands": _commands(point),
        }
        for point, size in zip(points, sizes, strict=True)
    ]
    told = {"study": study.name, "output": str(folder), "tokens_at_most": total, "points": values}
    return Outcome(told, "\n".join(lines))


def _rows(points: Sequence[StudyPoint], sizes: Sequence[TrainingSize]) -> list[tuple[str, ...]]:
    """The grid, its header first: points that differ in their seed alone are one line."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for point, size in zip(points, sizes, strict=True):
        tasks = str(point.num_tasks) if size.num_tasks is None else str(size.num_tasks)
        numbers = (size.num_cot_tasks, size.steps, size.examples, size.tokens_at_most)
        told = (point.model, tasks, *("?" if number is None else f"{number:,}" for number in numbers))
        lines.setdefault(told, []).append("-" if point.seed is None else str(point.seed))
    header = ("model", "tasks", "with reasoning", "steps", "examples", "tokens at most", "seeds")
    return [header, *((*told, ",".join(seeds)) for told, seeds in lines.items())]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)) for row in rows]


def _commands(point: StudyPoint) -> list[str]:
    """What one would type to do the same by hand."""
    jobs = [job for job in (point.training, *point.evaluations.values()) if job is not None]
    words = ([job.verb, *job.words, *job.whereabouts, f"output={job.output}"] for job in jobs)
    return [shlex.join(["ramekin", *each]) for each in words]
