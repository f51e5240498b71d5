import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.combine import elected, shares, summed
from ramekin.merge.stream import Lazy

seeds = st.integers(0, 10_000)
kinds = st.sampled_from([np.asarray, torch.from_numpy])
weights_of = st.sampled_from([None, [1, 0.5, 2, 0.25]])


def _rows(seed: int, count: int, *, grid: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = [rng.standard_normal((4, 5)) for _ in range(count)]
    return [np.float32(np.round(row * 2) / 2 if grid else row) for row in rows]


def by_hand(rows: list[np.ndarray], weights: list[float], merge_func: str, zero_sign: int) -> np.ndarray:
    merged = np.zeros(rows[0].shape)
    for place in np.ndindex(merged.shape):
        votes = [(float(w * row[place]), w) for w, row in zip(weights, rows, strict=True)]
        total = sum(value for value, _ in votes)
        sign = np.sign(total) or zero_sign
        if sign == 0:
            # nobody is elected: the authors' code takes the negative values, and 0 for max
            sign = 0 if merge_func == "max" else -1
        agreeing = [(value, w) for value, w in votes if value * sign > 0]
        if agreeing:
            merged[place] = {
                "sum": sum(value for value, _ in agreeing),
                "mean": sum(value for value, _ in agreeing) / sum(w for _, w in agreeing),
                "max": sign * max(abs(value) for value, _ in agreeing),
            }[merge_func]
    return merged


@given(
    seed=seeds,
    count=st.integers(1, 4),
    grid=st.booleans(),
    weights=weights_of,
    merge_func=st.sampled_from(["sum", "mean", "max"]),
    zero_sign=st.sampled_from([-1, 0, 1]),
    kind=kinds,
)
def test_an_election_by_hand(
    seed: int, count: int, grid: bool, weights, merge_func: str, zero_sign: int, kind
) -> None:
    rows = _rows(seed, count, grid=grid)
    own = weights and weights[:count]
    found = elected(
        [kind(row) for row in rows],
        weights=own,
        merge_func=merge_func,  # type: ignore[arg-type]
        zero_sign=zero_sign,
    )
    assert np.asarray(found).dtype == np.float32
    expected = by_hand(rows, own or [1.0] * count, merge_func, zero_sign)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)


@given(seed=seeds, count=st.integers(1, 4), weights=weights_of, kind=kinds)
def test_a_sum_in_the_order_of_the_models(seed: int, count: int, weights, kind) -> None:
    rows = _rows(seed, count, grid=False)
    own = weights and weights[:count]
    expected = rows[0] * np.float32(own[0] if own else 1)
    for place in range(1, count):
        expected = expected + rows[place] * np.float32(own[place] if own else 1)
    assert np.array_equal(np.asarray(summed([kind(row) for row in rows], own)), expected)


@given(seed=seeds, count=st.integers(1, 4), weights=weights_of, kind=kinds)
def test_inputs_are_left_alone_and_the_result_is_no_input(seed: int, count: int, weights, kind) -> None:
    rows = [kind(row) for row in _rows(seed, count, grid=False)]
    before = [np.asarray(row).copy() for row in rows]
    own = weights and weights[:count]
    for result in (summed(rows, own), elected(rows, weights=own), elected(rows, merge_func="max")):
        assert all(np.array_equal(np.asarray(row), kept) for row, kept in zip(rows, before, strict=True))
        assert not any(np.may_share_memory(np.asarray(result), np.asarray(row)) for row in rows)


def test_each_array_is_asked_for_once() -> None:
    rows, asked = _rows(0, 3, grid=False), []
    summed(Lazy(3, lambda place: (asked.append(place), rows[place])[1]), [1, 2, 3])  # type: ignore[arg-type,func-returns-value]
    assert asked == [0, 1, 2]


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_shares_add_to_one(weights: list[float]) -> None:
    found = shares(weights)
    assert sum(found) == pytest.approx(1)
    assert found == pytest.approx([each / sum(weights) for each in weights])


def test_what_cannot_be_added() -> None:
    with pytest.raises(UsageError) as caught:
        summed([])
    assert str(caught.value) == "there is nothing to add: expected at least one model"
    with pytest.raises(UsageError) as caught:
        summed([np.ones(2)], [1, 2])
    assert str(caught.value) == "weights must name one number a model: expected 1 weights, got 2"
    with pytest.raises(UsageError) as caught:
        shares([1, -1], where="w")
    assert str(caught.value) == (
        "the weights add to zero: w: got 1, -1; fix: give other weights, or set normalize=false"
    )


@pytest.mark.parametrize("weights", [(0.1, 0.2, -0.3), (1e20, -1e20), (1 / 3, 1 / 3, -2 / 3)])
def test_weights_that_cancel_but_for_rounding_add_to_zero(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="the weights add to zero"):
        shares(weights)
    assert shares((1e-30, 1e-30)) == (0.5, 0.5)


@given(
    values=st.lists(
        st.tuples(st.floats(-3, 3), st.sampled_from([-2.0, -1.0, 0.5, 1.0])), min_size=1, max_size=5
    )
)
def test_a_mean_has_the_elected_sign_whatever_the_weights(values: list[tuple[float, float]]) -> None:
    deltas = [np.asarray([value]) for value, _ in values]
    weights = [weight for _, weight in values]
    (total,), (mean,) = summed(deltas, weights), elected(deltas, weights=weights, merge_func="mean")
    agreeing = [(value * w, abs(w)) for value, w in values if value * w * (1 if total >= 0 else -1) > 0]
    expected = sum(each for each, _ in agreeing) / sum(size for _, size in agreeing) if agreeing else 0.0
    assert mean == pytest.approx(expected, abs=1e-12)
    assert mean * total >= 0
