"""The configuration of `ramekin merge statistics`."""

from typing import Annotated, Literal, Self, final

from pydantic import AfterValidator, model_validator

from ramekin.recipes.adaptation import refuse_evaluation_split
from ramekin.recipes.settings import AbstractTaskVerbConfig, PositiveInt

__all__ = ["StatisticsConfig"]


def _once(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if not kinds or len(set(kinds)) != len(kinds):
        raise ValueError("expected fisher, gram, or both")
    return kinds


@final
class StatisticsConfig(AbstractTaskVerbConfig):
    """`ramekin merge statistics`."""

    model: str
    base: str | None = None
    """Of an adapter, instead of the one that it records."""
    split: str = "train"
    allow_evaluation_split: bool = False
    """Whether rows may be used that models are evaluated on."""
    limit: PositiveInt | None = 256
    """Rows of each task."""
    kinds: Annotated[tuple[Literal["fisher", "gram"], ...], AfterValidator(_once)] = ("fisher", "gram")
    fisher: Literal["sampled", "empirical"] = "sampled"
    """Whether the Fisher information is of targets drawn from the model, or of the gold ones."""
    batch_tokens: PositiveInt = 8192
    max_input_tokens: PositiveInt = 512
    max_target_tokens: PositiveInt = 128
    input_eos: bool = True
    """Whether inputs end with `</s>`: T5's and Flan-T5's do, T0's do not."""

    @model_validator(mode="after")
    def _is_to_be_had(self) -> Self:
        if not self.task_names:
            raise ValueError("needs a task: task=glue/rte, or tasks=[glue/rte,glue/cola]")
        if self.output is None:
            raise ValueError("statistics need a place: add output=DIR")
        refuse_evaluation_split(self.split, allowed=self.allow_evaluation_split)
        return self
