"""Which objective, with its numbers, checked when they are put together.

Knows nothing of tensors, so that a configuration is checked without torch.
"""

from dataclasses import asdict, dataclass, fields
from typing import final, get_args

from ramekin.errors import UsageError
from ramekin.registry import unknown_name
from ramekin.text.flip import ObjectiveName
from ramekin.train.ranges import Range, out_of_range

__all__ = ["ObjectiveName", "ObjectiveRecipe"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveRecipe:
    """What is learned from an example.

    Raises:
        UsageError: a name or a number is out of range, a number means nothing to the objective, or label
            smoothing meets unlikelihood; all problems at once.
    """

    name: ObjectiveName = "direct"
    """`direct` learns the target from the inputs; `channel` the prompt from the target; `flipped` the
    instruction from the inputs and the label, and to deny it under a wrong label."""
    label_smoothing: float = 0.0
    """The share of each target's probability that is spread evenly over the vocabulary."""
    unlikelihood_weight: float = 3.0
    """Of the unlikelihood term, `flipped` only; 0 leaves the inputs under a wrong label out.

    The paper does not state its weight: 3 is read off the name of a checkpoint that its authors published."""
    clamp: float = 1e-6
    """`flipped` only: where the instruction is this sure under the wrong label, its denial pulls no more."""

    def __post_init__(self) -> None:
        problems = [*_wrong_name(self), *out_of_range(_numbers(self), _RANGES), *_misfits(self)]
        if problems:
            raise UsageError.of_problems(problems)

    @property
    def needs_wrong_inputs(self) -> bool:
        """Whether examples need inputs under a wrong label."""
        return self.name == "flipped" and self.unlikelihood_weight > 0


def _wrong_name(recipe: ObjectiveRecipe) -> list[str]:
    known = get_args(ObjectiveName)
    return [] if recipe.name in known else [unknown_name("objective", recipe.name, known)]


def _numbers(recipe: ObjectiveRecipe) -> dict[str, float]:
    return {key: value for key, value in asdict(recipe).items() if key in _RANGES}


def _misfits(recipe: ObjectiveRecipe) -> list[str]:
    """Numbers that cannot go together: nothing that was asked for may be left undone without a word."""
    if recipe.name in ("direct", "channel"):
        changed = [f for f in fields(recipe) if f.name in _FLIPPED and getattr(recipe, f.name) != f.default]
        return [f"{f.name}: the objective '{recipe.name}' has none; only 'flipped' has" for f in changed]
    if recipe.needs_wrong_inputs and recipe.label_smoothing > 0:
        return [
            "label_smoothing: expected 0 with unlikelihood, which would deny the smoothed labels, too; "
            f"got {recipe.label_smoothing}"
        ]
    return []


_FLIPPED = ("unlikelihood_weight", "clamp")
_RANGES: dict[str, Range] = {
    "label_smoothing": (0, 0.99, True),
    "unlikelihood_weight": (0, 1e6, True),
    "clamp": (1e-8, 0.1, True),
}
