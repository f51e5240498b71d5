"""The points of a study: which tasks a model is trained on, with which reasoning, and how it is scored.

Each point is words of `ramekin train` and of `ramekin evaluate`, carried out as those of a sweep are. Knows
nothing of what they find.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from ramekin.errors import UsageError
from ramekin.recipes.compose import words_of
from ramekin.recipes.studies.schema import StudyConfig, StudyPlan, TaskCount
from ramekin.recipes.sweeps.jobs import RECORDS, PointJob
from ramekin.recipes.sweeps.points import SweepPoint, named_point
from ramekin.text.mixing.adjustments import Inclusion

__all__ = ["KEYS", "StudyPoint", "study_points"]

KEYS: Final = ("num_tasks", "model", "cot", "seed")
"""What tells points apart."""
_SHARED: Final = (
    "device",
    "threads",
    "data_root",
    "tasks_root",
    "hub_root",
    "world_seed",
    "bad_rows",
    "quarantine",
    "overwrite",
)


@final
@dataclass(frozen=True)
class StudyPoint:
    """One model of a study."""

    point: SweepPoint
    """Its values are those of `KEYS`; "" where there is no seed."""
    num_tasks: TaskCount
    model: str
    """As the study calls it."""
    cot: Inclusion
    seed: int | None
    """None of a model that is taken as it is."""
    training: PointJob | None
    """None: the model is taken as it is."""
    evaluations: Mapping[str, PointJob]
    """By the name of the evaluation."""


def study_points(config: StudyConfig, folder: Path) -> tuple[StudyPoint, ...]:
    """The points of a grid, the seed changing fastest; a model that is taken as it is stands once.

    Args:
        config: the study.
        folder: what it writes to, a folder a training and a folder an evaluation.

    Raises:
        UsageError: two points would have one folder.
    """
    plan = config.study
    found: dict[str, StudyPoint] = {}
    for model in plan.models:
        for num_tasks in plan.num_tasks:
            for cot in plan.cot:
                for seed in plan.seeds:
                    is_tuned = num_tasks != 0 or cot != "leave_out"
                    each = _point(config, folder, num_tasks, model, cot, seed if is_tuned else None)
                    if found.setdefault(each.point.name, each) != each:
                        raise UsageError(
                            "two points of the study would have one folder",
                            got=each.point.name,
                            fix="give models names that differ in more than such signs",
                        )
    return tuple(found.values())


def _point(
    config: StudyConfig, folder: Path, num_tasks: TaskCount, model: str, cot: Inclusion, seed: int | None
) -> StudyPoint:
    plan, shared = config.study, _shared(config)
    values = (str(num_tasks), model, cot, "" if seed is None else str(seed))
    given = [(key, value) for key, value in zip(KEYS, values, strict=True) if value]
    point = SweepPoint(named_point(*zip(*given, strict=True)).name, values, ())
    one_thread = plan.workers != 1
    training = None
    if seed is not None:
        words = [*_train_words(plan, num_tasks, model, cot, seed), *shared]
        record = folder / RECORDS / f"{point.name}.json"
        training = PointJob("train", tuple(words), None, record, folder / point.name, one_thread)
    untuned = [] if training is not None else _words({"model": _model_keys(plan, model)["model"]})
    evaluations = {}
    for name, keys in plan.evaluations.items():
        label = f"{point.name},evaluation={name}"
        evaluations[name] = PointJob(
            "evaluate",
            (*untuned, *_words(keys), *shared),
            None,
            folder / RECORDS / f"{label}.json",
            folder / label,
            one_thread,
            trained=training,
        )
    return StudyPoint(point, num_tasks, model, cot, seed, training, evaluations)


def _train_words(
    plan: StudyPlan, num_tasks: TaskCount, model: str, cot: Inclusion, seed: int
) -> Sequence[str]:
    mixture: dict[str, Any] = {"cot": cot, "seed": seed}
    if num_tasks == 0:
        mixture["cot"] = "only"
    elif isinstance(num_tasks, int) and cot != "only":
        mixture |= {"num_tasks": num_tasks, "num_tasks_of": "without_cot"}
    tasks = plan.task_sets.get(str(num_tasks), {})
    return [
        *_words(plan.train),
        *_words(_model_keys(plan, model)),
        *_words(tasks),
        *_words({"mixture": mixture, "seed": seed}),
    ]


def _model_keys(plan: StudyPlan, model: str) -> Mapping[str, Any]:
    """The keys of a size, or of a model by its own name."""
    return plan.sizes.get(model, {"model": model})


def _shared(config: StudyConfig) -> list[str]:
    """The keys of every verb that were given another value than their own."""
    given = json.loads(config.model_dump_json(include=set(_SHARED), exclude_defaults=True))
    return _words(given)


def _words(keys: Mapping[str, Any]) -> list[str]:
    """As a user would write them: a key is forced by whoever composes them."""
    return [word.removeprefix("++") for word in words_of(keys)]
