"""Which merges read rows, and the rows: one task for each model.

This module loads neither weights nor torch.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ramekin.errors import UsageError
from ramekin.recipes.merge_schema import MergeConfig
from ramekin.recipes.places import places_of

if TYPE_CHECKING:
    from ramekin.recipes.data import TaskExamples

__all__ = [
    "collects_on_the_way",
    "examples_of_models",
    "learns_on_the_way",
    "reads_rows",
    "refuse_lacking_tasks",
]


def reads_rows(method: Mapping[str, Any]) -> bool:
    """Whether a method, with its settings, reads rows of each model's task while it merges."""
    from ramekin.merge.methods import find_method, parse_method

    found = find_method(method["name"])
    return found.statistics == "propagated_gram" or found.learns(parse_method(method))


def refuse_lacking_tasks(method: str, tasks: Sequence[str], models: Sequence[str]) -> None:
    """Refuse another number of tasks than of models.

    Raises:
        UsageError: there is not one task for each model.
    """
    if len(tasks) != len(models):
        raise UsageError(
            f"{method} needs the task of each model, to read rows of it",
            expected=f"{len(models)} tasks, in the order of the models",
            got=", ".join(tasks) or "none",
            fix="add tasks=[…]",
        )


def collects_on_the_way(config: MergeConfig) -> bool:
    """Whether the method of a merge collects what it needs while it merges."""
    return reads_rows(config.method)


def learns_on_the_way(config: MergeConfig) -> bool:
    """Whether the settings of a merge's method are learned before it merges."""
    from ramekin.merge.methods import find_method, parse_method

    return find_method(config.method["name"]).learns(parse_method(config.method))


def examples_of_models(config: MergeConfig) -> tuple["TaskExamples", ...]:
    """The rows of each model's task.

    Raises:
        UsageError: there is not one task for each model.
    """
    from ramekin.recipes.data import training_examples

    refuse_lacking_tasks(config.method["name"], config.data.tasks, config.models)
    return tuple(
        found
        for task in config.data.tasks
        for found in training_examples(
            [task],
            split=config.data.split,
            templates=config.data.templates,
            limit=config.data.limit,
            places=places_of(config),
        )
    )
