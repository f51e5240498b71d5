import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

Arrays = dict[str, np.ndarray]
ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)
SHAPES = {"a": (5, 4), "b": (7,), "scale": (), "one": (1, 3)}


def log_map(mu: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The way on the sphere from one unit vector to another."""
    angle = math.acos(min(1.0, max(-1.0, float(mu @ unit))))
    return np.zeros_like(mu) if angle < 1e-12 else angle / math.sin(angle) * (unit - math.cos(angle) * mu)


def by_the_book(tensors: list[np.ndarray], weights: list[float], max_iter: int, tol: float) -> np.ndarray:
    """Steps along the mean of the ways to all units, on the vectors themselves."""
    vectors = [np.float64(each).reshape(-1) for each in tensors]
    weights = [each / sum(weights) for each in weights]
    length = sum(w * np.linalg.norm(v) for w, v in zip(weights, vectors, strict=True))
    units = [(w, v / np.linalg.norm(v)) for w, v in zip(weights, vectors, strict=True) if v.any()]
    if not units:
        return np.zeros(np.shape(tensors[0]))
    present = sum(w for w, _ in units)
    mu = sum(w * u for w, u in units)
    mu /= np.linalg.norm(mu)
    for _ in range(max_iter):
        step = sum(w / present * log_map(mu, u) for w, u in units)
        size = np.linalg.norm(step)
        if size <= tol:
            break
        mu = math.cos(size) * mu + math.sin(size) * step / size
        mu /= np.linalg.norm(mu)
    return (length * mu).reshape(np.shape(tensors[0]))


def around(seed: int, count: int, spread: float) -> list[Arrays]:
    """Models that point more or less the same way, with lengths of their own."""
    rng = np.random.default_rng(seed)
    centre = {
        name: rng.standard_normal(shape) + 5 * (shape in ((), (1, 3))) for name, shape in SHAPES.items()
    }
    return [
        {n: np.float32(rng.uniform(0.5, 2) * (c + spread * rng.standard_normal(c.shape))) for n, c in centre.items()}
        for _ in range(count)
    ]  # fmt: skip


@given(
    seed=seeds,
    count=st.integers(1, 4),
    weights=st.sampled_from([None, [1, 3, 0.5, 2]]),
    max_iter=st.sampled_from([1, 2, 10, 100]),
    tol=st.sampled_from([1e-5, 0.0]),
)
def test_is_the_book(agree, seed: int, count: int, weights, max_iter: int, tol: float) -> None:
    models = around(seed, count, 0.7)
    own = weights and weights[:count]
    found = merge_arrays("karcher", None, models, walking=ALONE, weights=own, max_iter=max_iter, tol=tol)
    expected = {
        n: by_the_book([each[n] for each in models], own or [1.0] * count, max_iter, tol) for n in SHAPES
    }
    agree(found, expected)


@given(seed=seeds, count=st.integers(2, 5), weighted=st.booleans())
def test_is_where_the_ways_to_all_models_add_to_nothing(seed: int, count: int, weighted: bool) -> None:
    """The gradient of the weighted sum of squared angles is zero there, and no point near it has less."""
    rng = np.random.default_rng(seed)
    models = [{"w": np.float32(rng.standard_normal(30) + 1)} for _ in range(count)]
    weights = rng.uniform(0.5, 2, count).tolist() if weighted else [1.0] * count
    found = merge_arrays("karcher", None, models, walking=ALONE, weights=weights, max_iter=300, tol=0)["w"]
    mu = np.float64(found) / np.linalg.norm(np.float64(found))
    units = [np.float64(each["w"]) / np.linalg.norm(np.float64(each["w"])) for each in models]
    gradient = sum(w * log_map(mu, u) for w, u in zip(weights, units, strict=True))
    assert np.linalg.norm(gradient) < 2e-6 * sum(weights)

    def squared(point: np.ndarray) -> float:
        unit = point / np.linalg.norm(point)
        return sum(w * math.acos(min(1.0, float(unit @ u))) ** 2 for w, u in zip(weights, units, strict=True))

    for _ in range(5):
        assert squared(mu) < squared(mu + 0.01 * rng.standard_normal(30))


@given(seed=seeds)
def test_the_length_is_the_mean_length(seed: int) -> None:
    models = around(seed, 3, 0.5)
    found = merge_arrays("karcher", None, models, walking=ALONE, weights=[1, 2, 5])
    for name, each in found.items():
        lengths = [np.linalg.norm(np.float64(model[name])) for model in models]
        assert np.linalg.norm(np.float64(each)) == pytest.approx(np.average(lengths, weights=[1, 2, 5]))


@given(seed=seeds)
def test_of_two_models_of_one_length_it_is_halfway_along_the_arc(agree, seed: int) -> None:
    models = around(seed, 2, 0.5)
    same = [
        {n: np.float32(2 * np.float64(each) / np.linalg.norm(np.float64(each))) for n, each in model.items()}
        for model in models
    ]
    karcher = merge_arrays("karcher", None, same, walking=ALONE)
    # slerp takes the line where the cosine is above 0.9995
    agree(karcher, merge_arrays("slerp", None, same, walking=ALONE, t=0.5), 3e-4)


@given(seed=seeds, t=st.floats(0.05, 0.95))
def test_weights_of_two_unit_models_are_slerp(agree, seed: int, t: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = [rng.standard_normal(20) + 1 for _ in range(2)]
    models = [{"w": np.float32(each / np.linalg.norm(each))} for each in vectors]
    found = merge_arrays("karcher", None, models, walking=ALONE, weights=[1 - t, t], max_iter=200, tol=0)
    # slerp takes the line where the cosine is above 0.9995
    agree(found, merge_arrays("slerp", None, models, walking=ALONE, t=t), 1e-4)


@pytest.mark.parametrize("max_iter", [1, 10])
def test_zeros_have_no_direction_and_count_in_the_length(max_iter: int) -> None:
    rng = np.random.default_rng(0)
    a, b, c = (np.float32(rng.standard_normal(6) + 0.3) for _ in range(3))
    zero = np.zeros(6, dtype=np.float32)
    models = [{"w": each, "z": zero} for each in (a, zero, zero, b, zero, c)]
    found = merge_arrays("karcher", None, models, max_iter=max_iter)
    assert not found["z"].any()
    without = merge_arrays("karcher", None, [{"w": each} for each in (a, b, c)], max_iter=max_iter)
    np.testing.assert_allclose(found["w"], without["w"] / 2, rtol=1e-6)
    nothing = merge_arrays("karcher", None, [{"w": a}, {"w": zero}], weights=[0, 1])
    assert not nothing["w"].any()


@given(seed=seeds, weights=st.sampled_from([[1, 1], [1, 3], [5, 1]]))
def test_opposite_models_are_refused(seed: int, weights: list[float]) -> None:
    w = np.random.default_rng(seed).standard_normal(20).astype(np.float32)
    with pytest.raises(UsageError, match="(cancel each other|points opposite).*: w; fix: use simple_average"):
        merge_arrays("karcher", None, [{"w": w}, {"w": -2 * w}], walking=ALONE, weights=weights)


def test_weights_that_add_to_zero() -> None:
    models = [{"w": np.float32([1, 2])}] * 2
    with pytest.raises(UsageError, match="the weights add to zero: w: got 0, 0"):
        merge_arrays("karcher", None, models, weights=[0, 0])
    with pytest.raises(UsageError, match=r"weights\[1\]: expected at least 0, got -1"):
        merge_arrays("karcher", None, models, weights=[1, -1])
