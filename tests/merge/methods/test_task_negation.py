import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)


@given(seed=seeds, count=st.integers(1, 4), factor=st.floats(-2, 2))
def test_is_the_book(make_models, agree, seed: int, count: int, factor: float) -> None:
    base, tuned = make_models(seed, count)
    found = merge_arrays("task_negation", base, tuned, walking=ALONE, scaling_factor=factor)
    expected = {n: base[n] - factor * sum(np.float64(each[n]) - base[n] for each in tuned) for n in base}
    agree(found, expected)


@given(seed=seeds, count=st.integers(1, 4))
def test_is_task_arithmetic_the_other_way(make_models, seed: int, count: int) -> None:
    base, tuned = make_models(seed, count)
    found = merge_arrays("task_negation", base, tuned, walking=ALONE)
    other = merge_arrays("task_arithmetic", base, tuned, walking=ALONE, scaling_factor=-0.3)
    assert all(np.array_equal(found[name], other[name]) for name in base)


@given(seed=seeds)
def test_what_was_learned_from_the_unlearned_is_the_model(make_models, agree, seed: int) -> None:
    """Away from the base by as much as the model: the model then lies as far on the other side."""
    base, tuned = make_models(seed, 1)
    away = merge_arrays("task_negation", base, tuned, walking=ALONE, scaling_factor=1)
    agree(merge_arrays("simple_average", None, [away, tuned[0]], walking=ALONE), base)
