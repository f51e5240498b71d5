from dataclasses import dataclass

import pytest

from ramekin.recipes.fine_tuning import loss_rows, objective_text
from ramekin.report.values import LossRow
from ramekin.train.objectives.recipe import ObjectiveRecipe
from ramekin.train.tally import EpochLoss


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        (ObjectiveRecipe(), "direct"),
        (ObjectiveRecipe(name="channel", label_smoothing=0.1), "channel, label_smoothing 0.1"),
        (ObjectiveRecipe(name="flipped"), "flipped, unlikelihood_weight 3, clamp 1e-06"),
        (ObjectiveRecipe(name="flipped", unlikelihood_weight=0), "flipped, unlikelihood_weight 0"),
    ],
)
def test_an_objective_is_told_with_the_numbers_it_uses(recipe: ObjectiveRecipe, text: str) -> None:
    assert objective_text(recipe) == text


@dataclass
class Trained:
    epochs: tuple[EpochLoss, ...]


def test_the_parts_of_a_loss_have_rows_of_their_own() -> None:
    parts = ({"likelihood": 1.0, "unlikelihood": 0.5}, {"likelihood": 0.5, "unlikelihood": 0.25})
    epochs = tuple(EpochLoss(n, 1, 1, 1, 2.5 - n, 1.0, each) for n, each in enumerate(parts))
    assert loss_rows("rte", Trained(epochs)) == (
        LossRow("rte", (2.5, 1.5)),
        LossRow("rte, likelihood", (1.0, 0.5)),
        LossRow("rte, unlikelihood", (0.5, 0.25)),
    )
    assert loss_rows("rte", Trained((EpochLoss(0, 1, 1, 1, 2.5, 1.0),))) == (LossRow("rte", (2.5,)),)
