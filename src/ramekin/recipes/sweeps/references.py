"""What the merges of a sweep are to be compared with: the base, and each task by the model tuned on it.

They are evaluated as `ramekin evaluate` does, on the rows and by the rules of the sweep's points, and are
carried out, recorded and found again as points are. Knows nothing of how merges are made.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from ramekin.recipes.compose import words_of
from ramekin.recipes.evaluate_schema import EvaluateConfig
from ramekin.recipes.places import places_of
from ramekin.recipes.results import short_name
from ramekin.recipes.schema import FuseConfig
from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.recipes.sweeps.jobs import RECORDS, PointJob
from ramekin.recipes.sweeps.points import Points, SweepPoint
from ramekin.recipes.sweeps.report import PointResult
from ramekin.recipes.trial_schema import TrialConfig
from ramekin.report.values import AVERAGE, Cell, TableRow, average_cell
from ramekin.weights.layout import is_adapter
from ramekin.weights.lineage import read_lineage
from ramekin.weights.locate import local_folder

__all__ = ["PRE_TRAINED", "TUNED", "References", "own_tasks", "reference_rows", "references_of", "told"]

PRE_TRAINED: Final = "Pre-trained"
TUNED: Final = "Fine-tuned (STL)"
_GROUP: Final = "Reference results"
_SAME_ROWS: Final = ("method", "post", "align", "dtype", "statistics", "device", "threads")
"""Keys that may be swept while the base, the models and what they are asked stay the same."""
_OWN: Final = frozenset(
    {
        "output",
        "overwrite",
        "model",
        "models",
        "base",
        "task",
        "tasks",
        "suite",
        "words",
        "against",
        "answers",
    }
)
"""Keys of an evaluation that are not taken over from a point."""


@final
@dataclass(frozen=True, slots=True)
class References:
    """Evaluations beside the points, and the tasks that each is the reference of."""

    points: Points
    jobs: tuple[PointJob, ...]
    tasks: tuple[tuple[str, ...], ...]
    """What each job evaluates on; the base's are all."""
    has_base: bool
    """Whether the first is the base's."""


@final
@dataclass(frozen=True, slots=True)
class _Asked:
    """A merge's models, and what they are evaluated on."""

    base: str | None
    models: Sequence[tuple[str, str, str | None]]
    """What each is called, its folder or name, and its base where it is an adapter."""
    tasks: tuple[str, ...]
    keys: Mapping[str, Any]
    """How they are asked."""


def references_of(config: AbstractVerbConfig, swept: Sequence[str], job: PointJob) -> References | None:
    """The evaluations that a sweep's points are compared with.

    Args:
        config: of one of its points, whatever that merges by.
        swept: the keys that are swept; where one says what is asked, or of which models, there are none.
        job: that point's, for where things lie.

    Returns:
        Them; None where there are none.
    """
    asked = _asked(config)
    if asked is None or not asked.tasks or any(key.split(".")[0] not in _SAME_ROWS for key in swept):
        return None
    found: list[tuple[str, dict[str, Any], tuple[str, ...]]] = []
    if asked.base is not None:
        found.append(("base", {"model": asked.base}, asked.tasks))
    folders = [local_folder(model, hub_root=places_of(config).hub_root) for _, model, _ in asked.models]
    own = own_tasks(
        [(name, folder) for (name, _, _), folder in zip(asked.models, folders, strict=True)], asked.tasks
    )
    for (name, model, base), folder, tasks in zip(asked.models, folders, own, strict=True):
        if tasks:
            on = {"base": base} if base is not None and folder is not None and is_adapter(folder) else {}
            found.append((name, {"model": model, **on}, tasks))
    jobs, points = [], []
    for place, (name, keys, tasks) in enumerate(found):
        last = name.rstrip("/").rpartition("/")[2]
        label = f"reference={place}-{re.sub('[^A-Za-z0-9_.-]+', '-', last).strip('-.')[:60]}"
        words = words_of({**asked.keys, **keys, "tasks": list(tasks)})
        points.append(SweepPoint(label, (name,), tuple(words)))
        jobs.append(
            PointJob(
                "evaluate",
                tuple(word.removeprefix("++") for word in words),
                None,
                job.output.parent / RECORDS / f"{label}.json",
                job.output.parent / label,
                job.one_thread,
            )
        )
    if not jobs:
        return None
    tasks_of = tuple(tasks for _, _, tasks in found)
    return References(Points(("reference",), tuple(points)), tuple(jobs), tasks_of, asked.base is not None)


def own_tasks(models: Sequence[tuple[str, Path | None]], tasks: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The tasks that each model was tuned on, by its lineage or else its name; each task goes to one model.

    Where several were tuned on a task, it goes to the one that was tuned on the fewest, the first of these.

    Args:
        models: the name of each, and its folder where it is on this machine.
        tasks: those that are asked.

    >>> own_tasks([("runs/rte", None), ("t5_glue-cola", None), ("x", None)], ["glue/cola", "glue/rte"])
    (('glue/rte',), ('glue/cola',), ())
    """
    tuned_on = [_tuned_on(name, folder, tasks) for name, folder in models]
    home: dict[str, int] = {}
    for task in tasks:
        candidates = [place for place, found in enumerate(tuned_on) if task in found]
        if candidates:
            home[task] = min(candidates, key=lambda place: len(tuned_on[place]))
    return tuple(tuple(task for task in tasks if home.get(task) == place) for place in range(len(models)))


def reference_rows(
    references: References, results: Sequence[PointResult | None], columns: Sequence[str]
) -> list[TableRow]:
    """The rows above a sweep's points; a task without a model of its own has no cell.

    Args:
        references: what was evaluated.
        results: what each found; None of one that failed.
        columns: of the table, `AVERAGE` last if it is there.
    """
    rows = []
    start = int(references.has_base)
    if references.has_base and results[0] is not None:
        scores = results[0].scores
        rows.append(TableRow(PRE_TRAINED, tuple(scores.get(column) for column in columns), _GROUP))
    own: dict[str, Cell] = {}
    for result, tasks in zip(results[start:], references.tasks[start:], strict=True):
        if result is not None:
            names = {short_name(task) for task in tasks} | set(tasks)
            own |= {
                column: cell for column, cell in result.scores.items() if column.partition("#")[0] in names
            }
    if own:
        cells = [own.get(column) for column in columns if column != AVERAGE]
        average = [average_cell(cells)] if AVERAGE in columns else []
        rows.append(TableRow(TUNED, (*cells, *average), _GROUP))
    return rows


def told(references: References) -> str:
    """Which model is whose reference, in a sentence; empty where none is."""
    start = int(references.has_base)
    whose = [
        f"{', '.join(map(short_name, tasks))} by {point.values[0]}"
        for point, tasks in zip(references.points.points[start:], references.tasks[start:], strict=True)
    ]
    return f"{TUNED}: each task by the model that was tuned on it ({'; '.join(whose)})." if whose else ""


def _asked(config: AbstractVerbConfig) -> _Asked | None:
    """The models and tasks of a point; None of a verb that merges or evaluates nothing."""
    match config:
        case TrialConfig():
            models = [(name, name, config.base) for name in config.models]
            return _Asked(config.base, models, config.task_names, _keys(config))
        case FuseConfig():
            pool = dict(config.modelpool.models)
            base = pool.pop("_pretrained_", None)
            members = [
                (name, each.peft_model_path or each.pretrained_model_name_or_path or "", each.base_model_path)
                for name, each in pool.items()
            ]
            taskpool = config.taskpool
            keys = {**_keys(config), "split": taskpool.split, "mode": taskpool.mode}
            named = None if base is None else base.pretrained_model_name_or_path
            return _Asked(named, members, tuple(taskpool.tasks), keys)
        case _:
            return None


def _keys(config: AbstractVerbConfig) -> dict[str, Any]:
    """What an evaluation shares with a point, where it is not as it is by default."""
    shared = set(EvaluateConfig.model_fields) & set(type(config).model_fields) - _OWN
    found: dict[str, Any] = json.loads(config.model_dump_json(include=shared, exclude_defaults=True))
    return found


def _tuned_on(name: str, folder: Path | None, tasks: Sequence[str]) -> tuple[str, ...]:
    lineage = None if folder is None else read_lineage(folder)
    said = [] if lineage is None else _tasks_in(lineage.settings)
    if said:
        return tuple(said)
    words = _spelt(name.rstrip("/").rpartition("/")[2])
    return tuple(
        task
        for task in tasks
        if any(
            words == form or words.endswith(f"-{form}") for form in (_spelt(task), _spelt(short_name(task)))
        )
    )


def _tasks_in(settings: Mapping[str, Any]) -> list[str]:
    """The tasks that a training's lineage names, without their templates."""
    named = settings.get("tasks") or [settings.get("task")]
    return [str(each).partition("#")[0] for each in named if each]


def _spelt(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
