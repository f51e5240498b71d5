"""The configuration of a merge that is tried out: a point of `ramekin sweep merge` with tasks."""

from typing import Self, final

from pydantic import model_validator

from ramekin.recipes.merge_schema import AbstractModelsConfig, MethodConfig
from ramekin.recipes.settings import AbstractTaskVerbConfig, ModeName, PositiveInt

__all__ = ["AbstractTrialConfig", "TrialConfig"]


class AbstractTrialConfig(AbstractModelsConfig, AbstractTaskVerbConfig):
    """Merges in memory and the tasks they are evaluated on."""

    method: MethodConfig
    split: str = "validation"
    mode: ModeName = "fusionbench"
    limit: PositiveInt | None = None
    batch_tokens: PositiveInt = 8192
    max_input_tokens: PositiveInt = 512
    in_memory: bool | None = None
    """Whether the models that are merged stay in memory from one merge to the next; None: where there is
    room, and more than the scaling factor changes, which needs no model anew."""

    @model_validator(mode="after")
    def _is_formed_from_models(self) -> Self:
        from ramekin.merge.methods import find_method, parse_method

        found = find_method(self.method["name"])
        if found.learns(parse_method(self.method)):
            raise ValueError(
                f"method: {found.name} learns its weights on rows; merge to a folder, and evaluate that, or "
                "give method.weights"
            )
        if found.statistics == "propagated_gram":
            raise ValueError(
                f"method: {self.method['name']} reads rows while it merges; merge to a folder, and evaluate "
                "that"
            )
        return self

    @model_validator(mode="after")
    def _has_a_task(self) -> Self:
        if not self.task_names:
            raise ValueError("needs a task: task=glue/rte, or tasks=[glue/rte,glue/cola]")
        return self


@final
class TrialConfig(AbstractTrialConfig):
    """A merge in memory, evaluated."""
