"""The learning rate as a pure function of the step: nothing to save, nothing to restore.

Of step s in 0 … N - 1, with highest rate η, final rate φ, w warm-up steps, and the progress past the warm-up
x = (s - w) / (N - w):

    warm-up (s < w)        η (s + 1) / w
    constant               η
    linear                 φ + (η - φ) (1 - x)
    cosine                 φ + (η - φ) (1 + cos πx) / 2      (Loshchilov & Hutter 2017, arXiv 1608.03983)
    inverse_square_root    η √(w / s), with w = 1 and s + 1 where there is no warm-up
                           (Vaswani et al. 2017, arXiv 1706.03762; T5: Raffel et al. 2020, arXiv 1910.10683)

The warm-up is one step ahead of transformers': it reaches η at its last step and wastes none on a rate of
zero. After it every schedule equals transformers' at the same step; only an inverse square root without a
warm-up does not, for which transformers stretches time by 10,000 steps.
"""

import math

from ramekin.train.recipe import Recipe

__all__ = ["learning_rate_at", "warmup_remark"]


def warmup_remark(recipe: Recipe, total_steps: int) -> str | None:
    """What the user should know of a warm-up that the run does not get past."""
    if recipe.warmup_steps <= total_steps:
        return None
    highest = learning_rate_at(recipe, total_steps - 1, total_steps)
    return (
        f"the warm-up of {recipe.warmup_steps} steps is longer than the run of {total_steps}: "
        f"the learning rate ends at {highest:g} and never reaches {recipe.learning_rate:g}"
    )


def learning_rate_at(recipe: Recipe, step: int, total_steps: int) -> float:
    """The rate of the update that follows `step` finished ones.

    Args:
        recipe: its learning_rate, final_learning_rate, schedule and warmup_steps count.
        step: steps already taken, from 0; from `total_steps` on the rate is the final one.
        total_steps: of the run.
    """
    highest, final, warmup = recipe.learning_rate, recipe.final_learning_rate, recipe.warmup_steps
    if step < warmup:
        return highest * (step + 1) / warmup
    if recipe.schedule == "constant":
        return highest
    if recipe.schedule == "inverse_square_root":
        return highest * (math.sqrt(warmup / step) if warmup else 1 / math.sqrt(step + 1))
    left = max(0, total_steps - step) / max(1, total_steps - warmup)
    share = left if recipe.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2
    return final + (highest - final) * share
