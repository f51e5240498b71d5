"""What a study would do: its grid, what each training takes, and the commands that carry it out by hand.

Only the catalogue and the configurations are read: no data, no weights, no network.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, final

from ramekin.errors import RamekinError, UsageError
from ramekin.recipes.mixture_config import MixtureConfig
from ramekin.recipes.mixtures.prepare import resolved_mixture
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, places_of
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.studies.points import KEYS, StudyPoint
from ramekin.recipes.studies.schema import StudyPlan
from ramekin.recipes.sweeps.jobs import PointJob, composed
from ramekin.recipes.tiny import in_small
from ramekin.text.mixing.mixture import Mixture, task_parts

__all__ = ["TrainingSize", "planned", "refuse_lacking", "sizes_of"]

_Counted: TypeAlias = tuple[int | None, int | None, str]
"""Tasks, tasks in chains of thought alone, and why there are none."""
_QUOTED = re.compile(r"'([A-Za-z][\w./-]*)'")
_NOT_TEXT = frozenset(("null", "true", "false", "nan", "inf"))


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


def sizes_of(points: Sequence[StudyPoint]) -> tuple[TrainingSize, ...]:
    """What each point's training takes, as far as it can be told without its data."""
    counted: dict[tuple[MixtureConfig, Places], _Counted] = {}
    return tuple(_size(point.training, counted) for point in points)


def refuse_lacking(points: Sequence[StudyPoint], sizes: Sequence[TrainingSize]) -> None:
    """Refuse a grid with points that cannot be trained, before any is.

    Raises:
        UsageError: the tasks of some are not there; all are named.
    """
    lacks = [f"{p.point.name}: {size.lack}" for p, size in zip(points, sizes, strict=True) if size.lack]
    if lacks:
        raise UsageError.of_problems(lacks)


def _size(job: PointJob | None, counted: dict[tuple[MixtureConfig, Places], _Counted]) -> TrainingSize:
    if job is None:
        return TrainingSize()
    config = composed(job)
    assert isinstance(config, TrainConfig)
    config = in_small(config)
    recipe, places = config.training, places_of(config)
    assert config.mixture is not None, "the words of a point name a part of one"
    # Points of other models and seeds have the same mixtures, and a large one takes a while.
    mixture = config.mixture if config.mixture.num_tasks else config.mixture.model_copy(update={"seed": 0})
    if (mixture, places) not in counted:
        counted[mixture, places] = _counted(mixture, places)
    steps = recipe.max_steps
    examples = None if steps is None else steps * recipe.global_batch
    tokens = None if examples is None else examples * (recipe.max_input_tokens + recipe.max_target_tokens)
    return TrainingSize(*counted[mixture, places], steps, examples, tokens)


def _counted(config: MixtureConfig, places: Places) -> _Counted:
    try:
        return (*_counts(resolved_mixture(config, places)), "")
    except RamekinError as error:
        return None, None, str(error)


def _counts(mixture: Mixture) -> tuple[int, int]:
    """The tasks of a mixture, and those of them that it has in chains of thought alone."""
    every = {part.task for _, part in task_parts(mixture)}
    plain = {part.task for each, part in task_parts(mixture) if any(f.cot == "none" for f in each.forms)}
    return len(plain), len(every - plain)


def planned(study: StudyPlan, folder: Path, points: Sequence[StudyPoint]) -> Outcome:
    """The grid with what each point takes, and its commands."""
    sizes = sizes_of(points)
    total = sum(size.tokens_at_most or 0 for size in sizes)
    lines = [
        f"{study.title}: {len(points)} models below {folder}",
        *_aligned(_rows(points, sizes)),
        "tasks: without chains of thought; with cot: in chains of thought alone; tokens at most: if each",
        f"example were as long as it may be, {total:,} in all (ramekin mix plan reads the data and counts)",
        *dict.fromkeys(f"not counted: {size.lack}" for size in sizes if size.lack),
        "",
        *(_command(point.training) for point in points if point.training is not None),
        "then, of each of these models:",
        *(_command(job, each=True) for job in points[-1].evaluations.values()),
    ]
    values = [
        {
            **dict(zip(KEYS, point.point.values, strict=True)),
            "tasks": size.num_tasks,
            "cot_tasks": size.num_cot_tasks,
            "steps": size.steps,
            "examples": size.examples,
            "tokens_at_most": size.tokens_at_most,
            "commands": [_command(job) for job in (point.training, *point.evaluations.values()) if job],
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
        told = (
            point.model,
            tasks,
            point.cot,
            *("?" if number is None else f"{number:,}" for number in numbers),
        )
        lines.setdefault(told, []).append("-" if point.seed is None else str(point.seed))
    header = ("model", "tasks", "cot", "with cot", "steps", "examples", "tokens at most", "seeds")
    return [header, *((*told, ",".join(seeds)) for told, seeds in lines.items())]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)) for row in rows]


def _command(job: PointJob, *, each: bool = False) -> str:
    """What one would type to do the same by hand.

    Args:
        job: a training or an evaluation.
        each: of whichever model.
    """
    words = [word for word in job.words if not (each and word.startswith("model="))]
    where = ["model=MODEL", "output=FOLDER"] if each else [*job.whereabouts, f"output='{job.output}'"]
    shown = (_QUOTED.sub(_unquoted, word) for word in (*words, *where))
    return " ".join(["ramekin", job.verb, *map(_in_shell, shown)])


def _in_shell(word: str) -> str:
    """A word as a shell takes it: one with quotation marks of its own between double ones, to be read."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def _unquoted(found: re.Match[str]) -> str:
    """A quoted text without its quotation marks, where it is read as a text without them too."""
    return found[0] if found[1].lower() in _NOT_TEXT else found[1]
