"""The strategy that fits the launch."""

from typing import Any

from ramekin.errors import UsageError
from ramekin.train.launched import Launched
from ramekin.train.placement import Placement
from ramekin.train.recipe import Recipe
from ramekin.train.strategy import AbstractStrategy, Replicated
from ramekin.train.team import AbstractTeam

__all__ = ["build_strategy", "refuse_unfit"]


def refuse_unfit(launched: Launched, recipe: Recipe) -> None:
    """Check, before anything is built, that a recipe can be trained as the launcher says.

    Raises:
        UsageError: it cannot.
    """
    if launched.strategy != "replicated" and recipe.compile:
        raise UsageError(
            "blocks whose weights come and go are not compiled",
            where="compile",
            expected="false with FSDP2 and DeepSpeed",
            got="true",
            fix="leave it out, or launch with configs/accelerate/ddp.yaml",
        )
    if launched.strategy == "fully_sharded":
        from ramekin.train.fully_sharded import refuse_old_torch

        refuse_old_torch()
    if launched.strategy == "zero":
        from ramekin.train.zero import refuse_unfit_for_zero

        refuse_unfit_for_zero(recipe)


def build_strategy(
    launched: Launched, model: Any, recipe: Recipe, team: AbstractTeam, placement: Placement
) -> AbstractStrategy:
    """Hold a model as the launcher's configuration says; a single process holds it whole.

    Args:
        launched: what the launcher's configuration says.
        model: whole, with its starting weights, the same in every process.
        recipe: says which optimizer.
        team: the processes.
        placement: where this one computes.
    """
    if team.size > 1 and launched.strategy == "fully_sharded":
        from ramekin.train.fully_sharded import FullySharded

        reshard = launched.reshard_after_forward
        return FullySharded(model, recipe, team, placement.device, reshard_after_forward=reshard)
    if team.size > 1 and launched.strategy == "zero":
        from ramekin.train.zero import Zero

        return Zero(model, recipe, team, placement, stage=launched.zero_stage)
    model.to(placement.device)
    return Replicated(model, recipe, team)
