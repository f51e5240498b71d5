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
averages = st.sampled_from(["cosine", "angle"])


def by_the_book(
    base: np.ndarray, tuned: list[np.ndarray], deltas: list[np.ndarray], average: str
) -> np.ndarray:
    cosines = []
    for a, b in itertools.combinations(deltas, 2):
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        if lengths == 0:
            return np.float64(base)
        cosines.append(min(1.0, max(-1.0, float((a * b).sum() / lengths))))
    mean = float(np.mean(cosines))
    if average == "angle":
        mean = math.cos(float(np.mean([math.acos(each) for each in cosines])))
    if mean <= 0:
        return np.float64(base)
    t = len(deltas) * mean / (1 + (len(deltas) - 1) * mean)
    return t * np.mean([np.float64(each) for each in tuned], axis=0) + (1 - t) * base


@given(seed=seeds, count=st.integers(2, 5), average=averages, shared=st.sampled_from([0.0, 0.3, 1.0, 3.0]))
def test_is_the_book(
    make_models, deltas_of, agree, seed: int, count: int, average: str, shared: float
) -> None:
    base, tuned = make_models(seed, count)
    rng = np.random.default_rng(seed)
    common = {n: shared * rng.standard_normal(each.shape) for n, each in base.items()}
    tuned = [{n: np.float32(each[n] + common[n]) for n in base} for each in tuned]
    deltas = deltas_of(base, tuned)
    found = merge_arrays("model_stock", base, tuned, walking=ALONE, average=average)
    expected = {
        n: by_the_book(base[n], [each[n] for each in tuned], [each[n] for each in deltas], average)
        for n in base
    }
    agree(found, expected)


@given(seed=seeds, count=st.integers(2, 4), average=averages)
def test_right_angles_give_the_base_and_equal_deltas_the_mean(seed: int, count: int, average: str) -> None:
    rng = np.random.default_rng(seed)
    base = {n: rng.standard_normal((count, 3)).astype(np.float32) for n in ("right", "equal")}
    tuned = []
    for model in range(count):
        own = {n: each.copy() for n, each in base.items()}
        own["right"][model] += rng.standard_normal(3).astype(np.float32)  # a row of its own each
        own["equal"] += 1
        tuned.append(own)
    found = merge_arrays("model_stock", base, tuned, walking=ALONE, average=average)
    # cos(pi / 2) is 6e-17, not 0
    np.testing.assert_allclose(found["right"], base["right"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["equal"], base["equal"] + 1, rtol=1e-6, atol=1e-6)


@given(seed=seeds)
def test_of_two_models_there_is_one_angle(make_models, agree, seed: int) -> None:
    base, tuned = make_models(seed, 2)
    found = [merge_arrays("model_stock", base, tuned, walking=ALONE, average=a) for a in ("cosine", "angle")]
    agree(found[0], found[1], 1e-6)


def test_the_mean_angle_is_another_for_more_and_the_presets_say_which(make_models) -> None:
    base, tuned = make_models(1, 3, shapes={"w": (4, 4)})
    tuned = [{"w": np.float32(each["w"] + 1)} for each in tuned]
    found = {
        preset: merge_arrays("model_stock", base, tuned, preset=preset)["w"]
        for preset in ("none", "paper", "mergekit", "fusionbench")
    }
    assert np.array_equal(found["none"], found["mergekit"]) and np.array_equal(found["none"], found["paper"])
    assert np.abs(found["fusionbench"] - found["none"]).max() > 1e-4


@given(seed=seeds, average=averages)
def test_deltas_that_point_apart_or_are_none_leave_the_base(seed: int, average: str) -> None:
    rng = np.random.default_rng(seed)
    base = {n: rng.standard_normal(9).astype(np.float32) for n in ("apart", "none")}
    delta = rng.standard_normal(9).astype(np.float32)
    tuned = [
        {"apart": base["apart"] + delta, "none": base["none"]},
        {"apart": base["apart"] - 2 * delta, "none": base["none"] + delta},
    ]
    found = merge_arrays("model_stock", base, tuned, walking=ALONE, average=average)
    assert all(np.array_equal(found[name], base[name]) for name in base)


@given(seed=seeds, average=averages)
def test_lies_between_base_and_mean_the_nearer_the_more_alike(seed: int, average: str) -> None:
    rng = np.random.default_rng(seed)
    own = [rng.standard_normal(50) for _ in range(3)]
    base, shares = {"w": np.zeros(50, dtype=np.float32)}, []
    for common in (0.5, 1.0, 4.0):
        tuned = [{"w": np.float32(each + common)} for each in own]
        mean = np.mean([np.float64(each["w"]) for each in tuned], axis=0)
        found = np.float64(merge_arrays("model_stock", base, tuned, walking=ALONE, average=average)["w"])
        share = float(found @ mean / (mean @ mean))
        np.testing.assert_allclose(found, share * mean, atol=1e-5)
        shares.append(share)
    assert 0 <= shares[0] <= shares[1] <= shares[2] <= 1


def test_one_model_is_refused(make_models) -> None:
    base, tuned = make_models(0, 1)
    with pytest.raises(UsageError, match="model_stock was given 1 model: expected at least 2"):
        merge_arrays("model_stock", base, tuned)
