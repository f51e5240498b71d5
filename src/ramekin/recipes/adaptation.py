"""The rows that a merge is fitted to, and which splits are for that.

A method with data sees rows before it is evaluated, so they are of a split that is not evaluated on, unless a
user says so. This module knows nothing of methods.
"""

import re
from typing import Final, Self, final

from pydantic import model_validator

from ramekin.recipes.settings import AbstractSettings, PositiveInt

__all__ = ["AdaptationConfig", "refuse_evaluation_split"]

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
