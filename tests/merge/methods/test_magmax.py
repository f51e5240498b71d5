import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)


def by_the_book(deltas: list[np.ndarray]) -> np.ndarray:
    merged = np.zeros(deltas[0].shape)
    for place in np.ndindex(merged.shape):
        # max takes the first of equals, so the later models go first
        merged[place] = max((delta[place] for delta in reversed(deltas)), key=abs)
    return merged


@given(seed=seeds, count=st.integers(1, 5), grid=st.booleans())
def test_is_the_book(make_models, deltas_of, agree, seed: int, count: int, grid: bool) -> None:
    base, tuned = make_models(seed, count, grid=grid)
    deltas = deltas_of(base, tuned)
    found = merge_arrays("magmax", base, tuned, walking=ALONE)
    agree(found, {n: base[n] + 0.5 * by_the_book([each[n] for each in deltas]) for n in base}, 1e-6)


def test_of_equal_magnitudes_the_later_one_is_taken() -> None:
    base = {"w": np.zeros(3, dtype=np.float32)}
    tuned = [{"w": np.float32(each)} for each in ([2, -2, 1], [-2, 2, 0], [2, 1, -1])]
    assert merge_arrays("magmax", base, tuned, scaling_factor=1)["w"].tolist() == [2, 2, -1]
    assert merge_arrays("magmax", base, tuned[:2], scaling_factor=1)["w"].tolist() == [-2, 2, 1]


@given(seed=seeds, count=st.integers(1, 4))
def test_no_smaller_than_any_and_a_copy_changes_nothing(make_models, seed: int, count: int) -> None:
    base, tuned = make_models(seed, count)
    zero = {name: np.zeros_like(each) for name, each in base.items()}
    found = merge_arrays("magmax", zero, tuned, walking=ALONE, scaling_factor=1)
    again = merge_arrays("magmax", zero, [*tuned, tuned[0]], walking=ALONE, scaling_factor=1)
    for name in base:
        rows = np.stack([np.abs(each[name]) for each in tuned])
        assert np.array_equal(np.abs(found[name]), rows.max(axis=0))
        assert np.array_equal(again[name], found[name])


@given(seed=seeds)
def test_one_model_is_task_arithmetic(make_models, seed: int) -> None:
    base, tuned = make_models(seed, 1)
    found = merge_arrays("magmax", base, tuned, walking=ALONE, scaling_factor=0.7)
    other = merge_arrays("task_arithmetic", base, tuned, walking=ALONE, scaling_factor=0.7)
    assert all(np.array_equal(found[name], other[name]) for name in base)
