import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.methods.tsv_merge import METHOD, tsv_merge

SHAPES = [(12, 12), (15, 8), (8, 15)]

kinds = st.sampled_from(["numpy", "torch"])
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)


def by_the_book(deltas: list[np.ndarray]) -> np.ndarray:
    """The paper's algorithm with float64 decompositions, for deltas of full rank."""
    count = min(deltas[0].shape) // len(deltas)
    lefts, values, rights = [], [], []
    for delta in deltas:
        left, sigma, right = np.linalg.svd(delta, full_matrices=False)
        lefts.append(left[:, :count])
        values.extend(sigma[:count])
        rights.append(right[:count])
    p, _, q = np.linalg.svd(np.concatenate(lefts, axis=1), full_matrices=False)
    s, _, t = np.linalg.svd(np.concatenate(rights), full_matrices=False)
    return p @ q @ np.diag(values) @ s @ t


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, kind=kinds)
def test_is_the_algorithm(random_deltas, as_kind, seed: int, count: int, shape, kind: str) -> None:
    deltas = random_deltas(seed, count, shape)
    found = np.asarray(tsv_merge(as_kind(deltas, kind)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_the_book(deltas), atol=1e-5)


@given(seed=seeds, order=st.permutations(range(3)), shape=shapes, kind=kinds)
def test_the_order_does_not_matter(random_deltas, as_kind, seed: int, order, shape, kind: str) -> None:
    deltas = as_kind(random_deltas(seed, 3, shape), kind)
    turned = tsv_merge([deltas[place] for place in order])
    np.testing.assert_allclose(np.asarray(turned), np.asarray(tsv_merge(deltas)), atol=1e-5)


@given(
    seed=seeds,
    shape=st.sampled_from([*SHAPES, (6, 1), (1, 6)]),
    rank=st.sampled_from([None, 1, 3]),
    kind=kinds,
)
def test_one_model_gives_its_delta(random_deltas, as_kind, seed: int, shape, rank, kind: str) -> None:
    delta = random_deltas(seed, 1, shape, rank=rank)[0]
    np.testing.assert_allclose(np.asarray(tsv_merge(as_kind([delta], kind))), delta, atol=1e-6)


@given(seed=seeds, count=st.integers(2, 4), shape=shapes, kind=kinds)
def test_equal_models_give_their_delta_cut_to_its_share(
    random_deltas, as_kind, seed: int, count: int, shape, kind: str
) -> None:
    delta = random_deltas(seed, 1, shape)[0]
    left, values, right = np.linalg.svd(delta, full_matrices=False)
    kept = min(shape) // count
    expected = left[:, :kept] * values[:kept] @ right[:kept]
    np.testing.assert_allclose(np.asarray(tsv_merge(as_kind([delta] * count, kind))), expected, atol=1e-5)


@given(seed=seeds, rank=st.integers(1, 3), kind=kinds)
def test_deltas_in_directions_of_their_own_are_added_whole(
    random_deltas, as_kind, seed: int, rank: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((16, 9)))[0]
    right = np.linalg.qr(rng.standard_normal((15, 9)))[0].T
    deltas = [
        left[:, 3 * i : 3 * i + rank] * rng.uniform(1, 2, rank) @ right[3 * i : 3 * i + rank]
        for i in range(3)
    ]
    np.testing.assert_allclose(np.asarray(tsv_merge(as_kind(deltas, kind))), sum(deltas), atol=1e-5)


@given(seed=seeds, rank=st.integers(1, 2), kind=kinds)
def test_low_ranks_stay_within_the_directions_of_the_deltas(
    random_deltas, as_kind, seed: int, rank: int, kind: str
) -> None:
    deltas = random_deltas(seed, 3, (15, 12), rank=rank)
    found = np.asarray(tsv_merge(as_kind(deltas, kind)))
    assert np.isfinite(found).all()
    rows = np.linalg.svd(np.concatenate(deltas))[2][3 * rank :].T
    columns = np.linalg.svd(np.concatenate(deltas, axis=1))[0][:, 3 * rank :]
    assert np.abs(found @ rows).max() < 1e-4 and np.abs(columns.T @ found).max() < 1e-4
    # So it does not matter how the matrix is turned, which it would with arbitrary directions in it.
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((12, 12)))[0]
    turned = tsv_merge(as_kind([delta @ turn for delta in deltas], kind))
    np.testing.assert_allclose(np.asarray(turned), found @ turn, atol=1e-3)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_zeros(random_deltas, as_kind, kind: str) -> None:
    zeros = np.zeros((6, 4))
    assert np.asarray(tsv_merge(as_kind([zeros, zeros], kind))).tolist() == zeros.tolist()
    delta = random_deltas(0, 1, (6, 4), rank=2)[0]
    np.testing.assert_allclose(np.asarray(tsv_merge(as_kind([zeros, delta], kind))), delta, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 1), (1, 7), (5, 2)])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_without_room_for_each_model_it_is_the_mean(random_deltas, as_kind, kind: str, shape) -> None:
    deltas = random_deltas(0, 3, shape)
    found = np.asarray(tsv_merge(as_kind(deltas, kind)))
    np.testing.assert_allclose(found, np.mean(deltas, axis=0), atol=1e-7)


def test_each_delta_is_asked_for_once_in_order(random_deltas, watched) -> None:
    watch = watched(random_deltas(0, 3, (6, 5)))
    tsv_merge(watch.members)
    assert watch.asked == [0, 1, 2]
    with pytest.raises(UsageError, match="nothing to merge"):
        tsv_merge([])


def test_is_wired(check_wiring) -> None:
    check_wiring(METHOD, tsv_merge)
    assert METHOD.parse({"preset": "fusionbench"}).embeddings
    assert not METHOD.parse({"preset": "paper"}).embeddings
