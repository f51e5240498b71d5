"""The strategy that fits the launch."""

from typing import Any

from ramekin.train.launch import StrategyName
from ramekin.train.placement import Placement
from ramekin.train.recipe import Recipe
from ramekin.train.strategy import AbstractStrategy, Replicated
from ramekin.train.team import AbstractTeam

__all__ = ["build_strategy"]


def build_strategy(
    name: StrategyName, model: Any, recipe: Recipe, team: AbstractTeam, placement: Placement
) -> AbstractStrategy:
    """Hold a model as the launcher's configuration says; a single process holds it whole.

    Args:
        name: of the strategy.
        model: whole, with its starting weights, the same in every process.
        recipe: says which optimizer.
        team: the processes.
        placement: where this one computes.
    """
    model.to(placement.device)
    return Replicated(model, recipe, team)
