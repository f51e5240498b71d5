import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.sampling import RUN, Stratum, likely_bounds, run_places


@given(numel=st.integers(0, 10**7), others=st.integers(0, 10**8), seed=st.integers(0, 100))
def test_runs_are_within_the_tensor_apart_and_as_many_as_its_share(
    numel: int, others: int, seed: int
) -> None:
    places = run_places(numel, numel + others, np.random.default_rng(seed))
    assert all(earlier.stop <= later.start for earlier, later in itertools.pairwise(places))
    assert all(place.start >= 0 and place.stop <= numel for place in places)
    if sum(map(len, places)) == numel:
        return
    assert all(len(place) == RUN for place in places)
    assert len(places) == max(2, round(1024 * numel / (numel + others)))
    edges = [numel * place // len(places) for place in range(len(places) + 1)]
    for (low, high), place in zip(itertools.pairwise(edges), places, strict=True):
        assert low <= place.start and place.stop <= high


@given(share=st.floats(0, 1), size=st.integers(1, 500), seed=st.integers(0, 100))
def test_of_all_numbers_the_value_is_between_the_bounds(share: float, size: int, seed: int) -> None:
    row = np.abs(np.random.default_rng(seed).standard_normal(size)).astype(np.float32)
    low, high = likely_bounds([Stratum(size, [row], whole=True)], share)
    rank = min(size, max(1, round(share * size)))
    assert low <= np.sort(row)[rank - 1] <= high


def _tensors(rng: np.random.Generator, *, drift: bool) -> list[np.ndarray]:
    """Rows of unlike scales, as a model's tensors are; with `drift` the scale changes along each, too."""
    sizes = [200_000, *[20_000] * 20, *[64] * 10]
    rows = [
        np.abs(rng.standard_normal(size)).astype(np.float32) * np.float32(np.exp(rng.normal()))
        for size in sizes
    ]
    return [row * np.linspace(0, 2, len(row), dtype=np.float32) if drift else row for row in rows]


def _sample(rows: list[np.ndarray], rng: np.random.Generator) -> list[Stratum]:
    total = sum(map(len, rows))
    places = [run_places(len(row), total, rng) for row in rows]
    return [
        Stratum(len(row), [row[p.start : p.stop] for p in found], sum(map(len, found)) == len(row))
        for row, found in zip(rows, places, strict=True)
    ]


@pytest.mark.parametrize("drift", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.8, 0.999])
def test_a_sample_tells_where_the_value_is(share: float, drift: bool) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = _tensors(rng, drift=drift)
        everything = np.sort(np.concatenate(rows))
        low, high = likely_bounds(_sample(rows, rng), share)
        assert low <= everything[int(share * len(everything))] <= high
        between = np.searchsorted(everything, high) - np.searchsorted(everything, low)
        assert between / len(everything) < 0.04  # of use: a few of the numbers are counted one by one


def test_a_stratum_counts_as_much_as_it_stands_for() -> None:
    ones, twos = np.ones(1000, dtype=np.float32), np.full(1000, 2, dtype=np.float32)
    strata = [Stratum(9000, [ones]), Stratum(1000, [twos])]
    assert likely_bounds(strata, 0.8) == (1.0, 1.0)
    assert likely_bounds([Stratum(1000, [ones]), Stratum(9000, [twos])], 0.2) == (2.0, 2.0)
    assert likely_bounds([*strata, Stratum(0, [])], 1.0) == (2.0, math.inf)


def test_runs_that_differ_widen_the_bounds() -> None:
    rng = np.random.default_rng(0)
    alike = [rng.random(256, dtype=np.float32) for _ in range(64)]
    unlike = [run * scale for run, scale in zip(alike, rng.uniform(0.1, 2, 64), strict=True)]
    (low, high), (lower, higher) = (likely_bounds([Stratum(10**7, runs)], 0.5) for runs in (alike, unlike))
    assert 0 < high - low < higher - lower
