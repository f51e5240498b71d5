"""A leaf's draws as its rows: every epoch has each row once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.text.mixing.walk import Visit, epoch_and_position, walked


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any))
def test_epochs_follow_one_another_and_recur(sizes: list[int]) -> None:
    expected = [
        (epoch, position) for epoch in range(3 * len(sizes)) for position in range(sizes[epoch % len(sizes)])
    ]
    assert [epoch_and_position(index, sizes) for index in range(len(expected))] == expected


@given(st.lists(st.integers(0, 300), min_size=1, max_size=4).filter(any), st.integers(0, 5))
def test_each_epoch_is_a_permutation(sizes: list[int], seed: int) -> None:
    visits = [walked(index, sizes, seed, "a/1") for index in range(2 * sum(sizes))]
    for epoch in range(2 * len(sizes)):
        places = [visit.place for visit in visits if visit.epoch == epoch]
        assert sorted(places) == list(range(sizes[epoch % len(sizes)]))


def test_epochs_leaves_and_seeds_have_orders_of_their_own() -> None:
    def order(epoch: int, *key: object) -> tuple[int, ...]:
        return tuple(walked(500 * epoch + index, [500], *key).place for index in range(500))

    orders = {order(epoch, seed, leaf) for epoch in range(3) for seed in (0, 1) for leaf in ("a/1", "a/2")}
    assert len(orders) == 12


def test_a_draw_far_on_needs_none_before_it() -> None:
    assert walked(10**15, [7], 0) == Visit(10**15 // 7, walked(10**15, [7], 0).place)


@pytest.mark.parametrize(("index", "sizes"), [(-1, [3]), (0, []), (0, [0, 0]), (0, [3, -1])])
def test_what_has_no_rows(index: int, sizes: list[int]) -> None:
    with pytest.raises(UsageError, match=f"a leaf's draw has no row.*got index {index}"):
        walked(index, sizes)
