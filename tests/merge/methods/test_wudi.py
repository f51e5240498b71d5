from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.methods import wudi as wudi_module
from ramekin.merge.methods.wudi import METHOD

wudi = partial(wudi_module.wudi, ridge=1e-6)  # near the exact minimiser, which the default is not

SHAPES = [(8, 8), (12, 5), (5, 12), (6, 1), (1, 6)]

kinds = st.sampled_from(["numpy", "torch"])
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)


def loss(direction: np.ndarray, deltas: list[np.ndarray]) -> float:
    """The interference that the paper minimises."""
    return sum(float((((direction - d) @ d.T) ** 2).sum() / (d**2).sum()) for d in deltas)


def by_adam(deltas: list[np.ndarray], *, learning_rate: float = 1e-5, steps: int = 400) -> np.ndarray:
    """The original: Adam from the sum of the deltas."""
    stacked = torch.as_tensor(np.stack(deltas))
    lengths = (stacked**2).sum(dim=(1, 2), keepdim=True)
    direction = torch.nn.Parameter(stacked.sum(0))
    optimizer = torch.optim.Adam([direction], lr=learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (((direction - stacked) @ stacked.mT) ** 2 / lengths).sum().backward()
        optimizer.step()
    return direction.detach().numpy()


def by_the_book(deltas: list[np.ndarray]) -> np.ndarray:
    """The minimiser of least length, from the pseudo-inverse of the stacked problem."""
    scaled = [delta / np.linalg.norm(delta) for delta in deltas]
    targets = [delta @ unit.T for delta, unit in zip(deltas, scaled, strict=True)]
    return np.concatenate(targets, axis=1) @ np.linalg.pinv(np.concatenate(scaled).T, rcond=1e-7)


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, kind=kinds)
def test_is_the_minimiser(random_deltas, as_kind, seed: int, count: int, shape, kind: str) -> None:
    deltas = random_deltas(seed, count, shape)
    found = np.asarray(wudi(as_kind(deltas, kind), ridge=1e-9))
    assert found.dtype == np.float32
    least = loss(by_the_book(deltas), deltas)
    assert loss(found.astype(np.float64), deltas) <= least + 1e-6 * sum((d**2).sum() for d in deltas)


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_has_no_more_loss_than_400_steps_of_adam(
    random_deltas, as_kind, kind: str, shape, scale: float
) -> None:
    # Deltas of 0.001 to 0.02: within, and beyond, the 0.004 that Adam can walk.
    deltas = [scale * delta for delta in random_deltas(1, 4, shape)]
    found = np.asarray(wudi(as_kind(deltas, kind))).astype(np.float64)
    walked = by_adam(deltas)
    assert loss(walked, deltas) < loss(np.sum(deltas, axis=0), deltas)
    assert loss(found, deltas) <= loss(walked, deltas)
    if scale == 0.05:
        np.testing.assert_allclose(loss(found, deltas), loss(walked, deltas), rtol=0.1)


@given(seed=seeds, order=st.permutations(range(3)), shape=shapes, kind=kinds)
def test_the_order_does_not_matter(random_deltas, as_kind, seed: int, order, shape, kind: str) -> None:
    deltas = as_kind(random_deltas(seed, 3, shape), kind)
    turned = wudi([deltas[place] for place in order])
    np.testing.assert_allclose(np.asarray(turned), np.asarray(wudi(deltas)), atol=1e-5)


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, rank=st.sampled_from([None, 1, 2]), kind=kinds)
def test_one_model_and_equal_models_give_their_delta(
    random_deltas, as_kind, seed: int, count: int, shape, rank, kind: str
) -> None:
    delta = random_deltas(seed, 1, shape, rank=rank)[0]
    found = wudi(as_kind([delta] * count, kind))
    np.testing.assert_allclose(np.asarray(found), delta, atol=1e-6)


@given(seed=seeds, factor=st.sampled_from([0.01, 3.0, 100.0]), kind=kinds)
def test_follows_the_scale_and_the_rotation_of_the_deltas(
    random_deltas, as_kind, seed: int, factor: float, kind: str
) -> None:
    deltas = random_deltas(seed, 3, (6, 5))
    plain = np.asarray(wudi(as_kind(deltas, kind)))
    scaled = wudi(as_kind([factor * delta for delta in deltas], kind))
    np.testing.assert_allclose(np.asarray(scaled), factor * plain, rtol=1e-3, atol=1e-5 * factor)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((5, 5)))[0]
    turned = wudi(as_kind([delta @ turn for delta in deltas], kind))
    np.testing.assert_allclose(np.asarray(turned), plain @ turn, atol=1e-4)


@given(seed=seeds, shape=st.sampled_from([(16, 16), (24, 12), (12, 24)]), rank=st.integers(1, 3), kind=kinds)
def test_low_ranks_are_finite_and_keep_every_task_where_there_is_room(
    random_deltas, as_kind, seed: int, shape, rank: int, kind: str
) -> None:
    deltas = random_deltas(seed, 3, shape, rank=rank)
    found = np.asarray(wudi(as_kind(deltas, kind)))
    assert np.isfinite(found).all()
    # 3 * rank inputs in at least 12 dimensions: the interference can be zero, and is, next to the sum's.
    assert loss(found.astype(np.float64), deltas) < 1e-3 * loss(np.sum(deltas, axis=0), deltas)
    unused = np.linalg.svd(np.concatenate(deltas))[2][3 * rank :].T
    assert np.abs(found @ unused).max(initial=0) < 1e-4


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_zeros(random_deltas, as_kind, kind: str) -> None:
    zeros = np.zeros((5, 4))
    assert np.asarray(wudi(as_kind([zeros, zeros], kind))).tolist() == zeros.tolist()
    delta = random_deltas(0, 1, (5, 4))[0]
    # A model that learned nothing has no say where the other knows: all its columns.
    np.testing.assert_allclose(np.asarray(wudi(as_kind([delta, zeros], kind))), delta, atol=1e-5)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_a_huge_ridge_gives_the_mean(random_deltas, as_kind, kind: str) -> None:
    deltas = random_deltas(0, 3, (5, 4))
    found = wudi(as_kind(deltas, kind), ridge=1e9)
    np.testing.assert_allclose(np.asarray(found), np.mean(deltas, axis=0), atol=1e-7)


def test_each_delta_is_asked_for_once_in_order(random_deltas, watched) -> None:
    watch = watched(random_deltas(0, 3, (5, 4)))
    wudi(watch.members)
    assert watch.asked == [0, 1, 2]


def test_is_wired(check_wiring) -> None:
    check_wiring(METHOD, METHOD.function)
    check_wiring(METHOD, wudi, ridge=0.5)
    with pytest.raises(UsageError, match="ridge: expected at least 1e-09"):
        METHOD.parse({"ridge": 0})
