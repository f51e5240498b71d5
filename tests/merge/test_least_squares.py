import doctest
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError, WeightsError
from ramekin.merge import least_squares as module
from ramekin.merge.least_squares import (
    centred,
    delta_moment,
    diagonal_quotient,
    identity_moment,
    least_squares,
    shrunk_gram,
    unit_delta_moment,
)

KINDS = {"numpy": np.asarray, "torch": torch.as_tensor}
SHAPES = [(6, 6), (9, 4), (4, 9), (5, 1), (1, 5)]

kinds = st.sampled_from(sorted(KINDS))
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)


def problem(
    seed: int, count: int, shape: tuple[int, int], samples: int = 20
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights and the inputs of each, one input a row."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]
    return weights, [rng.standard_normal((samples, shape[1])) for _ in range(count)]


def by_the_book(weights: list[np.ndarray], inputs: list[np.ndarray], ridge: float) -> np.ndarray:
    """The stacked regression of all outputs on all inputs, with rows for the ridge."""
    width = weights[0].shape[1]
    trace = sum(float((each**2).sum()) for each in inputs)
    spread = np.sqrt(ridge * trace / (len(inputs) * width)) * np.eye(width)
    rows = [np.concatenate([each, spread]) for each in inputs]
    targets = [each @ weight.astype(np.float64).T for each, weight in zip(rows, weights, strict=True)]
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0].T


def solve(weights: list[np.ndarray], moments: list[np.ndarray], kind: str, **more: float) -> np.ndarray:
    pairs = zip(weights, moments, strict=True)
    return np.asarray(least_squares(((KINDS[kind](w), KINDS[kind](m)) for w, m in pairs), **more))


def test_examples() -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


@given(
    seed=seeds, count=st.integers(1, 4), shape=shapes, ridge=st.sampled_from([1e-6, 1e-2, 1.0]), kind=kinds
)
def test_is_the_stacked_regression(
    seed: int, count: int, shape: tuple[int, int], ridge: float, kind: str
) -> None:
    weights, inputs = problem(seed, count, shape)
    found = solve(weights, [each.T @ each for each in inputs], kind, ridge=ridge)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_the_book(weights, inputs, ridge), atol=2e-5)


@given(seed=seeds, order=st.permutations(range(3)), kind=kinds)
def test_the_order_does_not_matter(seed: int, order: list[int], kind: str) -> None:
    weights, inputs = problem(seed, 3, (6, 4))
    moments = [each.T @ each for each in inputs]
    turned = solve([weights[i] for i in order], [moments[i] for i in order], kind)
    np.testing.assert_allclose(turned, solve(weights, moments, kind), atol=1e-5)


@given(seed=seeds, count=st.integers(1, 3), samples=st.integers(1, 3), kind=kinds)
def test_equal_weights_stand_however_little_the_moments_say(
    seed: int, count: int, samples: int, kind: str
) -> None:
    weights, inputs = problem(seed, count, (5, 8), samples)
    weights = [weights[0]] * count
    found = solve(weights, [each.T @ each for each in inputs], kind)
    np.testing.assert_allclose(found, weights[0], atol=1e-5)


@given(seed=seeds, kind=kinds)
def test_weights_and_deltas_differ_by_the_base(seed: int, kind: str) -> None:
    weights, inputs = problem(seed, 3, (5, 4))
    base = problem(seed + 1, 1, (5, 4))[0][0].astype(np.float64)
    moments = [each.T @ each for each in inputs]
    shifted = [weight + base for weight in weights]
    np.testing.assert_allclose(solve(shifted, moments, kind) - base, solve(weights, moments, kind), atol=1e-5)


@given(seed=seeds, shape=shapes, kind=kinds)
def test_identity_gives_the_weighted_mean(seed: int, shape: tuple[int, int], kind: str) -> None:
    weights, _ = problem(seed, 3, shape)
    given_weights = [KINDS[kind](weight) for weight in weights]
    shares = [1.0, 2.0, 5.0]
    equal = least_squares((w, identity_moment(w)) for w in given_weights)
    np.testing.assert_allclose(np.asarray(equal), np.mean(weights, axis=0), rtol=1e-6, atol=1e-6)
    uneven = least_squares(
        (w, identity_moment(w, weight=share)) for w, share in zip(given_weights, shares, strict=True)
    )
    np.testing.assert_allclose(
        np.asarray(uneven), np.average(weights, axis=0, weights=shares), rtol=1e-5, atol=1e-5
    )


@given(seed=seeds, shape=shapes, samples=st.integers(1, 30), kind=kinds)
def test_a_huge_ridge_gives_the_mean(seed: int, shape: tuple[int, int], samples: int, kind: str) -> None:
    weights, inputs = problem(seed, 3, shape, samples)
    found = solve(weights, [each.T @ each for each in inputs], kind, ridge=1e9)
    np.testing.assert_allclose(found, np.mean(weights, axis=0), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ridge_leads_from_the_minimiser_to_the_mean(kind: str) -> None:
    weights, inputs = problem(0, 3, (6, 5))
    moments = [each.T @ each for each in inputs]
    mean = np.mean(weights, axis=0)
    distances = [
        np.linalg.norm(solve(weights, moments, kind, ridge=r) - mean) for r in (1e-9, 0.1, 1.0, 10.0, 1e3)
    ]
    assert distances == sorted(distances, reverse=True) and distances[-1] < 0.01 < distances[0]
    exact = sum(w @ m for w, m in zip(weights, moments, strict=True)) @ np.linalg.inv(sum(moments))
    np.testing.assert_allclose(solve(weights, moments, kind, ridge=1e-9), exact, atol=1e-5)


@given(seed=seeds, rank=st.integers(1, 3), kind=kinds)
def test_low_ranks_are_finite_and_solved_where_something_is_known(seed: int, rank: int, kind: str) -> None:
    weights, inputs = problem(seed, 2, (6, 16), rank)
    moments = [each.T @ each for each in inputs]
    found = solve(weights, moments, kind)
    exact = np.linalg.lstsq(
        np.concatenate(inputs),
        np.concatenate([each @ weight.T for each, weight in zip(inputs, weights, strict=True)]),
        rcond=None,
    )[0].T
    known = np.concatenate(inputs).T
    assert np.isfinite(found).all()
    # Fewer inputs than columns: every model's outputs are met, and beside the inputs the mean stands.
    np.testing.assert_allclose(found @ known, exact @ known, atol=2e-3)
    rest = np.eye(16) - known @ np.linalg.pinv(known)
    np.testing.assert_allclose(found @ rest, np.mean(weights, axis=0) @ rest, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_of_zeros_give_the_mean(kind: str) -> None:
    weights, _ = problem(0, 3, (4, 5))
    found = solve(weights, [np.zeros((5, 5))] * 3, kind)
    np.testing.assert_allclose(found, np.mean(weights, axis=0), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_rounded_below_zero_raise_the_ridge(kind: str) -> None:
    moment = np.diag([1.0, 1e-3, -1e-5])
    weight = np.asarray([[1.0, 2.0, 3.0]], dtype=np.float32)
    np.testing.assert_allclose(solve([weight], [moment], kind), weight, rtol=1e-6)
    two = solve([weight, weight + 1], [moment, moment], kind)
    assert np.isfinite(two).all() and np.abs(two).max() < 5


@pytest.mark.parametrize("diagonal", [[1.0, 1.0, float("nan")], [1.0, 1.0, -0.5], [-1.0, 0.0, 0.0]])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_covariance_is_refused(diagonal: list[float], kind: str) -> None:
    with pytest.raises(WeightsError, match="do not add to a covariance"):
        solve([np.ones((1, 3), dtype=np.float32)], [np.diag(diagonal)], kind)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_given_is_not_changed_and_is_taken_one_at_a_time(kind: str) -> None:
    weights, inputs = problem(1, 3, (4, 3))
    given_weights = [KINDS[kind](weight.astype(np.float64)) for weight in weights]
    moments = [KINDS[kind](each.T @ each) for each in inputs]
    before = [np.asarray(each).copy() for each in (*given_weights, *moments)]
    alive = []

    def terms() -> Iterator[tuple[object, object]]:
        for place in range(3):
            alive.append(place)
            yield given_weights[place], moments[place]

    least_squares(terms())
    assert alive == [0, 1, 2]
    for old, new in zip(before, (*given_weights, *moments), strict=True):
        np.testing.assert_array_equal(old, np.asarray(new))


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan")])
def test_a_ridge_is_always_on(ridge: float) -> None:
    with pytest.raises(UsageError, match="ridge must be above 0"):
        least_squares([(np.eye(2), np.eye(2))], ridge=ridge)


def test_nothing_is_refused() -> None:
    for function in (least_squares, diagonal_quotient):
        with pytest.raises(UsageError, match="nothing to merge"):
            function([])


@given(seed=seeds, shape=shapes, kind=kinds)
def test_estimators_are_their_formulas(seed: int, shape: tuple[int, int], kind: str) -> None:
    delta = problem(seed, 1, shape)[0][0]
    exact = delta.astype(np.float64)
    given_delta = KINDS[kind](delta)
    np.testing.assert_allclose(np.asarray(delta_moment(given_delta)), exact.T @ exact, atol=1e-12)
    unit = np.asarray(unit_delta_moment(given_delta))
    np.testing.assert_allclose(unit, exact.T @ exact / (exact**2).sum(), atol=1e-12)
    assert np.trace(unit) == pytest.approx(1.0)
    rows, mean = (np.asarray(each) for each in centred(given_delta))
    np.testing.assert_allclose(rows, exact - exact.mean(0), atol=1e-12)
    np.testing.assert_allclose(mean, exact.mean(0)[None], atol=1e-12)


@given(seed=seeds, alpha=st.floats(0, 1), kind=kinds)
def test_a_shrunk_gram_keeps_its_diagonal(seed: int, alpha: float, kind: str) -> None:
    inputs = problem(seed, 1, (1, 5))[1][0]
    gram = inputs.T @ inputs
    expected = np.array([[gram[i, j] * (1 if i == j else alpha) for j in range(5)] for i in range(5)])
    np.testing.assert_allclose(np.asarray(shrunk_gram(KINDS[kind](gram), off_diagonal=alpha)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_delta_of_zeros_has_a_moment_of_zeros(kind: str) -> None:
    assert np.asarray(unit_delta_moment(KINDS[kind](np.zeros((2, 3))))).tolist() == np.zeros((3, 3)).tolist()


@given(seed=seeds, shape=st.sampled_from([(4,), (3, 5), (2, 3, 4)]), kind=kinds)
def test_the_diagonal_quotient_is_a_solve_for_each_element(
    seed: int, shape: tuple[int, ...], kind: str
) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(shape) for _ in range(3)]
    precisions = [rng.random(shape) * rng.integers(0, 2, shape) for _ in range(3)]
    found = diagonal_quotient(
        (KINDS[kind](w), KINDS[kind](p)) for w, p in zip(weights, precisions, strict=True)
    )
    expected = np.empty(shape)
    for place in np.ndindex(shape):
        shares = [precision[place] for precision in precisions]
        values = [weight[place] for weight in weights]
        expected[place] = np.average(values, weights=shares) if sum(shares) > 0 else np.mean(values)
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)
