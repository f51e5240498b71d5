"""Products of thin matrices against numpy's SVD of the dense matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.factors import (
    Product,
    distance,
    joined,
    length,
    product_triplets,
    shared_basis,
    split,
)

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6))


def product(seed: int, out: int, width: int, inner: int) -> Product:
    rng = np.random.default_rng(seed)
    return Product(rng.standard_normal((out, inner)), rng.standard_normal((inner, width)))


def dense(one: Product) -> np.ndarray:
    return one.left @ one.right


@given(shapes, st.integers(0, 99), st.integers(1, 9))
def test_no_matrix_of_the_rank_is_nearer(shape: tuple[int, int, int], seed: int, count: int) -> None:
    given = product(seed, *shape)
    values = np.linalg.svd(dense(given), compute_uv=False)
    found = split(product_triplets(given, count=count))
    assert found.left.shape[1] <= min(count, *shape)
    best = np.sqrt((values[count:] ** 2).sum())  # Eckart-Young
    assert np.linalg.norm(dense(given) - dense(found)) == pytest.approx(best, abs=1e-9)
    assert distance(given, found) == pytest.approx(best, abs=1e-9)
    assert length(given) == pytest.approx(np.linalg.norm(values))


@given(shapes, st.integers(0, 99))
def test_triplets_are_orthonormal_and_in_order(shape: tuple[int, int, int], seed: int) -> None:
    found = product_triplets(product(seed, *shape))
    left, values, right = (np.asarray(each) for each in found)
    np.testing.assert_allclose(left.T @ left, np.eye(len(values)), atol=1e-9)
    np.testing.assert_allclose(right @ right.T, np.eye(len(values)), atol=1e-9)
    assert np.all(np.diff(values) <= 0) and np.all(values > 0)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.integers(0, 99))
def test_a_weighted_sum_in_any_order(weights: list[float], seed: int) -> None:
    parts = [product(seed + place, 7, 5, 1 + place) for place in range(len(weights))]
    expected = sum(weight * dense(part) for weight, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(dense(joined(parts, weights)), expected, atol=1e-12)
    assert distance(joined(parts, weights), joined(parts[::-1], weights[::-1])) < 1e-10


def test_twice_the_same_has_its_rank_once() -> None:
    one = product(0, 8, 6, 2)
    assert len(product_triplets(joined([one, one])).values) == 2
    assert len(product_triplets(joined([one, one], [1.0, -1.0])).values) == 0


def test_zero_has_no_rank() -> None:
    zero = Product(np.zeros((4, 2)), np.ones((2, 3)))
    assert len(product_triplets(zero).values) == 0 and length(zero) == 0
    basis, values, seen = shared_basis([zero, zero])
    assert basis.shape == (4, 0) and values.shape == (0,) and seen[1].left.shape == (0, 2)


def test_a_sum_of_nothing_or_without_its_weights() -> None:
    for parts, weights in (([], None), ([product(0, 2, 2, 1)], [1.0, 2.0])):
        with pytest.raises(UsageError, match="a weight for each"):
            joined(parts, weights)


@given(
    st.integers(1, 9),
    st.integers(1, 6),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(0, 99),
)
def test_the_shared_basis_is_that_of_the_dense_matrices_side_by_side(
    out: int, width: int, ranks: list[int], seed: int
) -> None:
    parts = [product(seed + place, out, width, rank) for place, rank in enumerate(ranks)]
    _, s, vt = np.linalg.svd(np.concatenate([dense(part) for part in parts], axis=1), full_matrices=False)
    basis, values, seen = shared_basis(parts)
    rank = len(values)
    np.testing.assert_allclose(values, s[:rank], rtol=1e-7)
    assert np.all(s[rank:] < 1e-9 * max(s[0], 1e-30))
    np.testing.assert_allclose(basis.T @ basis, np.eye(rank), atol=1e-9)
    for place, (part, own) in enumerate(zip(parts, seen, strict=True)):
        np.testing.assert_allclose(basis @ dense(own), dense(part), atol=1e-9)  # nothing is lost
        theirs = s[:rank, None] * vt[:rank, place * width : (place + 1) * width]
        np.testing.assert_allclose(abs(dense(own)), abs(theirs), atol=1e-5)  # up to each vector's sign
