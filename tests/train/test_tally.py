import json

from hypothesis import given
from hypothesis import strategies as st

from ramekin.train.events import EvalDone
from ramekin.train.tally import EpochLoss, StepCount, Tally, tally_from_json, tally_to_json

COUNT = StepCount(examples=2, input_tokens=10, target_tokens=4, padded_tokens=20)
finite = st.floats(0, 1e6, allow_nan=False)


def test_an_epoch_is_the_token_mean_of_its_steps():
    tally = Tally().after_step(COUNT, summed_loss=8.0, seconds=1.0)
    more = StepCount(examples=1, input_tokens=5, target_tokens=1, padded_tokens=6)
    tally = tally.after_step(more, summed_loss=4.5, seconds=0.5)
    assert tally.loss_table() == (EpochLoss(0, 2, 3, 5, 2.5, 1.5),)
    closed = tally.after_epoch()
    assert closed.loss_table() == tally.loss_table()
    after = closed.after_step(COUNT, summed_loss=4.0, seconds=1.0)
    assert [row.epoch for row in after.loss_table()] == [0, 1]
    assert after.loss_table()[1].loss == 1.0
    assert (after.step, after.examples, after.padded_tokens) == (3, 5, 46)


def test_a_log_line_empties_only_the_window():
    tally = Tally().after_step(COUNT, summed_loss=8.0, seconds=1.0)
    logged = tally.after_log()
    assert (logged.window_loss, logged.window_tokens) == (0.0, 0)
    assert logged.epoch_loss == tally.epoch_loss


@given(st.lists(st.tuples(finite, finite), max_size=6), st.dictionaries(st.text(), finite, max_size=3))
def test_json_keeps_every_bit(steps, metrics):
    tally = Tally()
    for loss, seconds in steps:
        tally = tally.after_step(COUNT, summed_loss=loss, seconds=seconds)
    tally = tally.after_epoch().after_eval(EvalDone(len(steps), metrics))
    assert tally_from_json(json.loads(json.dumps(tally_to_json(tally)))) == tally
