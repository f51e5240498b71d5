import doctest

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge import svc
from ramekin.merge.stream import Lazy
from ramekin.merge.svc import calibrate

KINDS = {"numpy": np.asarray, "torch": torch.as_tensor}
SHAPES = [(7, 7), (10, 4), (4, 10), (6, 1), (1, 6)]

kinds = st.sampled_from(sorted(KINDS))
seeds = st.integers(0, 10_000)
alphas = st.sampled_from([0.1, 0.2, 1.0])


def random_deltas(seed: int, count: int, shape: tuple[int, int], rank: int | None = None) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    if rank is None:
        return [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]
    factors = [
        (rng.standard_normal((shape[0], rank)), rng.standard_normal((rank, shape[1]))) for _ in range(count)
    ]
    return [(a @ b).astype(np.float32) for a, b in factors]


def by_the_book(direction: np.ndarray, deltas: list[np.ndarray], alpha: float) -> np.ndarray:
    """One singular direction at a time, from the singular value decomposition."""
    left, values, right = np.linalg.svd(direction.astype(np.float64), full_matrices=False)
    result = np.zeros(direction.shape)
    for r in range(len(values)):
        merged = left[:, r] @ direction
        total = 0.0
        for delta in deltas:
            response = left[:, r] @ delta.astype(np.float64)
            total += max(alpha, float(merged @ response) / float(response @ response))
        result += values[r] * len(deltas) / total * np.outer(left[:, r], right[r])
    return result


def run(direction: np.ndarray, deltas: list[np.ndarray], kind: str, alpha: float) -> np.ndarray:
    return np.asarray(calibrate(KINDS[kind](direction), [KINDS[kind](each) for each in deltas], alpha=alpha))


def test_examples() -> None:
    found = doctest.testmod(svc)
    assert found.attempted > 0 and found.failed == 0


@given(seed=seeds, count=st.integers(1, 4), shape=st.sampled_from(SHAPES), alpha=alphas, kind=kinds)
def test_is_the_formula(seed: int, count: int, shape: tuple[int, int], alpha: float, kind: str) -> None:
    deltas = random_deltas(seed, count, shape)
    direction = (0.3 * sum(deltas)).astype(np.float32)
    found = run(direction, deltas, kind, alpha)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_the_book(direction, deltas, alpha), rtol=1e-3, atol=1e-4)


@given(seed=seeds, order=st.permutations(range(3)), kind=kinds)
def test_the_order_does_not_matter(seed: int, order: list[int], kind: str) -> None:
    deltas = random_deltas(seed, 3, (6, 5))
    direction = sum(deltas)
    turned = run(direction, [deltas[place] for place in order], kind, 0.1)
    np.testing.assert_allclose(turned, run(direction, deltas, kind, 0.1), atol=1e-5)


@given(seed=seeds, count=st.integers(1, 4), factor=st.floats(0.1, 10), kind=kinds)
def test_equal_models_count_once_at_any_length_above_alpha(
    seed: int, count: int, factor: float, kind: str
) -> None:
    delta = random_deltas(seed, 1, (6, 5))[0]
    found = run((factor * delta).astype(np.float32), [delta] * count, kind, 0.05)
    np.testing.assert_allclose(found, delta, atol=1e-4)


@given(seed=seeds, kind=kinds)
def test_a_direction_is_shortened_no_more_than_alpha_allows(seed: int, kind: str) -> None:
    delta = random_deltas(seed, 1, (6, 5))[0]
    np.testing.assert_allclose(run(0.25 * delta, [delta], kind, 0.5), 0.5 * delta, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_beside_a_direction_counts_alpha_there(kind: str) -> None:
    one, two = np.diag([4.0, 0.0]), np.diag([0.0, 2.0])
    # Direction 1: task one has 1, task two nothing: 2 / (1 + 0.5); direction 2 likewise.
    np.testing.assert_allclose(
        run(one + two, [one, two], kind, 0.5), np.diag([4.0, 2.0]) * 2 / 1.5, rtol=1e-6
    )
    # What rounding left of a task in a direction says nothing, whatever its sign.
    for rest in (1e-9, -1e-9):
        rounded = two + np.diag([rest, 0.0])
        np.testing.assert_allclose(
            run(one + two, [one, rounded], kind, 0.5), np.diag([4.0, 2.0]) * 2 / 1.5, rtol=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_direction_does_not_make_a_response_of_rounding(kind: str) -> None:
    found = run(1e9 * np.diag([4.0, 2.0]), [np.diag([1e-9, 2.0])], kind, 0.5)
    np.testing.assert_allclose(found, np.diag([8e9, 2.0]), rtol=1e-6)


@given(seed=seeds, rank=st.integers(1, 3), kind=kinds)
def test_low_ranks_keep_to_their_directions(seed: int, rank: int, kind: str) -> None:
    deltas = random_deltas(seed, 2, (12, 11), rank)
    found = run(sum(deltas), deltas, kind, 0.1)
    assert np.isfinite(found).all()
    assert np.linalg.matrix_rank(found, tol=1e-4 * np.linalg.norm(found)) <= 2 * rank


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_stay_zeros(kind: str) -> None:
    zeros = np.zeros((3, 4), dtype=np.float32)
    delta = random_deltas(0, 1, (3, 4))[0]
    assert run(zeros, [delta, zeros], kind, 0.1).tolist() == zeros.tolist()
    # A model that learned nothing counts alpha in every direction.
    np.testing.assert_allclose(run(delta, [delta, zeros], kind, 0.5), delta * 2 / 1.5, atol=1e-6)


def test_each_delta_is_asked_for_once_in_order() -> None:
    deltas, asked = random_deltas(0, 3, (4, 4)), []

    def give(place: int) -> np.ndarray:
        asked.append(place)
        return deltas[place]

    calibrate(sum(deltas), Lazy(3, give), alpha=0.1)
    assert asked == [0, 1, 2]


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(UsageError, match="nothing to calibrate by"):
        calibrate(np.eye(2), [], alpha=0.1)
    for alpha in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="alpha must be above 0"):
            calibrate(np.eye(2), [np.eye(2)], alpha=alpha)
