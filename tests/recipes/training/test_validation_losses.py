"""Training and validation loss side by side, from a run's log."""

import pytest

from ramekin.recipes.training.validation_losses import validation_tables
from ramekin.train.events import EvalDone


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
