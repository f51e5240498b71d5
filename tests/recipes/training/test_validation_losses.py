"""Training and validation loss side by side, from a run's log."""

import re

import pytest

from ramekin.recipes.training.validation_losses import validation_tables
from ramekin.train.events import EvalDone
from ramekin.train.objectives.recipe import ObjectiveRecipe


def step(number: int, loss: float, tokens: int) -> dict[str, object]:
    return {"event": "step", "step": number, "loss": loss, "target_tokens": tokens}


EVENTS = [
    step(1, 4.0, 10),
    step(2, 2.0, 30),
    step(4, 1.0, 10),
    {"event": "notice", "step": 4, "message": "x"},
]


def test_a_row_has_the_mean_over_the_tokens_since_the_row_above() -> None:
    evals = [
        EvalDone(2, {"loss": 3.0, "mini/rte loss": 3.0}),
        EvalDone(3, {"loss": 2.5}),
        EvalDone(4, {"loss": 2.0}),
    ]
    (table,) = validation_tables(evals, EVENTS, steps_per_epoch=2)
    found = [(point.step, point.epoch, point.validation, point.training) for point in table.points]
    assert found == [(2, 1.0, 3.0, pytest.approx(2.5)), (3, 1.5, 2.5, None), (4, 2.0, 2.0, 1.0)]


def test_evaluations_by_scores_alone_have_no_table() -> None:
    assert validation_tables([EvalDone(2, {"accuracy": 0.5})], EVENTS, steps_per_epoch=2) == ()
    assert validation_tables([], EVENTS, steps_per_epoch=2) == ()
    (table,) = validation_tables(
        [EvalDone(1, {"accuracy": 0.5}), EvalDone(2, {"loss": 1.0})], EVENTS, steps_per_epoch=1
    )
    assert [point.training for point in table.points] == [pytest.approx(2.5)]


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        (ObjectiveRecipe(), "of the target, given the prompt, in validation as in training; "),
        (ObjectiveRecipe(name="channel"), "of the prompt, given its target, in"),
        (ObjectiveRecipe(name="flipped"), "of the instruction, given .* The unlikelihood .* is in neither"),
        (ObjectiveRecipe(label_smoothing=0.1), "without the smoothing of labels"),
    ],
)
def test_the_caption_says_what_both_columns_are(objective: ObjectiveRecipe, told: str) -> None:
    evals = [EvalDone(2, {"loss": 3.0})]
    (table,) = validation_tables(evals, EVENTS, steps_per_epoch=2, objective=objective)
    assert re.search(told, table.caption)
    assert ("neither" in table.caption) == objective.needs_wrong_inputs


def test_a_likelihood_is_set_beside_a_likelihood() -> None:
    """The loss of flipped learning has the unlikelihood in it, too, and a smoothed one the smoothing."""
    events = [{**step(1, 9.0, 10), "likelihood": 4.0}, {**step(2, 9.0, 30), "likelihood": 2.0}]
    (table,) = validation_tables([EvalDone(2, {"loss": 3.0})], events, steps_per_epoch=2)
    assert [point.training for point in table.points] == [pytest.approx(2.5)]
