"""Evaluations while training: whether one is due, and who makes it.

The first process evaluates, the others wait and get its numbers, so that all decide alike. Which evaluation
was the best is `selection`'s; knows nothing of tasks or metrics.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ramekin.train.recipe import Recipe
from ramekin.train.strategy import AbstractStrategy
from ramekin.train.tally import Tally
from ramekin.train.team import AbstractTeam

__all__ = ["OnEval", "evaluate", "is_due"]

OnEval = Callable[[Any, int], Mapping[str, float]]
"""From the model (in eval mode) and the number of steps taken to metrics by name."""


def is_due(tally: Tally, recipe: Recipe, *, total_steps: int, epoch_examples: int) -> bool:
    """Whether an evaluation belongs after the last step and has not been made yet."""
    step = tally.step
    at_its_turn = step == total_steps or recipe.evaluates_after(step, epoch_examples)
    return at_its_turn and all(result.step != step for result in tally.evals)


def evaluate(
    strategy: AbstractStrategy, on_eval: OnEval | None, step: int, team: AbstractTeam
) -> Mapping[str, float]:
    """The metrics of the weights as they are; only the first process needs `on_eval`."""
    metrics: Mapping[str, float] = {}
    with strategy.whole_model() as model:
        # Nothing of the run hangs on the global random state, but what `on_eval` draws should not either.
        with team.first_alone(), torch.random.fork_rng(devices=[]), torch.no_grad():
            if team.is_first:
                assert on_eval is not None
                metrics = {name: float(value) for name, value in on_eval(model, step).items()}
        told: Mapping[str, float] = team.from_first(metrics)
    return told
