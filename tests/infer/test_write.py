"""Outputs are written as chosen, samples with a common beginning cost one row, and the ended ones leave."""

from ramekin.infer.write import write

EOS = 1


def flat(place, fed):
    return [0.0] * 8


def chosen_by(rule):
    """Choose by (input, number, position) -> token."""

    def choose(logits, samples, position):
        assert len(logits) == len(samples)
        return [[rule(place, number, position) for place, number in own] for own in samples]

    return choose


def test_each_output_is_what_was_chosen_up_to_its_end(toy_decoder):
    scripts = {(0, 0): (5, 6, 1), (0, 1): (1,), (1, 0): (5, 5, 5, 5), (1, 1): (5, 5, 1)}
    decoder = toy_decoder(2, flat)
    rule = chosen_by(lambda place, number, position: scripts[place, number][position])
    outputs = write(decoder, rule, num_samples=2, max_new_tokens=4, start_id=0, eos_id=EOS)
    assert outputs == [((5, 6, 1), (1,)), ((5, 5, 5, 5), (5, 5, 1))]


def test_a_row_is_fed_the_start_and_then_what_its_samples_wrote(toy_decoder):
    decoder = toy_decoder(2, flat)
    rule = chosen_by(lambda place, number, position: 2 + number if position else 2 + place)
    write(decoder, rule, num_samples=3, max_new_tokens=3, start_id=0, eos_id=EOS)
    assert decoder.fed == [
        *((0, (0, 2, 2 + number)) for number in range(3)),
        *((1, (0, 3, 2 + number)) for number in range(3)),
    ]


def test_samples_that_wrote_the_same_are_one_row(toy_decoder):
    decoder = toy_decoder(1, flat)
    rule = chosen_by(lambda place, number, position: 2 + (number % 2 if position == 1 else 0))
    write(decoder, rule, num_samples=40, max_new_tokens=4, start_id=0, eos_id=EOS)
    assert decoder.rows_of_steps == [1, 1, 2, 2]


def test_the_ended_leave_when_a_quarter_has(toy_decoder):
    decoder = toy_decoder(8, flat)
    rule = chosen_by(lambda place, number, position: EOS if place <= position else 7)
    outputs = write(decoder, rule, num_samples=1, max_new_tokens=20, start_id=0, eos_id=EOS)
    assert [len(own[0]) for own in outputs] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert decoder.rows_of_steps == [8, 8, 6, 6, 4, 3, 2, 1]


def test_nothing_is_computed_after_the_last_end(toy_decoder):
    decoder = toy_decoder(3, flat)
    rule = chosen_by(lambda place, number, position: EOS if position == 2 else 3 + number)
    write(decoder, rule, num_samples=2, max_new_tokens=50, start_id=0, eos_id=EOS)
    assert decoder.rows_of_steps == [3, 6, 6]


def test_the_head_runs_on_256_rows_at_a_time(toy_decoder):
    decoder = toy_decoder(3, flat)
    rule = chosen_by(lambda place, number, position: 10 + number + 1000 * position)
    outputs = write(decoder, rule, num_samples=100, max_new_tokens=2, start_id=0, eos_id=EOS)
    assert outputs == [tuple((10 + number, 1010 + number) for number in range(100))] * 3
    assert decoder.rows_of_heads == [3, 256, 44]
