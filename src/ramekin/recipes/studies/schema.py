"""The configuration of `ramekin study`: the axes of its grid, what is trained and evaluated at each point."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Self, TypeAlias, final

from pydantic import Field, model_validator

from ramekin.recipes.settings import AbstractSettings, AbstractVerbConfig, Natural
from ramekin.registry import dotted, unknown_name
from ramekin.text.mixing.adjustments import Inclusion

__all__ = ["StudyConfig", "StudyPlan", "TaskCount"]

_OF_A_MODEL: Final[Mapping[str, str]] = {"model": "models", "output": "output"}
_OF_THE_GRID: Final[Mapping[str, str]] = {
    **_OF_A_MODEL,
    "seed": "seeds",
    "mixture.seed": "seeds",
    "mixture.cot": "cot",
    "mixture.num_tasks": "num_tasks",
    "mixture.num_tasks_of": "num_tasks",
}
"""Keys that a point has from an axis, and from which."""

TaskCount: TypeAlias = Natural | str
"""So many tasks, drawn; or the name of a set of them."""


@final
class StudyPlan(AbstractSettings):
    """A grid, number of tasks by model by chains of thought by seed, and what is done at each point."""

    name: str
    title: str
    num_tasks: tuple[TaskCount, ...]
    """How many tasks without chains of thought are trained on: so many that are drawn, or one of `task_sets`.
    0 is the model as it is, or with chains of thought these alone."""
    models: tuple[str, ...]
    """Of `sizes`; any other name is a model's."""
    cot: tuple[Inclusion, ...] = ("leave_out", "include")
    """What becomes of chains of thought: without them, with them, or they alone."""
    seeds: tuple[Natural, ...] = (0,)
    """Of the tasks that are drawn, the order of the examples and the dropout."""
    train: dict[str, Any]
    """The keys of `ramekin train` that all points share; among them a mixture."""
    sizes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The keys that a size of model adds to these, `model` among them."""
    task_sets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The keys of a set of tasks, by its name or number: which mixtures go, `{mixture: {without: [cot]}}`."""
    evaluations: dict[str, dict[str, Any]]
    """The keys of `ramekin evaluate` by the name of an evaluation, each of which is a table and a picture."""
    workers: Natural = 1
    """Points side by side, one thread each; 0 takes one a core."""

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        for axis in ("num_tasks", "models", "cot", "seeds"):
            values = getattr(self, axis)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{axis} needs one value or several that differ, got {list(values)}")
        for each in self.num_tasks:
            if isinstance(each, str) and each not in self.task_sets:
                raise ValueError(unknown_name("set of tasks", each, self.task_sets))
        if "mixture" not in self.train and "recipe" not in self.train:
            raise ValueError("train needs a mixture, whose tasks are drawn")
        if not self.evaluations:
            raise ValueError("evaluations needs at least one: {held_out: {tasks: [glue/rte], mode: rank}}")
        if nameless := [name for name, keys in self.sizes.items() if "model" not in keys]:
            raise ValueError(f"sizes.{nameless[0]} needs a model: {{model: google/flan-t5-small}}")
        if problems := list(self._overruled()):
            raise ValueError("; ".join(problems))
        return self

    def _overruled(self) -> Iterator[str]:
        """Keys that the grid would overrule in some points or all of them."""
        of_size = {key: axis for key, axis in _OF_THE_GRID.items() if key != "model"}
        of_set = {key: axis for key, axis in _OF_THE_GRID.items() if axis != "num_tasks"}
        keys: list[tuple[str, Mapping[str, Any], Mapping[str, str]]] = [
            ("train", self.train, _OF_THE_GRID),
            *((f"sizes.{name}", each, of_size) for name, each in self.sizes.items()),
            *((f"task_sets.{name}", each, of_set) for name, each in self.task_sets.items()),
            *((f"evaluations.{name}", each, _OF_A_MODEL) for name, each in self.evaluations.items()),
        ]
        for name, values, taken in keys:
            for key in dotted(values):
                if key in taken:
                    yield f"{name}.{key} is the grid's to say: {taken[key]}"


@final
class StudyConfig(AbstractVerbConfig):
    """`ramekin study`. The keys of `study` may be written without it: `num_tasks=[1,4]`."""

    LIFTED: ClassVar[tuple[str, ...]] = ("study",)

    study: StudyPlan

    @model_validator(mode="after")
    def _has_seeds_of_its_own(self) -> Self:
        if self.seed:
            raise ValueError(
                f"a study has an axis of seeds: seeds=[{self.seed}] in place of seed={self.seed}"
            )
        return self
