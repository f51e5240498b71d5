import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.methods.ace import METHOD, ace, heterogeneity

SHAPES = [(9, 9), (12, 6), (6, 12), (7, 1)]

kinds = st.sampled_from(["numpy", "torch"])
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)


def by_the_book(
    deltas: list[np.ndarray], *, epsilon: float = 1e-5, threshold: float = 0.3, refined_fraction: float = 0.3
) -> np.ndarray:
    """The paper's equations 5 to 19 in their order, in float64."""
    count, width = len(deltas), deltas[0].shape[1]
    energies = [float((delta**2).sum()) for delta in deltas]
    logs = np.log(energies)
    gamma = logs.var(ddof=1) / logs.mean() ** 2 if count > 1 else 0.0
    rows = [delta - delta.mean(axis=0) for delta in deltas]
    raw = [each.T @ each for each in rows]
    if gamma > threshold:
        scaled = [each / np.trace(each) for each in raw]
        regular = [s + epsilon / np.trace(each) * np.eye(width) for s, each in zip(scaled, raw, strict=True)]
    else:
        scaled, regular = raw, [each + epsilon * np.eye(width) for each in raw]
    prior = np.ones((width, 1)) @ (np.ones((1, width)) @ sum(scaled) / width)
    if gamma > threshold:
        prior = prior / np.mean(energies)
    before = sum(w @ c for w, c in zip(rows, regular, strict=True)) @ np.linalg.inv(sum(regular) + prior)
    if gamma <= threshold:
        return before
    mean = sum(regular) / count
    fused = before + sum(delta @ (s - mean) for delta, s in zip(deltas, scaled, strict=True))
    left, values, right = np.linalg.svd(fused, full_matrices=False)
    k = max(1, int(min(fused.shape) * refined_fraction))
    return before + values[:k].mean() * left[:, :k] @ right[:k]


def uneven(deltas: list[np.ndarray]) -> list[np.ndarray]:
    """The same of very different lengths, all well below 1."""
    return [delta / np.linalg.norm(delta) * 10.0 ** -((1 + 2 * i) ** 0.5) for i, delta in enumerate(deltas)]


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, epsilon=st.sampled_from([1e-5, 1e-2]), kind=kinds)
def test_is_the_formula_where_lengths_are_alike(
    random_deltas, as_kind, seed: int, count: int, shape, epsilon: float, kind: str
) -> None:
    deltas = random_deltas(seed, count, shape)
    found = np.asarray(ace(as_kind(deltas, kind), epsilon=epsilon))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_the_book(deltas, epsilon=epsilon), atol=1e-5)


@given(
    seed=seeds, count=st.integers(2, 4), shape=shapes, fraction=st.sampled_from([0.1, 0.3, 1.0]), kind=kinds
)
def test_is_the_formula_where_lengths_differ(
    random_deltas, as_kind, seed: int, count: int, shape, fraction: float, kind: str
) -> None:
    deltas = [
        each.astype(np.float32).astype(np.float64) for each in uneven(random_deltas(seed, count, shape))
    ]
    more = {"threshold": 1e-3, "refined_fraction": fraction}
    found = np.asarray(ace(as_kind(deltas, kind), **more))
    expected = by_the_book(deltas, **more)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected - by_the_book(deltas, threshold=1e9)).max() > 1e-6


@given(seed=seeds, order=st.permutations(range(3)), threshold=st.sampled_from([0.0, 0.3]), kind=kinds)
def test_the_order_does_not_matter(
    random_deltas, as_kind, seed: int, order, threshold: float, kind: str
) -> None:
    deltas = as_kind(random_deltas(seed, 3, (8, 6)), kind)
    turned = ace([deltas[place] for place in order], threshold=threshold)
    np.testing.assert_allclose(np.asarray(turned), np.asarray(ace(deltas, threshold=threshold)), atol=1e-5)


@given(seed=seeds, threshold=st.sampled_from([0.0, 0.3]), kind=kinds)
def test_a_model_that_tells_nothing_changes_nothing(
    random_deltas, as_kind, seed: int, threshold: float, kind: str
) -> None:
    deltas = random_deltas(seed, 3, (8, 6))
    silent = [np.zeros((8, 6)), np.full((8, 6), 0.5)]
    found = ace(as_kind([silent[0], *deltas, silent[1]], kind), threshold=threshold)
    np.testing.assert_allclose(
        np.asarray(found), np.asarray(ace(as_kind(deltas, kind), threshold=threshold)), atol=1e-7
    )


@given(seed=seeds, shape=st.sampled_from([(16, 12), (12, 16)]), rank=st.integers(1, 2), kind=kinds)
def test_low_ranks_are_finite(random_deltas, as_kind, seed: int, shape, rank: int, kind: str) -> None:
    deltas = random_deltas(seed, 3, shape, rank=rank)
    for threshold in (0.0, 0.3):
        found = np.asarray(ace(as_kind(deltas, kind), threshold=threshold))
        assert np.isfinite(found).all()
        assert np.abs(found).max() < 10 * np.abs(sum(deltas)).max()


@pytest.mark.parametrize("shape", [(5, 4), (1, 6), (6, 1)])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_zeros_and_single_rows_give_zeros(random_deltas, as_kind, kind: str, shape) -> None:
    zeros = np.zeros(shape)
    assert np.asarray(ace(as_kind([zeros, zeros], kind))).tolist() == zeros.tolist()
    if shape[0] == 1:
        assert np.asarray(ace(as_kind(random_deltas(0, 2, shape), kind))).tolist() == zeros.tolist()


@given(energies=st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=6))
def test_heterogeneity_is_its_formula(energies: list[float]) -> None:
    logs = np.log(energies)
    expected = logs.var(ddof=1) / (logs.mean() ** 2 + 1e-12)
    np.testing.assert_allclose(heterogeneity(energies), expected, rtol=1e-6, atol=1e-12)
    assert heterogeneity(energies[:1]) == 0


def test_each_delta_is_asked_for_once_in_order(random_deltas, watched) -> None:
    for threshold in (0.0, 0.3):
        watch = watched(random_deltas(0, 3, (6, 5)))
        ace(watch.members, threshold=threshold)
        assert watch.asked == [0, 1, 2]


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(UsageError, match="nothing to merge"):
        ace([])
    with pytest.raises(UsageError, match="epsilon must be above 0"):
        ace([np.eye(2)], epsilon=0.0)


def test_is_wired(check_wiring) -> None:
    check_wiring(METHOD, ace)
    check_wiring(METHOD, ace, epsilon=0.1, threshold=0.0, refined_fraction=0.6)
    assert METHOD.parse({"preset": "official_code"}).epsilon == 1e-2
    with pytest.raises(UsageError, match="refined_fraction: expected a fraction from 0 to 1"):
        METHOD.parse({"refined_fraction": 30})
