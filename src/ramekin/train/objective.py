"""The surface of `objectives`: from a recipe to what makes a loss of every real target token of a batch."""

from ramekin.train.objectives.flipped import FlippedLikelihood
from ramekin.train.objectives.forward import target_logits
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.objectives.losses import Losses, Objective, sum_by_example
from ramekin.train.objectives.packed import refuse_unpackable
from ramekin.train.objectives.recipe import ObjectiveName, ObjectiveRecipe

__all__ = [
    "FlippedLikelihood",
    "Likelihood",
    "Losses",
    "Objective",
    "ObjectiveName",
    "ObjectiveRecipe",
    "build_objective",
    "refuse_unpackable",
    "sum_by_example",
    "target_logits",
]


def build_objective(recipe: ObjectiveRecipe) -> Objective:
    """The objective that a recipe describes; without unlikelihood, flipped learning is plain likelihood."""
    if recipe.needs_wrong_inputs:
        return FlippedLikelihood(recipe.unlikelihood_weight, recipe.clamp)
    return Likelihood(recipe.label_smoothing)
