import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)


def unified(deltas: list[np.ndarray], zero_sign: int = 0) -> np.ndarray:
    merged = np.zeros(deltas[0].shape)
    for place in np.ndindex(merged.shape):
        own = [delta[place] for delta in deltas]
        sign = np.sign(sum(own)) or zero_sign
        merged[place] = sign * max([abs(x) for x in own if np.sign(x) == sign], default=0.0)
    return merged


@given(seed=st.integers(0, 10_000), count=st.integers(1, 5), grid=st.booleans())
def test_is_the_book(make_models, deltas_of, agree, seed: int, count: int, grid: bool) -> None:
    base, tuned = make_models(seed, count, grid=grid)
    deltas = deltas_of(base, tuned)
    for factor in (1.0, 0.5):
        found = merge_arrays("emr_merging", base, tuned, walking=ALONE, scaling_factor=factor)
        agree(found, {n: base[n] + factor * unified([each[n] for each in deltas]) for n in base})


def test_signs_and_zeros() -> None:
    first = {"w": np.float32([1, -3, 1, 2, 0, 0, -1])}
    second = {"w": np.float32([-2, 1, 5, -2, 0, -4, -1])}
    found = merge_arrays("emr_merging", {"w": np.zeros(7, dtype=np.float32)}, [first, second])
    assert found["w"].tolist() == [-2, -3, 5, 0, 0, -4, -1]
    minus = merge_arrays(
        "emr_merging", {"w": np.zeros(7, dtype=np.float32)}, [first, second], zero_sign="negative"
    )
    assert minus["w"].tolist() == [-2, -3, 5, -2, 0, -4, -1]


@given(seed=st.integers(0, 10_000), count=st.integers(1, 5))
def test_fusionbench_takes_minus_where_the_deltas_cancel(
    make_models, deltas_of, agree, seed: int, count: int
) -> None:
    base, tuned = make_models(seed, count, grid=True)
    deltas = deltas_of(base, tuned)
    found = merge_arrays("emr_merging", base, tuned, walking=ALONE, preset="fusionbench")
    agree(found, {n: base[n] + unified([each[n] for each in deltas], zero_sign=-1) for n in base})


@given(seed=st.integers(0, 10_000), count=st.integers(1, 4))
def test_is_ties_with_max_untrimmed_where_nothing_cancels(make_models, agree, seed: int, count: int) -> None:
    base, tuned = make_models(seed, count)
    ties = merge_arrays(
        "ties_merging", base, tuned, walking=ALONE, density=1, merge_func="max", scaling_factor=1
    )
    agree(merge_arrays("emr_merging", base, tuned, walking=ALONE), ties, 0.0)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 4), grid=st.booleans())
def test_the_unified_vector_is_one_of_the_deltas_and_no_smaller_than_any_that_agrees(
    make_models, deltas_of, seed: int, count: int, grid: bool
) -> None:
    base, tuned = make_models(seed, count, grid=grid)
    zero = {name: np.zeros_like(each) for name, each in base.items()}
    deltas = [{n: np.float32(e) for n, e in each.items()} for each in deltas_of(base, tuned)]
    for name, vector in merge_arrays("emr_merging", zero, deltas, walking=ALONE).items():
        rows = np.stack([each[name] for each in deltas])
        assert ((vector == rows).any(axis=0) | (vector == 0)).all()
        assert (np.abs(vector) >= np.where(rows * vector > 0, np.abs(rows), 0).max(axis=0)).all()
