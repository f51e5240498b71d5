import json

from hypothesis import given
from hypothesis import strategies as st

from ramekin.train.events import EvalDone
from ramekin.train.tally import EpochLoss, StepCount, Tally, TaskLoss, by_task, tally_from_json, tally_to_json

COUNT = StepCount(examples=2, input_tokens=10, target_tokens=4, computed_tokens=14, padded_tokens=20)
TASKS = {"toy/wet": TaskLoss(2, 4, 8.0)}
NOTHING = {"tasks": {}, "parts": {}}
finite = st.floats(0, 1e6, allow_nan=False)


def test_an_epoch_is_the_token_mean_of_its_steps():
    tally = Tally().after_step(COUNT, summed_loss=8.0, seconds=1.0, **NOTHING)
    more = StepCount(examples=1, input_tokens=5, target_tokens=1, computed_tokens=6, padded_tokens=6)
    tally = tally.after_step(more, summed_loss=4.5, seconds=0.5, **NOTHING)
    assert tally.loss_table() == (EpochLoss(0, 2, 3, 5, 2.5, 1.5),)
    closed = tally.after_epoch()
    assert closed.loss_table() == tally.loss_table()
    after = closed.after_step(COUNT, summed_loss=4.0, seconds=1.0, **NOTHING)
    assert [row.epoch for row in after.loss_table()] == [0, 1]
    assert after.loss_table()[1].loss == 1.0
    assert (after.step, after.examples, after.padded_tokens) == (3, 5, 46)


def test_a_log_line_empties_only_the_window():
    tally = Tally().after_step(COUNT, summed_loss=8.0, seconds=1.0, **NOTHING)
    logged = tally.after_log()
    assert (logged.window_loss, logged.window_tokens) == (0.0, 0)
    assert logged.epoch_loss == tally.epoch_loss


@given(st.lists(st.tuples(finite, finite), max_size=6), st.dictionaries(st.text(), finite, max_size=3))
def test_json_keeps_every_bit(steps, metrics):
    tally = Tally()
    for loss, seconds in steps:
        tally = tally.after_step(
            COUNT, summed_loss=loss, seconds=seconds, tasks=TASKS, parts={"unlikelihood": loss}
        )
    tally = tally.after_epoch().after_eval(EvalDone(len(steps), metrics))
    assert tally_from_json(json.loads(json.dumps(tally_to_json(tally)))) == tally


def test_examples_are_summed_by_task():
    found = by_task([("toy/wet", 3, 1.5), ("toy/dry", 1, 2.0), ("toy/wet", 2, 1.0)])
    assert found == {"toy/wet": TaskLoss(2, 5, 2.5), "toy/dry": TaskLoss(1, 1, 2.0)}
    assert found["toy/wet"].loss == 0.5


def test_tasks_and_parts_are_kept_until_the_line_is_written():
    tally = Tally()
    for _ in range(2):
        tally = tally.after_step(COUNT, summed_loss=8.0, seconds=1.0, tasks=TASKS, parts={"likelihood": 0.5})
    assert tally.window_parts == {"likelihood": 2 * 0.5 * COUNT.target_tokens}
    assert tally.window_tasks == tally.tasks == {"toy/wet": TaskLoss(4, 8, 16.0)}
    logged = tally.after_log()
    assert (logged.window_parts, logged.window_tasks, logged.tasks) == ({}, {}, tally.tasks)


def test_parts_are_means_over_the_epochs_tokens():
    tally = Tally()
    for tokens, value in ((4, 0.5), (1, 3.0)):
        count = StepCount(1, 10, tokens, 14, 20)
        tally = tally.after_step(count, summed_loss=0.0, seconds=1.0, tasks={}, parts={"likelihood": value})
    assert tally.loss_table()[0].parts == {"likelihood": (4 * 0.5 + 3.0) / 5}
    after = tally.after_epoch().after_step(
        COUNT, summed_loss=0.0, seconds=1.0, tasks={}, parts={"likelihood": 1.0}
    )
    assert [row.parts["likelihood"] for row in after.loss_table()] == [1.0, 1.0]
