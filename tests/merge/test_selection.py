import math
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge import selection
from ramekin.merge.selection import Rows, kth_magnitudes


def _data(kind: str, size: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(size, generator=rng)
    return {
        "random": noise,
        "constant": torch.full((size,), -0.37),
        "zero": torch.zeros(size),
        "negative zero": -torch.zeros(size),
        "ties": (noise * 2).round() / 8,
        "mostly zero": noise * (torch.rand(size, generator=rng) < 0.08),
        "mixed scales": noise * 10.0 ** torch.randint(-38, 30, (size,), generator=rng),
        "subnormal": noise * 1e-41,
    }[kind]


def _walk(pieces: Sequence[Any], started: list[int] | None = None) -> Any:
    """A walk over pieces: how often each counts, and the numbers of its rows."""

    def walk(look: Callable[[Rows], Any]) -> Iterator[Any]:
        if started is not None:
            started.append(1)
        for times, *rows in pieces:
            yield look((times, [row.abs().numpy() for row in rows]))

    return walk


KINDS = ("random", "constant", "zero", "negative zero", "ties", "mostly zero", "mixed scales", "subnormal")


@given(
    kind=st.sampled_from(KINDS),
    size=st.integers(1, 400),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
    pieces=st.integers(1, 5),
)
def test_equals_kthvalue(kind: str, size: int, share: float, seed: int, pieces: int) -> None:
    row = _data(kind, size, seed)
    rank = max(1, min(size, round(share * size)))

    ((value, below, equal),) = kth_magnitudes(_walk([(1, part) for part in row.chunk(pieces)]), [rank])
    expected = row.abs().kthvalue(rank).values
    assert value == float(expected)
    assert below == int((row.abs() < expected).sum())
    assert equal == int((row.abs() == expected).sum())


@given(size=st.integers(1, 100), times=st.integers(1, 5), share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_a_piece_that_counts_several_times_is_that_piece_repeated(
    size: int, times: int, share: float, seed: int
) -> None:
    once, often = _data("ties", size, seed), _data("random", size, seed + 1)
    repeated = torch.cat([once, *[often] * times])
    rank = max(1, min(repeated.numel(), round(share * repeated.numel())))
    ((value, below, _),) = kth_magnitudes(_walk([(1, once), (times, often)]), [rank])
    assert value == float(repeated.abs().kthvalue(rank).values)
    assert below == int((repeated.abs() < value).sum())


def test_rows_are_independent() -> None:
    rows = [_data("random", 1000, 0), _data("mixed scales", 1000, 1), _data("zero", 1000, 2)]
    found = kth_magnitudes(_walk([(1, *rows)]), [1, 500, 1000])
    expected = [float(row.abs().kthvalue(k).values) for row, k in zip(rows, (1, 500, 1000), strict=True)]
    assert [kth.value for kth in found] == expected


@pytest.mark.parametrize("rank", [0, 4])
def test_a_rank_outside_the_row(rank: int) -> None:
    with pytest.raises(UsageError, match=f"a rank outside the numbers: expected 1..3, got {rank}"):
        kth_magnitudes(_walk([(1, torch.ones(3))]), [rank])


@given(
    kind=st.sampled_from(KINDS),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 100),
    bins=st.integers(3, 12),
    around=st.tuples(st.floats(0, 1.1), st.floats(0.9, 3)),
)
def test_bounds_change_nothing_but_the_passes(
    kind: str, share: float, seed: int, bins: int, around: tuple[float, float]
) -> None:
    row = _data(kind, 3000, seed)
    rank = max(1, round(share * 3000))
    expected = float(row.abs().kthvalue(rank).values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_BINS", 1 << bins)  # too few for the interval, so that it is refined
        low, high = sorted(expected * each for each in around)
        ((value, below, _),) = kth_magnitudes(_walk([(1, row)]), [rank], bounds=[(low, high)])
    assert value == expected
    assert below == int((row.abs() < expected).sum())


@pytest.mark.parametrize(
    ("bounds", "passes"), [((1.2, 1.3), 1), ((1.2, math.inf), 2), ((0.0, 1e-3), 3), ((2.0, math.inf), 3)]
)
def test_one_pass_where_the_bounds_are_right_and_two_more_where_they_are_wrong(
    bounds: tuple[float, float], passes: int
) -> None:
    row = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    started: list[int] = []
    (found,) = kth_magnitudes(_walk([(1, row)], started), [160_000], bounds=[bounds])
    assert found.value == float(row.abs().kthvalue(160_000).values) and len(started) == passes


def test_a_row_that_is_found_is_not_kept_while_another_is_looked_for() -> None:
    row = np.random.default_rng(0).standard_normal(1 << 24, dtype=np.float32)

    def walk(look: Callable[[Rows], Any]) -> Iterator[Any]:
        for part in np.split(row, 64):
            yield look((1, [np.abs(part), np.abs(part)]))

    tracemalloc.start()
    try:
        kth_magnitudes(walk, [1 << 23] * 2, bounds=[(0.6, 0.8), (0.0, 1e-3)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 70e6  # 56 of counts; the row would add half of its 67


@pytest.mark.slow
def test_equals_kthvalue_on_a_large_vector() -> None:
    row = torch.randn(1 << 24, generator=torch.Generator().manual_seed(0))
    rank = int(row.numel() * 0.8)
    found = kth_magnitudes(_walk([(1, part) for part in row.chunk(50)]), [rank])
    assert found[0].value == float(row.abs().kthvalue(rank).values)
