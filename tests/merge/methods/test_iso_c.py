import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.methods.iso_c import METHOD, iso_c

SHAPES = [(9, 9), (12, 5), (5, 12), (6, 1), (1, 6)]

kinds = st.sampled_from(["numpy", "torch"])
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)


def by_the_book(deltas: list[np.ndarray]) -> np.ndarray:
    left, values, right = np.linalg.svd(sum(deltas), full_matrices=False)
    return values.mean() * left @ right


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, kind=kinds)
def test_is_the_formula(random_deltas, as_kind, seed: int, count: int, shape, kind: str) -> None:
    deltas = random_deltas(seed, count, shape)
    found = np.asarray(iso_c(as_kind(deltas, kind)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_the_book(deltas), atol=1e-5)


@given(seed=seeds, order=st.permutations(range(3)), shape=shapes, kind=kinds)
def test_the_order_does_not_matter(random_deltas, as_kind, seed: int, order, shape, kind: str) -> None:
    deltas = as_kind(random_deltas(seed, 3, shape), kind)
    turned = iso_c([deltas[place] for place in order])
    np.testing.assert_allclose(np.asarray(turned), np.asarray(iso_c(deltas)), atol=1e-5)


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, kind=kinds)
def test_keeps_the_sum_of_the_singular_values_and_is_stable(
    random_deltas, as_kind, seed: int, count: int, shape, kind: str
) -> None:
    deltas = random_deltas(seed, count, shape)
    found = np.asarray(iso_c(as_kind(deltas, kind)))
    nuclear = np.linalg.svd(sum(deltas))[1].sum()
    np.testing.assert_allclose(np.linalg.svd(found)[1], nuclear / min(shape), rtol=1e-4)
    np.testing.assert_allclose(np.asarray(iso_c(as_kind([found], kind))), found, atol=1e-6)


@given(seed=seeds, count=st.integers(1, 4), kind=kinds)
def test_equal_models_are_one_model_that_often(
    random_deltas, as_kind, seed: int, count: int, kind: str
) -> None:
    delta = random_deltas(seed, 1, (7, 5))[0]
    once = np.asarray(iso_c(as_kind([delta], kind)))
    np.testing.assert_allclose(np.asarray(iso_c(as_kind([delta] * count, kind))), count * once, atol=1e-5)


@given(seed=seeds, rank=st.integers(1, 3), kind=kinds)
def test_low_ranks_get_nothing_beside_the_deltas(
    random_deltas, as_kind, seed: int, rank: int, kind: str
) -> None:
    deltas = random_deltas(seed, 2, (12, 10), rank=rank)
    left, values, right = np.linalg.svd(sum(deltas), full_matrices=False)
    expected = values.sum() / 10 * left[:, : 2 * rank] @ right[: 2 * rank]
    np.testing.assert_allclose(np.asarray(iso_c(as_kind(deltas, kind))), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_zeros_and_what_cancels(random_deltas, as_kind, kind: str) -> None:
    zeros = np.zeros((5, 4))
    delta = random_deltas(0, 1, (5, 4))[0]
    for deltas in ([zeros, zeros], [delta, -delta]):
        assert np.asarray(iso_c(as_kind(deltas, kind))).tolist() == zeros.tolist()


def test_each_delta_is_asked_for_once_in_order(random_deltas, watched) -> None:
    watch = watched(random_deltas(0, 3, (6, 5)))
    iso_c(watch.members)
    assert watch.asked == [0, 1, 2]
    with pytest.raises(UsageError, match="nothing to add"):
        iso_c([])


def test_is_wired(check_wiring) -> None:
    check_wiring(METHOD, iso_c)
    assert METHOD.parse({"preset": "fusionbench"}).embeddings
    assert not METHOD.parse({"preset": "paper"}).embeddings
