import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)


@given(seed=seeds, count=st.integers(1, 4), extrapolation=st.floats(-2, 2))
def test_is_the_book(make_models, agree, seed: int, count: int, extrapolation: float) -> None:
    base, tuned = make_models(seed, count)
    mean = {n: np.mean([np.float64(each[n]) for each in tuned], axis=0) for n in base}
    found = merge_arrays("expo", base, tuned, walking=ALONE, extrapolation=extrapolation)
    agree(found, {n: mean[n] + extrapolation * (mean[n] - base[n]) for n in base}, 2e-6)


@given(seed=seeds, count=st.integers(1, 3))
def test_is_task_arithmetic_beyond_one(make_models, agree, seed: int, count: int) -> None:
    base, tuned = make_models(seed, count)
    found = merge_arrays("expo", base, tuned, walking=ALONE, extrapolation=0.3)
    other = merge_arrays("task_arithmetic", base, tuned, walking=ALONE, scaling_factor=1.3 / count)
    agree(found, other)


@given(seed=seeds)
def test_nothing_beyond_is_the_model_and_all_the_way_back_the_base(make_models, agree, seed: int) -> None:
    base, tuned = make_models(seed, 1)
    still = merge_arrays("expo", base, tuned, walking=ALONE, extrapolation=0)
    assert all(np.array_equal(still[name], tuned[0][name]) for name in base)
    agree(merge_arrays("expo", base, tuned, walking=ALONE, extrapolation=-1), base)


def test_the_way_may_differ_along_the_depth() -> None:
    names = ["encoder.block.0.w", "decoder.block.0.w", "decoder.block.1.w"]
    base, tuned = ({name: np.full(2, value, dtype=np.float32) for name in names} for value in (0, 1))
    found = merge_arrays("expo", base, [tuned], extrapolation={"depth": [0.0, 1.0]})
    assert [found[name].tolist() for name in names] == [[1, 1], [1.5, 1.5], [2, 2]]
