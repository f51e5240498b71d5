"""Which merges read rows, and the rows: one task for each model.

This module loads neither weights nor torch.
"""

from typing import TYPE_CHECKING

from ramekin.errors import UsageError
from ramekin.recipes.merge_schema import MergeConfig
from ramekin.recipes.places import places_of

if TYPE_CHECKING:
    from ramekin.recipes.data import TaskExamples

__all__ = ["collects_on_the_way", "examples_of_models", "learns_on_the_way"]


def collects_on_the_way(config: MergeConfig) -> bool:
    """Whether the method of a merge collects what it needs while it merges."""
    from ramekin.merge.methods import find_method

    return find_method(config.method["name"]).statistics == "propagated_gram" or learns_on_the_way(config)


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

    if len(config.data.tasks) != len(config.models):
        raise UsageError(
            f"{config.method['name']} needs the task of each model, to read rows of it",
            expected=f"{len(config.models)} tasks, in the order of the models",
            got=", ".join(config.data.tasks) or "none",
            fix="add tasks=[…]",
        )
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
