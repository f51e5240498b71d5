"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

from ramekin.train.recipe import Recipe

__all__ = ["learning_rate_at"]


def learning_rate_at(recipe: Recipe, step: int, total_steps: int) -> float:
    """The rate of the update that follows `step` finished ones.

    Linear warm-up reaches the full rate at its last step and wastes none on a rate of zero. `linear` then
    falls to zero just after the last step; where there is no warm-up it equals
    `transformers.get_linear_schedule_with_warmup`.

    Args:
        recipe: its learning_rate, schedule and warmup_steps count.
        step: steps already taken, from 0.
        total_steps: of the run.
    """
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.learning_rate
    left = total_steps - step
    return recipe.learning_rate * max(0, left) / max(1, total_steps - recipe.warmup_steps)
