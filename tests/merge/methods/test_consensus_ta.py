import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)


def by_the_book(deltas: list[np.ndarray], lambdas: list[float], agreeing: int) -> np.ndarray:
    merged = np.zeros(deltas[0].shape)
    for place in np.ndindex(merged.shape):
        own = [delta[place] for delta in deltas]
        total = sum(own)
        votes = sum(abs(x) >= factor * abs(total - x) for x, factor in zip(own, lambdas, strict=True))
        merged[place] = total if votes >= agreeing else 0.0
    return merged


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 5),
    grid=st.booleans(),
    tall_lambda=st.sampled_from([0.0, 0.25, 0.5, 1.0, [0.25, 0.5, 0.125, 1.0, 0.5]]),
    agreeing=st.integers(0, 5),
)
def test_is_the_book(
    make_models, deltas_of, agree, seed: int, count: int, grid: bool, tall_lambda, agreeing: int
) -> None:
    base, tuned = make_models(seed, count, grid=grid)
    given_lambda = tall_lambda if isinstance(tall_lambda, float) else tall_lambda[:count]
    found = merge_arrays(
        "consensus_ta", base, tuned, walking=ALONE,
        tall_lambda=given_lambda, agreeing=agreeing, scaling_factor=0.5,
    )  # fmt: skip
    lambdas = [tall_lambda] * count if isinstance(tall_lambda, float) else given_lambda
    deltas = deltas_of(base, tuned)
    agree(
        found,
        {n: base[n] + 0.5 * by_the_book([each[n] for each in deltas], lambdas, agreeing) for n in base},
    )


def test_selfish_and_catastrophic_elements_are_left_out() -> None:
    # held on to by both; by the first alone; by the second alone; by neither
    deltas = [{"w": np.float32([1, 1, 0.125, 1, 0])}, {"w": np.float32([1, 0.125, 1, -1, 0])}]
    base = {"w": np.zeros(5, dtype=np.float32)}
    found = merge_arrays("consensus_ta", base, deltas, scaling_factor=1)
    assert found["w"].tolist() == [2, 0, 0, 0, 0]
    once = merge_arrays("consensus_ta", base, deltas, scaling_factor=1, agreeing=1)
    assert once["w"].tolist() == [2, 1.125, 1.125, 0, 0]


@given(seed=st.integers(0, 10_000), count=st.integers(1, 4))
def test_fewer_votes_keep_more_and_none_is_task_arithmetic(make_models, seed: int, count: int) -> None:
    base, tuned = make_models(seed, count)
    found = [
        merge_arrays("consensus_ta", base, tuned, walking=ALONE, agreeing=agreeing)
        for agreeing in range(count + 2)
    ]
    plain = merge_arrays("task_arithmetic", base, tuned, walking=ALONE)
    for name in base:
        assert np.array_equal(found[0][name], plain[name])
        assert np.array_equal(found[-1][name], base[name])  # more votes than there are models
        kept = [each[name] != base[name] for each in found]
        assert all((more | ~fewer).all() for more, fewer in itertools.pairwise(kept))


def test_a_lambda_for_another_number_of_models(make_models) -> None:
    base, tuned = make_models(0, 2)
    with pytest.raises(UsageError, match="tall_lambda must be one number, or one for each model: expected 2"):
        merge_arrays("consensus_ta", base, tuned, tall_lambda=[0.1, 0.2, 0.3])
    with pytest.raises(UsageError, match="tall_lambda: expected at least 0, got -1"):
        merge_arrays("consensus_ta", base, tuned, tall_lambda=-1)
