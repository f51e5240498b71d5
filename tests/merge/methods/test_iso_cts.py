import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.methods.iso_c import iso_c
from ramekin.merge.methods.iso_cts import METHOD, iso_cts, space_sizes

SHAPES = [(20, 20), (24, 15), (15, 24)]

kinds = st.sampled_from(["numpy", "torch"])
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)
fractions = st.sampled_from([0.0, 0.4, 0.8, 1.0])


def by_the_book(deltas: list[np.ndarray], fraction: float) -> np.ndarray:
    """The paper's algorithm with float64 decompositions, for deltas of full rank."""
    rank, count = min(deltas[0].shape), len(deltas)
    own = min(round((rank - int(rank * fraction)) / count), rank // count)
    common = rank - own * count
    left, values, right = np.linalg.svd(sum(deltas), full_matrices=False)
    lefts, sigmas, rights = [left[:, :common]], [values[:common]], [right[:common]]
    project = np.eye(len(left)) - left[:, :common] @ left[:, :common].T
    for delta in deltas:
        u, s, v = np.linalg.svd(project @ delta, full_matrices=False)
        lefts.append(u[:, :own])
        sigmas.append(s[:own])
        rights.append(v[:own])
    p, _, q = np.linalg.svd(np.concatenate(lefts, axis=1), full_matrices=False)
    s, _, t = np.linalg.svd(np.concatenate(rights), full_matrices=False)
    return np.concatenate(sigmas).mean() * (p @ q) @ (s @ t)


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, fraction=fractions, kind=kinds)
def test_is_the_algorithm(
    random_deltas, as_kind, seed: int, count: int, shape, fraction: float, kind: str
) -> None:
    deltas = random_deltas(seed, count, shape)
    found = np.asarray(iso_cts(as_kind(deltas, kind), common_space_fraction=fraction))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_the_book(deltas, fraction), atol=1e-4)


@pytest.mark.parametrize("fraction", [0.8, 1.0])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
@given(seed=seeds, shape=shapes)
def test_float32_deltas_lose_nothing_before_the_result_is_rounded(
    kind: str, fraction: float, seed: int, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    deltas = [rng.standard_normal(shape).astype(np.float32) for _ in range(4)]
    exact = [delta.astype(np.float64) for delta in deltas]
    handed = [torch.from_numpy(delta) for delta in deltas] if kind == "torch" else deltas
    method = iso_c if fraction == 1.0 else iso_cts
    np.testing.assert_allclose(np.asarray(method(handed)), by_the_book(exact, fraction), rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_the_fraction_is_a_fifth_of_own_directions_by_default(random_deltas, as_kind, kind: str) -> None:
    deltas = random_deltas(3, 4, (20, 20))
    found = np.asarray(iso_cts(as_kind(deltas, kind)))
    np.testing.assert_allclose(found, by_the_book(deltas, 0.8), atol=1e-4)
    assert np.abs(found - by_the_book(deltas, 1.0)).max() > 1e-3


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, kind=kinds)
def test_with_common_directions_alone_it_is_iso_c(
    random_deltas, as_kind, seed: int, count: int, shape, kind: str
) -> None:
    deltas = as_kind(random_deltas(seed, count, shape), kind)
    found = iso_cts(deltas, common_space_fraction=1.0)
    np.testing.assert_allclose(np.asarray(found), np.asarray(iso_c(deltas)), atol=1e-5)


@given(seed=seeds, order=st.permutations(range(3)), shape=shapes, kind=kinds)
def test_the_order_does_not_matter(random_deltas, as_kind, seed: int, order, shape, kind: str) -> None:
    deltas = as_kind(random_deltas(seed, 3, shape), kind)
    turned = iso_cts([deltas[place] for place in order])
    np.testing.assert_allclose(np.asarray(turned), np.asarray(iso_cts(deltas)), atol=1e-4)


@given(seed=seeds, count=st.integers(2, 4), kind=kinds)
def test_equal_models_fill_their_own_directions_once(
    random_deltas, as_kind, seed: int, count: int, kind: str
) -> None:
    delta = random_deltas(seed, 1, (20, 20))[0]
    common, own = space_sizes(20, count, 0.8)
    left, values, right = np.linalg.svd(delta)
    level = (count * values[:common].sum() + count * values[common : common + own].sum()) / 20
    expected = level * left[:, : common + own] @ right[: common + own]
    np.testing.assert_allclose(np.asarray(iso_cts(as_kind([delta] * count, kind))), expected, atol=1e-4)


@given(seed=seeds, rank=st.integers(1, 3), kind=kinds)
def test_low_ranks_stay_within_the_directions_of_the_deltas(
    random_deltas, as_kind, seed: int, rank: int, kind: str
) -> None:
    # The common directions take in all of every delta: what is left of them is rounding.
    deltas = random_deltas(seed, 2, (24, 20), rank=rank)
    found = iso_cts(as_kind(deltas, kind))
    np.testing.assert_allclose(np.asarray(found), np.asarray(iso_c(as_kind(deltas, kind))), atol=1e-5)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_zeros_vectors_and_more_models_than_directions(random_deltas, as_kind, kind: str) -> None:
    zeros = np.zeros((5, 4))
    assert np.asarray(iso_cts(as_kind([zeros, zeros], kind))).tolist() == zeros.tolist()
    for shape in ((6, 1), (1, 6)):
        for count in (1, 2, 3):
            deltas = random_deltas(1, count, shape)
            for fraction in (0.0, 0.8):
                found = np.asarray(iso_cts(as_kind(deltas, kind), common_space_fraction=fraction))
                assert np.isfinite(found).all() and found.shape == shape
            if count == 1:
                np.testing.assert_allclose(found, deltas[0], atol=1e-6)


@given(rank=st.integers(1, 300), count=st.integers(1, 20), fraction=st.floats(0, 1))
def test_the_sizes_use_every_direction(rank: int, count: int, fraction: float) -> None:
    common, own = space_sizes(rank, count, fraction)
    assert common >= 0 and own >= 0 and common + own * count == rank
    assert common >= int(rank * fraction) - count / 2


def test_each_delta_is_asked_for_twice_in_order(random_deltas, watched) -> None:
    watch = watched(random_deltas(0, 3, (6, 5)))
    iso_cts(watch.members)
    assert watch.asked == [0, 1, 2, 0, 1, 2]
    with pytest.raises(UsageError, match="nothing to add"):
        iso_cts([])


def test_is_wired(check_wiring) -> None:
    check_wiring(METHOD, iso_cts)
    check_wiring(METHOD, iso_cts, common_space_fraction=0.3)
    assert METHOD.parse({"preset": "fusionbench"}).embeddings
    with pytest.raises(UsageError, match="common_space_fraction: expected a fraction from 0 to 1"):
        METHOD.parse({"common_space_fraction": 80})
