import doctest

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge import singular
from ramekin.merge.singular import ROUNDING, isotropic, polar, triplets

KINDS = {"numpy": np.asarray, "torch": torch.as_tensor}
SHAPES = [(9, 9), (12, 5), (5, 12), (7, 1), (1, 7)]

kinds = st.sampled_from(sorted(KINDS))
seeds = st.integers(0, 10_000)


def random_matrix(seed: int, shape: tuple[int, int], rank: int | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if rank is None:
        return rng.standard_normal(shape).astype(np.float32)
    return (rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))).astype(np.float32)


def test_examples() -> None:
    found = doctest.testmod(singular)
    assert found.attempted > 0 and found.failed == 0


@given(seed=seeds, shape=st.sampled_from(SHAPES), kind=kinds)
def test_is_the_decomposition(seed: int, shape: tuple[int, int], kind: str) -> None:
    matrix = random_matrix(seed, shape)
    left, values, right = (np.asarray(each) for each in triplets(KINDS[kind](matrix)))
    rank = min(shape)
    assert left.shape == (shape[0], rank) and right.shape == (rank, shape[1]) and values.dtype == np.float64
    np.testing.assert_allclose(values, np.linalg.svd(matrix.astype(np.float64))[1], rtol=1e-6)
    np.testing.assert_allclose(left * values @ right, matrix, atol=1e-9)
    np.testing.assert_allclose(left.T @ left, np.eye(rank), atol=1e-6)
    np.testing.assert_allclose(right @ right.T, np.eye(rank), atol=1e-6)


@given(seed=seeds, shape=st.sampled_from(SHAPES[:3]), rank=st.integers(0, 4), kind=kinds)
def test_what_rounding_adds_to_a_low_rank_is_left_out(
    seed: int, shape: tuple[int, int], rank: int, kind: str
) -> None:
    matrix = random_matrix(seed, shape, rank)
    found = triplets(KINDS[kind](matrix))
    assert found.values.shape[0] == rank
    np.testing.assert_allclose(np.asarray(found.left * found.values @ found.right), matrix, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_keeps_the_leading_ones_above_the_floor(kind: str) -> None:
    matrix = KINDS[kind](np.diag([1.0, 4.0, 0.0, 2.0]))
    assert triplets(matrix, count=2).values.tolist() == [4.0, 2.0]
    assert triplets(matrix, count=0).values.tolist() == []
    assert triplets(matrix, floor=1.0).values.tolist() == [4.0, 2.0]
    assert triplets(KINDS[kind](np.diag([1.0, 0.9 * ROUNDING]))).values.shape == (1,)
    assert triplets(KINDS[kind](np.diag([1.0, 1.1 * ROUNDING]))).values.shape == (2,)


@given(seed=seeds, shape=st.sampled_from(SHAPES), kind=kinds)
def test_the_polar_factor_is_that_of_the_svd_and_stays(seed: int, shape: tuple[int, int], kind: str) -> None:
    matrix = random_matrix(seed, shape).astype(np.float64)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    found = polar(KINDS[kind](matrix))
    np.testing.assert_allclose(np.asarray(found), left @ right, atol=1e-6)
    np.testing.assert_allclose(np.asarray(polar(found)), np.asarray(found), atol=1e-6)


@given(seed=seeds, shape=st.sampled_from(SHAPES[:3]), kind=kinds)
def test_the_polar_factor_of_nearly_dependent_rows_and_columns_is_exact(
    seed: int, shape: tuple[int, int], kind: str
) -> None:
    left, _, right = np.linalg.svd(random_matrix(seed, shape).astype(np.float64), full_matrices=False)
    values = np.geomspace(1.0, 3 * ROUNDING, min(shape))
    found = np.asarray(polar(KINDS[kind](left * values @ right)))
    np.testing.assert_allclose(found, left @ right, atol=1e-8)  # by the Gram matrix it is 1e-6 and more off


@given(seed=seeds, rank=st.integers(1, 4), kind=kinds)
def test_the_polar_factor_of_a_low_rank_is_a_partial_isometry(seed: int, rank: int, kind: str) -> None:
    matrix = random_matrix(seed, (9, 7), rank)
    found = np.asarray(polar(KINDS[kind](matrix)))
    values = np.linalg.svd(found)[1]
    np.testing.assert_allclose(values, [1.0] * rank + [0.0] * (7 - rank), atol=1e-5)
    # It is the positive part of the decomposition: P^T M is symmetric and positive.
    product = found.T @ matrix
    np.testing.assert_allclose(product, product.T, atol=1e-4)
    assert np.linalg.eigvalsh(product).min() > -1e-4


@given(seed=seeds, shape=st.sampled_from(SHAPES[:3]), count=st.integers(1, 5), kind=kinds)
def test_isotropic_levels_the_leading_values(
    seed: int, shape: tuple[int, int], count: int, kind: str
) -> None:
    matrix = random_matrix(seed, shape).astype(np.float64)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = values[:count].mean() * left[:, :count] @ right[:count]
    np.testing.assert_allclose(np.asarray(isotropic(KINDS[kind](matrix), count=count)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_of_the_mean_count_and_zeros_stay_zeros(kind: str) -> None:
    found = np.asarray(isotropic(KINDS[kind](np.diag([4.0, 2.0, 0.0]))))
    np.testing.assert_allclose(found, np.diag([2.0, 2.0, 0.0]), atol=1e-12)
    assert np.asarray(isotropic(KINDS[kind](np.zeros((3, 5))))).tolist() == np.zeros((3, 5)).tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 0), (0, 4)])
def test_a_matrix_without_columns_or_rows_has_no_triplets(shape: tuple[int, int], kind: str) -> None:
    assert triplets(KINDS[kind](np.zeros(shape))).values.shape == (0,)
    assert polar(KINDS[kind](np.zeros(shape))).shape == shape
