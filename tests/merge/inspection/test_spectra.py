import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.inspection import spectra as module
from ramekin.merge.inspection.spectra import matrices_of, ranks_of, spectra
from ramekin.merge.singular import spectrum, triplets
from ramekin.merge.stream import ModelStream, NamedReader
from ramekin.weights.reading import ArrayReader

W = "encoder.block.0.layer.0.SelfAttention.q.weight"


def test_examples() -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


def _stream(*deltas: np.ndarray) -> ModelStream:
    rows = [
        {W: each.astype(np.float32), "shared.weight": np.ones((9, 4), dtype=np.float32)} for each in deltas
    ]
    zeros = {name: np.zeros_like(array) for name, array in rows[0].items()}
    readers = [NamedReader(str(i), ArrayReader(each, where=str(i))) for i, each in enumerate([zeros, *rows])]
    return ModelStream(readers[0], readers[1:], zeros, threads=1)


def _orthonormal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def test_tables_have_no_spectra() -> None:
    assert matrices_of(_stream(np.eye(4))) == (W,)


@given(values=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12))
def test_ranks_are_between_one_and_the_number_of_values(values: list[float]) -> None:
    ordered = sorted(values, reverse=True)
    found = ranks_of(ordered)
    assert found.stable is not None and found.entropy is not None
    assert 1 - 1e-9 <= found.stable <= len(values) + 1e-9
    assert 1 - 1e-9 <= found.entropy <= len(values) + 1e-9
    squares = np.asarray(ordered) ** 2
    assert squares[: found.energy].sum() >= (0.9 - 1e-9) * squares.sum()
    assert squares[: found.energy - 1].sum() < (0.9 + 1e-9) * squares.sum()
    scaled = ranks_of([7 * value for value in ordered])
    assert scaled.stable == pytest.approx(found.stable) and scaled.entropy == pytest.approx(found.entropy)


@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (8, 8)])
def test_overlaps_of_subspaces_that_are_known(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    left, right = _orthonormal(rng, shape[0], 4), _orthonormal(rng, shape[1], 4)
    one = left[:, :2] @ right[:, :2].T
    apart = left[:, 2:] @ right[:, 2:].T
    half = left[:, [0, 2]] @ right[:, [0, 2]].T
    turned = left[:, :2] @ right[:, 2:].T
    found = spectra(_stream(one, apart, half, turned, 3 * one), limit=64)[W]
    assert found.counts == (2, 2, 2, 2, 2)
    np.testing.assert_allclose(found.left[0], [1, 0, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(found.right[0], [1, 0, 0.5, 0, 1], atol=1e-6)
    assert found.overlap(0, 2) == pytest.approx((0.5, 0.5)) and found.chance(0, 2) == (
        2 / shape[0],
        2 / shape[1],
    )
    assert all(ranks.stable == pytest.approx(2) for ranks in found.models)


def test_a_delta_of_zero_overlaps_with_nothing() -> None:
    found = spectra(_stream(np.zeros((6, 5)), np.eye(6)[:, :5]), limit=64)[W]
    assert found.overlap(0, 1) is None and found.chance(0, 1) is None
    assert found.counts == (0, 5) and found.models[0].stable is None


def test_random_subspaces_overlap_as_chance_has_it() -> None:
    rng = np.random.default_rng(1)
    overlaps = []
    for _ in range(60):
        found = spectra(_stream(rng.standard_normal((20, 16)), rng.standard_normal((20, 16))), limit=4)[W]
        assert found.counts == (4, 4) and found.chance(0, 1) == (0.2, 0.25)
        overlaps.append(found.overlap(0, 1))
    np.testing.assert_allclose(np.mean(overlaps, axis=0), [0.2, 0.25], atol=0.03)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7)])
def test_the_leading_vectors_are_those_of_all(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(2).standard_normal(shape)
    some, every = spectrum(matrix, lambda values: 2), triplets(matrix)
    np.testing.assert_allclose(some.values, np.linalg.svd(matrix, compute_uv=False), rtol=1e-9)
    np.testing.assert_array_equal(some.leading.values, every.values[:2])
    np.testing.assert_allclose(some.leading.left @ some.leading.right, every.left[:, :2] @ every.right[:2])
