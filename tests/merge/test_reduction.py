import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import WeightsError
from ramekin.merge.factors import Product
from ramekin.merge.reduction import Reduced, check_finite, reduced_matrix, reduced_product


def _thin(seed: int, out: int, width: int, rank: int) -> Product:
    rng = np.random.default_rng(seed)
    return Product(
        rng.standard_normal((out, rank)).astype(np.float32),
        rng.standard_normal((rank, width)).astype(np.float32),
    )


@given(
    seed=st.integers(0, 1000),
    out=st.integers(1, 9),
    width=st.integers(1, 9),
    own=st.integers(1, 4),
    rank=st.integers(1, 6),
)
def test_both_forms_give_the_nearest_matrix_of_that_rank(
    seed: int, out: int, width: int, own: int, rank: int
) -> None:
    product = _thin(seed, out, width, own)
    whole = np.float64(product.left) @ np.float64(product.right)
    left = np.linalg.svd(whole, compute_uv=False)[rank:]
    for found in (
        reduced_product("w", product, rank, "F32"),
        reduced_matrix("w", np.float32(whole), rank, "F32"),
    ):
        assert found.b.shape == (out, found.a.shape[0]) and found.a.shape[0] <= min(rank, out, width)
        size = np.linalg.norm(whole)
        assert np.isclose(found.length, size, rtol=1e-5)
        assert np.isclose(found.error, np.linalg.norm(left), rtol=1e-3, atol=1e-5 * size)
        assert np.allclose(
            np.linalg.norm(whole - np.float64(found.b) @ found.a), found.error, atol=1e-5 * size
        )


def test_the_error_is_that_of_what_is_stored() -> None:
    product = _thin(0, 6, 5, 2)
    exact, rounded = (reduced_product("w", product, 2, dtype) for dtype in ("F32", "BF16"))
    assert exact.error < 1e-5 * exact.length < rounded.error < 0.01 * rounded.length
    assert np.all(rounded.b.view(np.uint32) & 0xFFFF == 0) and np.all(rounded.a.view(np.uint32) & 0xFFFF == 0)
    whole = np.float64(product.left) @ np.float64(product.right)
    assert np.isclose(rounded.error, np.linalg.norm(whole - np.float64(rounded.b) @ rounded.a))


def test_nothing_is_stored_of_a_matrix_that_did_not_change() -> None:
    found = reduced_matrix("w", np.zeros((3, 2), dtype=np.float32), 4, "F32")
    assert isinstance(found, Reduced) and found.b.shape == (3, 0) and found.a.shape == (0, 2)
    assert (found.error, found.length) == (0.0, 0.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e39])
def test_what_fp32_does_not_hold_is_refused(wrong: float) -> None:
    matrix = np.ones((2, 2))
    check_finite("w", matrix)
    matrix[1, 0] = wrong
    with pytest.raises(WeightsError, match="a merged value is not finite: w"):
        check_finite("w", np.ones(3), matrix)
