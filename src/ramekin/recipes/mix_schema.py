"""The configuration of `ramekin mix plan`, `preview` and `build`."""

from typing import ClassVar, Self, final

from pydantic import model_validator

from ramekin.recipes.mixture_config import MixtureConfig
from ramekin.recipes.schema import TrainingNumbers
from ramekin.recipes.settings import AbstractVerbConfig, Natural, PositiveInt, UserPath
from ramekin.train.objectives.recipe import ObjectiveRecipe
from ramekin.train.recipe import Recipe

__all__ = ["MixConfig"]


@final
class MixConfig(AbstractVerbConfig):
    """`ramekin mix`. The keys of `training` may be written without it: `max_steps=30000`."""

    LIFTED: ClassVar[tuple[str, ...]] = ("training",)
    NAMED: ClassVar[tuple[str, ...]] = ("mixture",)

    mixture: MixtureConfig
    model: str | None = None
    """Whose vocabulary counts; or give `tokenizer`."""
    tokenizer: UserPath | None = None
    """A folder with a vocabulary."""
    input_eos: bool = True
    """Whether inputs end with `</s>`: T5's and Flan-T5's do, T0's do not."""
    objective: ObjectiveRecipe = ObjectiveRecipe()
    training: TrainingNumbers = Recipe(epochs=1)
    rows: PositiveInt = 8
    """Examples that a preview shows."""
    cache: UserPath | None = None
    """Where tokens are kept; None: in the user's cache."""
    workers: Natural = 0
    """Processes that read and tokenise side by side; 0 takes one a core."""

    @model_validator(mode="after")
    def _has_a_vocabulary(self) -> Self:
        if (self.model is None) == (self.tokenizer is None):
            raise ValueError("needs a vocabulary: model=NAME, or tokenizer=DIR")
        return self
