import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)


@given(seed=seeds, factor=st.floats(-2, 2))
def test_is_the_book(make_models, agree, seed: int, factor: float) -> None:
    a, (b, c) = make_models(seed, 2)
    found = merge_arrays("task_analogy", a, [b, c], walking=ALONE, scaling_factor=factor)
    agree(found, {n: np.float64(a[n]) + factor * (np.float64(b[n]) - c[n]) for n in a}, 2e-6)


@given(seed=seeds)
def test_the_paper_takes_deltas_from_a_base_which_falls_out(make_models, agree, seed: int) -> None:
    base, (a, b, c) = make_models(seed, 3)
    deltas = [{n: np.float64(each[n]) - base[n] for n in base} for each in (a, b, c)]
    expected = {n: base[n] + deltas[0][n] + deltas[1][n] - deltas[2][n] for n in base}
    agree(merge_arrays("task_analogy", a, [b, c], walking=ALONE), expected, 2e-6)


@given(seed=seeds)
def test_of_two_equal_models_nothing_is_learned_and_what_was_added_can_be_taken_away(
    make_models, agree, seed: int
) -> None:
    a, (b, c) = make_models(seed, 2)
    still = merge_arrays("task_analogy", a, [b, b], walking=ALONE)
    assert all(np.array_equal(still[name], a[name]) for name in a)
    there = merge_arrays("task_analogy", a, [b, c], walking=ALONE)
    agree(merge_arrays("task_analogy", there, [c, b], walking=ALONE), a)
    agree(merge_arrays("task_analogy", a, [b, a], walking=ALONE), b)


@pytest.mark.parametrize(("count", "message"), [(1, "at least 2"), (3, "at most 2")])
def test_takes_two_models(make_models, count: int, message: str) -> None:
    base, tuned = make_models(0, count)
    with pytest.raises(UsageError, match=f"task_analogy was given {count} models?: expected {message}"):
        merge_arrays("task_analogy", base, tuned)
    with pytest.raises(UsageError, match="task_analogy needs the base"):
        merge_arrays("task_analogy", None, tuned)
