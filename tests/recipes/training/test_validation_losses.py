"""Training and validation loss side by side, from a run's log."""

import re

import pytest

from ramekin.recipes.training.validation_losses import validation_tables
from ramekin.report.tables import validation_rows
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
    assert found == [(2, 1.0, 3.0, pytest.approx(2.5)), (3, 1.5, 2.5, pytest.approx(2.5)), (4, 2.0, 2.0, 1.0)]


def test_the_table_of_the_published_card_comes_back() -> None:
    """46 steps an epoch and a line of the log every 92, as its numbers tell."""
    losses = ["29.7732", "7.9911", "0.6152", "0.4811", "0.4721"]
    validation = [34.6109, 16.5236, 4.6887, 0.5679, 0.4795, 0.4577, 0.4523, 0.4509, 0.4505, 0.4504]
    events = [step(92 * (i + 1), float(loss), 1000) for i, loss in enumerate(losses)]
    evals = [EvalDone(46 * (i + 1), {"loss": loss}) for i, loss in enumerate(validation)]
    (table,) = validation_tables(evals, events, steps_per_epoch=46)
    header, *rows = validation_rows(table)
    assert header == ("Training Loss", "Epoch", "Step", "Validation Loss")
    assert [row[0] for row in rows] == ["No log", *(loss for loss in losses for _ in range(2))][:10]
    assert [row[1:3] for row in rows] == [(f"{i}.00", str(46 * i)) for i in range(1, 11)]
    assert [row[3] for row in rows] == [f"{loss:.4f}" for loss in validation]


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
