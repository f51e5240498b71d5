from hypothesis import given
from hypothesis import strategies as st

from ramekin.tensors.pack import packed_rows

lengths_of = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), max_size=60)
budgets = st.integers(1, 400)


def filled(lengths, row):
    return sum(lengths[i][0] for i in row), sum(lengths[i][1] for i in row)


def room_of(lengths):
    """The longest example's tokens, divided between the sides as all tokens are, or the longest of a side."""
    inputs, targets = zip(*lengths, strict=True) if lengths else ((1,), (1,))
    longest, tokens = max(map(sum, lengths), default=2), sum(inputs) + sum(targets)
    return tuple(max(max(side), -(-sum(side) * longest // tokens)) for side in (inputs, targets))


@given(lengths_of, budgets)
def test_rows_are_a_partition_within_their_room(lengths, budget):
    rows = packed_rows(lengths, max_tokens=budget)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    room = room_of(lengths)
    for row in rows:
        inputs, targets = filled(lengths, row)
        assert inputs <= room[0] and targets <= room[1]
        assert len(row) == 1 or inputs + targets <= budget


@given(lengths_of)
def test_no_row_would_have_fitted_into_one_before_it(lengths):
    """First fit: the last example of a row had no room in any row before, as that was when it came."""
    rows = packed_rows(lengths, max_tokens=10_000)
    order = sorted(range(len(lengths)), key=lambda i: (-sum(lengths[i]), -lengths[i][0], i))
    came = {index: turn for turn, index in enumerate(order)}
    room = room_of(lengths)
    for place, row in enumerate(rows):
        for index in row:
            for other in rows[:place]:
                before = [i for i in other if came[i] < came[index]]
                inputs, targets = filled(lengths, [*before, index])
                assert inputs > room[0] or targets > room[1]


@given(lengths_of)
def test_the_sides_can_change_places(lengths):
    """What is packed as well from long inputs to short targets as the other way round (ties may fall apart)."""
    turned = [(targets, inputs) for inputs, targets in lengths]
    assert room_of(turned) == room_of(lengths)[::-1]
    if len({sum(pair) for pair in lengths}) == len(lengths):
        assert packed_rows(turned, max_tokens=10_000) == packed_rows(lengths, max_tokens=10_000)


def test_little_padding_is_left():
    lengths = [(250, 20), *((n * 7919 % 90 + 10, n * 31 % 9 + 2) for n in range(256))]
    rows = packed_rows(lengths, max_tokens=100_000)
    widths = [max(sides) for sides in zip(*(filled(lengths, row) for row in rows), strict=True)]
    assert sum(map(sum, lengths)) / (len(rows) * sum(widths)) > 0.8


def test_targets_have_room_that_goes_with_the_inputs():
    """Four times three targets stand beside twelve inputs only where some target is as long as that."""
    assert packed_rows([(12, 3), *[(3, 3)] * 4], max_tokens=100) == ((0,), (1, 2), (3, 4))
    assert packed_rows([(12, 12), *[(3, 3)] * 4], max_tokens=100) == ((0,), (1, 2, 3, 4))


def test_inputs_have_room_that_goes_with_the_targets():
    """Short inputs before long targets, as the channel has them: no single input is longer than two."""
    assert packed_rows([(2, 40), *[(2, 10)] * 4], max_tokens=100) == ((0,), (1, 2), (3, 4))


def test_a_budget_of_nothing_leaves_every_example_alone():
    assert packed_rows([(5, 1), (4, 1)], max_tokens=0) == ((0,), (1,))
    assert packed_rows([], max_tokens=10) == ()
