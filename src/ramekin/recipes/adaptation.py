"""The rows that a merge is fitted to, and which splits are for that.

A method with data sees rows before it is evaluated, so they are of a split that is not evaluated on, unless a
user says so. This module knows nothing of methods.
"""

import re
from typing import Annotated, Final, Literal, Self, TypeAlias, final

from pydantic import Field, model_validator

from ramekin.recipes.settings import AbstractSettings, PositiveInt

__all__ = ["AdaptationConfig", "Granularity", "LearningConfig", "refuse_evaluation_split"]

Granularity: TypeAlias = Literal["task", "layer", "tensor"]
"""What has a weight of its own: a model, a model's layer, or a model's tensor."""

_EVALUATION: Final = re.compile(r"(^|[-_/.])(validation|valid|val|dev|test|eval|evaluation)(?=$|[-_/.\d])")


def refuse_evaluation_split(split: str, *, allowed: bool) -> None:
    """Refuse to fit a merge to rows that it would be evaluated on.

    Raises:
        ValueError: the split's name is that of an evaluation split, and it is not allowed.

    >>> refuse_evaluation_split("train", allowed=False)
    """
    if not allowed and _EVALUATION.search(split.lower()):
        raise ValueError(
            f"split: '{split}' is a split that models are evaluated on, so that scores on it would flatter a "
            "model that was merged by it; fix: split=train, or add allow_evaluation_split=true"
        )


@final
class AdaptationConfig(AbstractSettings):
    """Rows of tasks, for methods that collect what they need while they merge."""

    tasks: tuple[str, ...] = ()
    """One for each model, in their order."""
    templates: str = "first"
    split: str = "train"
    allow_evaluation_split: bool = False
    """Whether rows may be used that models are evaluated on."""
    limit: PositiveInt | None = 256
    """Rows of each task."""
    batch_tokens: PositiveInt = 8192
    max_input_tokens: PositiveInt = 512
    max_target_tokens: PositiveInt = 128
    input_eos: bool = True
    """Whether inputs end with `</s>`: T5's and Flan-T5's do, T0's do not."""

    @model_validator(mode="after")
    def _is_not_for_evaluation(self) -> Self:
        refuse_evaluation_split(self.split, allowed=self.allow_evaluation_split)
        return self


@final
class LearningConfig(AbstractSettings):
    """How the weights of `adamerging` are learned; the authors' values are the defaults, but for `per`.

    Their layer is a single tensor (`per=tensor`).
    """

    per: Granularity = "layer"
    """A layer is a block of the encoder or the decoder; what is in none stands by itself."""
    initial: float = 0.3
    """What every weight begins at."""
    steps: PositiveInt = 500
    """How often the weights are changed."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's."""
    batch_size: PositiveInt = 16
    """Inputs of each task in a step."""
    clamp: bool = True
    """Keep the weights from 0 to 1."""
