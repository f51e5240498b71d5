from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.methods import covariance as covariance_module
from ramekin.merge.methods import wudi as wudi_module
from ramekin.merge.methods.covariance import METHOD

covariance = partial(
    covariance_module.covariance, ridge=1e-6
)  # near the exact minimiser, which the default is not
wudi = partial(wudi_module.wudi, ridge=1e-6)  # near the exact minimiser, which the default is not

SHAPES = [(8, 8), (12, 5), (9, 12), (6, 1), (1, 6)]

kinds = st.sampled_from(["numpy", "torch"])
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)


def by_the_book(deltas: list[np.ndarray]) -> np.ndarray:
    """The paper's formula with a pseudo-inverse, in float64."""
    moments = [delta.T @ delta for delta in deltas]
    products = sum(delta @ moment for delta, moment in zip(deltas, moments, strict=True))
    return products @ np.linalg.pinv(sum(moments), rcond=1e-10)


@given(seed=seeds, count=st.integers(2, 4), shape=shapes, kind=kinds)
def test_is_the_formula(random_deltas, as_kind, seed: int, count: int, shape, kind: str) -> None:
    deltas = random_deltas(seed, count, shape)
    found = np.asarray(covariance(as_kind(deltas, kind), ridge=1e-9))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_the_book(deltas), atol=1e-5)


@given(seed=seeds, order=st.permutations(range(3)), shape=shapes, kind=kinds)
def test_the_order_does_not_matter(random_deltas, as_kind, seed: int, order, shape, kind: str) -> None:
    deltas = as_kind(random_deltas(seed, 3, shape), kind)
    turned = covariance([deltas[place] for place in order])
    np.testing.assert_allclose(np.asarray(turned), np.asarray(covariance(deltas)), atol=1e-5)


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, rank=st.sampled_from([None, 1, 2]), kind=kinds)
def test_one_model_and_equal_models_give_their_delta(
    random_deltas, as_kind, seed: int, count: int, shape, rank, kind: str
) -> None:
    delta = random_deltas(seed, 1, shape, rank=rank)[0]
    found = covariance(as_kind([delta] * count, kind))
    np.testing.assert_allclose(np.asarray(found), delta, atol=1e-6)


@given(seed=seeds, rank=st.integers(1, 3), kind=kinds)
def test_low_ranks_are_finite_and_zero_where_no_delta_is(
    random_deltas, as_kind, seed: int, rank: int, kind: str
) -> None:
    deltas = random_deltas(seed, 3, (14, 16), rank=rank)
    found = np.asarray(covariance(as_kind(deltas, kind)))
    unused = np.linalg.svd(np.concatenate(deltas))[2][3 * rank :].T
    assert np.isfinite(found).all() and np.abs(found @ unused).max() < 1e-4
    # Little room, little interference: each delta still acts on its own inputs.
    own = np.linalg.svd(deltas[0])[2][:rank].T
    np.testing.assert_allclose(found @ own, deltas[0] @ own, atol=2e-3)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_is_wudi_for_deltas_of_one_length_and_leans_to_the_longer(random_deltas, as_kind, kind: str) -> None:
    one, two = (delta / np.linalg.norm(delta) for delta in random_deltas(0, 2, (7, 5)))
    equal = as_kind([one, two], kind)
    np.testing.assert_allclose(np.asarray(covariance(equal)), np.asarray(wudi(equal)), atol=1e-5)
    uneven = as_kind([100 * one, two], kind)
    np.testing.assert_allclose(np.asarray(covariance(uneven)), 100 * one, atol=0.1)
    assert np.abs(np.asarray(wudi(uneven)) - 100 * one).max() > 1


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_zeros_and_a_huge_ridge(random_deltas, as_kind, kind: str) -> None:
    zeros = np.zeros((5, 4))
    assert np.asarray(covariance(as_kind([zeros, zeros], kind))).tolist() == zeros.tolist()
    deltas = random_deltas(0, 3, (5, 4))
    found = covariance(as_kind(deltas, kind), ridge=1e9)
    np.testing.assert_allclose(np.asarray(found), np.mean(deltas, axis=0), atol=1e-7)


def test_each_delta_is_asked_for_once_in_order(random_deltas, watched) -> None:
    watch = watched(random_deltas(0, 3, (5, 4)))
    covariance(watch.members)
    assert watch.asked == [0, 1, 2]


def test_is_wired(check_wiring) -> None:
    check_wiring(METHOD, METHOD.function)
    check_wiring(METHOD, covariance, ridge=0.5)
    with pytest.raises(UsageError, match="ridge: expected at least 1e-09"):
        METHOD.parse({"ridge": 0})
