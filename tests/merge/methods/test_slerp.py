import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)


def by_the_book(first: np.ndarray, second: np.ndarray, t: float) -> np.ndarray:
    """Shoemake's formula on one tensor as a vector; the line where the two point nearly the same way."""
    a, b = np.float64(first), np.float64(second)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    cosine = float((a * b).sum() / norms) if norms else 1.0
    if cosine > 0.9995:
        return (1 - t) * a + t * b
    omega = math.acos(cosine)
    return (math.sin((1 - t) * omega) * a + math.sin(t * omega) * b) / math.sin(omega)


def is_opposite(first: np.ndarray, second: np.ndarray) -> bool:
    a, b = np.float64(first), np.float64(second)
    return (a * b).sum() < -0.9995 * np.linalg.norm(a) * np.linalg.norm(b)


@given(seed=seeds, t=st.floats(-0.5, 1.5), near=st.booleans())
def test_is_the_book(make_models, agree, seed: int, t: float, near: bool) -> None:
    first, (second, other) = make_models(seed, 2)
    if near:  # a cosine on either side of 0.9995
        second = {n: np.float32(first[n] + 0.03 * (each - first[n])) for n, each in second.items()}
    else:
        second = {n: each - other[n] for n, each in second.items()}
    if any(is_opposite(first[n], second[n]) for n in first if first[n].size):
        second = {n: np.abs(each) * np.sign(first[n]) for n, each in second.items()}
    found = merge_arrays("slerp", None, [first, second], walking=ALONE, t=t)
    agree(found, {n: by_the_book(first[n], second[n], t) for n in first})
    from_base = merge_arrays("slerp", first, [second], walking=ALONE, t=t)
    assert all(np.array_equal(from_base[n], found[n]) for n in first)


@given(seed=seeds)
def test_the_ends_are_the_models(make_models, seed: int) -> None:
    _, tuned = make_models(seed, 2, shapes={"a": (5, 4), "b": (7,)})
    for t, model in ((0, tuned[0]), (1, tuned[1])):
        found = merge_arrays("slerp", None, tuned, walking=ALONE, t=t)
        assert all(np.array_equal(found[name], model[name]) for name in model)


@given(seed=seeds, steps=st.integers(2, 6))
def test_goes_along_the_arc_at_a_constant_speed_and_keeps_the_length(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    ends = []
    for _ in range(2):
        vector = rng.standard_normal(40)
        ends.append({"w": np.float32(vector / np.linalg.norm(vector))})
    path = [merge_arrays("slerp", None, ends, walking=ALONE, t=i / steps)["w"] for i in range(steps + 1)]
    assert all(np.linalg.norm(np.float64(each)) == pytest.approx(1, abs=1e-6) for each in path)
    turns = [math.acos(float(np.float64(a) @ np.float64(b))) for a, b in itertools.pairwise(path)]
    whole = math.acos(float(np.float64(ends[0]["w"]) @ np.float64(ends[1]["w"])))
    assert turns == pytest.approx([whole / steps] * steps, abs=2e-4)


@given(seed=seeds, t=st.floats(0, 1))
def test_the_way_back_is_the_same_way(make_models, agree, seed: int, t: float) -> None:
    _, (a, b) = make_models(seed, 2, shapes={"a": (5, 4), "b": (7,)})
    agree(
        merge_arrays("slerp", None, [a, b], walking=ALONE, t=t),
        merge_arrays("slerp", None, [b, a], walking=ALONE, t=1 - t),
        1e-6,
    )


@given(seed=seeds, t=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_opposite_tensors_are_refused_or_a_line(seed: int, t: float) -> None:
    w = np.random.default_rng(seed).standard_normal(20).astype(np.float32)
    models = [{"w": w}, {"w": -2 * w}]
    with pytest.raises(UsageError, match="point opposite ways: .*: w: expected a cosine above -0.9995"):
        merge_arrays("slerp", None, models, walking=ALONE, t=t)
    for settings in ({"opposite_is_line": True}, {"preset": "mergekit"}, {"preset": "fusionbench"}):
        found = merge_arrays("slerp", None, models, walking=ALONE, t=t, **settings)
        np.testing.assert_allclose(found["w"], (1 - t) * w - 2 * t * w, rtol=1e-6, atol=1e-6)


def test_a_tensor_of_zeros_is_the_end_of_a_line() -> None:
    models = [{"w": np.float32([2, 4])}, {"w": np.zeros(2, dtype=np.float32)}]
    assert merge_arrays("slerp", None, models, t=0.25)["w"].tolist() == [1.5, 3]
    assert merge_arrays("slerp", None, [models[1]] * 2)["w"].tolist() == [0, 0]


def test_each_tensor_has_its_own_angle_and_t() -> None:
    names = ["encoder.block.0.w", "decoder.block.0.w"]
    models = [{name: np.float32(each) for name in names} for each in ([1, 0], [0, 1])]
    found = merge_arrays("slerp", None, models, t={"encoder": 0, ".*": {"depth": [0.0, 1.0]}})
    assert [found[name].tolist() for name in names] == [[1, 0], [0, 1]]


def test_takes_two_models_or_a_base_and_one(make_models) -> None:
    base, tuned = make_models(0, 3)
    with pytest.raises(UsageError, match="slerp was given 3 models: expected at most 2"):
        merge_arrays("slerp", None, tuned)
    with pytest.raises(UsageError, match="slerp was given 1 model: expected at least 2"):
        merge_arrays("slerp", None, tuned[:1])
    beside = merge_arrays("slerp", base, tuned[:2])  # the base is only that of two models then
    alone = merge_arrays("slerp", None, tuned[:2])
    assert all(np.array_equal(beside[name], alone[name]) for name in base)
