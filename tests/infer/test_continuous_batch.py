"""Outputs are written as chosen, samples with a common beginning cost one row, and the ended ones leave."""

import pytest

from ramekin.infer import continuous_batch
from ramekin.infer.choice import Picked
from ramekin.infer.decoding import Decoding
from ramekin.infer.request import Request

EOS = 1


def flat(place, fed):
    return [0.0] * 8


@pytest.fixture
def scripted(toy, monkeypatch):
    """Write `num_samples` outputs for each of some inputs, each token by `rule(input, number, position)`."""

    def write(rule, *, inputs, num_samples, max_new_tokens):
        decoding = Decoding(num_samples=num_samples, sampling_temperature=1.0)
        # An input is known by its second token.
        requests = [Request((9, place), max_new_tokens, decoding) for place in range(inputs)]
        keys = {}

        def choose(logits, asked):
            assert len(logits) == len(asked)
            for each in asked:
                keys.setdefault(each.key, len(keys))
            return [
                Picked([rule(keys[each.key], number, each.position) for number in each.samples], [], ())
                for each in asked
            ]

        monkeypatch.setattr(continuous_batch, "choose", choose)
        return toy(flat, requests)

    return write


def test_each_output_is_what_was_chosen_up_to_its_end(scripted):
    scripts = {(0, 0): (5, 6, 1), (0, 1): (1,), (1, 0): (5, 5, 5, 5), (1, 1): (5, 5, 1)}
    _, outputs = scripted(
        lambda place, number, position: scripts[place, number][position],
        inputs=2, num_samples=2, max_new_tokens=4,
    )  # fmt: skip
    assert outputs == [[(5, 6, 1), (1,)], [(5, 5, 5, 5), (5, 5, 1)]]


def test_a_row_is_fed_the_start_and_then_what_its_samples_wrote(scripted):
    def rule(place, number, position):
        return 2 + number if position else 2 + place

    decoder, outputs = scripted(rule, inputs=2, num_samples=3, max_new_tokens=3)
    assert outputs[1] == [(3, 2 + number, 2 + number) for number in range(3)]
    assert decoder.rows_of_steps == [2, 2, 6]
    assert decoder.seen[-1] == [
        *((0, (0, 2, 2 + number)) for number in range(3)),
        *((1, (0, 3, 2 + number)) for number in range(3)),
    ]


def test_samples_that_wrote_the_same_are_one_row(scripted):
    decoder, _ = scripted(
        lambda place, number, position: 2 + (number % 2 if position == 1 else 0),
        inputs=1, num_samples=40, max_new_tokens=4,
    )  # fmt: skip
    assert decoder.rows_of_steps == [1, 1, 2, 2]


def test_the_ended_leave_when_a_quarter_has(scripted):
    decoder, outputs = scripted(
        lambda place, number, position: EOS if place <= position else 7,
        inputs=8, num_samples=1, max_new_tokens=20,
    )  # fmt: skip
    assert [len(own[0]) for own in outputs] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert decoder.rows_of_steps == [8, 8, 6, 6, 4, 3, 2, 1]
    assert decoder.rows_of_heads == [8, 7, 6, 5, 4, 3, 2, 1], "the head runs on what goes on alone"


def test_samples_that_ended_stay_in_their_places_until_a_quarter_has(scripted):
    """Moving the caches has its price."""
    decoder, outputs = scripted(
        lambda place, number, position: 2 + number if position == 0 else (EOS if number < position else 7),
        inputs=1, num_samples=8, max_new_tokens=20,
    )  # fmt: skip
    assert [len(own) for own in outputs[0]] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert decoder.rows_of_steps == [1, 8, 8, 6, 6, 4, 3, 2, 1]


def test_nothing_is_computed_after_the_last_end(scripted):
    decoder, _ = scripted(
        lambda place, number, position: EOS if position == 2 else 3 + number,
        inputs=3, num_samples=2, max_new_tokens=50,
    )  # fmt: skip
    assert decoder.rows_of_steps == [3, 6, 6]


def test_the_head_runs_on_256_rows_at_a_time(scripted):
    decoder, outputs = scripted(
        lambda place, number, position: 10 + number + 1000 * position,
        inputs=3, num_samples=100, max_new_tokens=2,
    )  # fmt: skip
    assert outputs == [[(10 + number, 1010 + number) for number in range(100)]] * 3
    assert decoder.rows_of_heads == [3, 256, 44]
