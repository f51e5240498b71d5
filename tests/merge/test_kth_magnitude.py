from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.kth_magnitude import kth_magnitudes


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

    def stream() -> list[tuple[int, Sequence[torch.Tensor]]]:
        return [(1, [part]) for part in row.chunk(pieces)]

    ((value, below),) = kth_magnitudes(stream, [rank])
    expected = row.abs().kthvalue(rank).values
    assert value == float(expected)
    assert below == int((row.abs() < expected).sum())


@given(size=st.integers(1, 100), times=st.integers(1, 5), share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_a_piece_that_counts_several_times_is_that_piece_repeated(
    size: int, times: int, share: float, seed: int
) -> None:
    once, often = _data("ties", size, seed), _data("random", size, seed + 1)
    repeated = torch.cat([once, *[often] * times])
    rank = max(1, min(repeated.numel(), round(share * repeated.numel())))
    ((value, below),) = kth_magnitudes(lambda: [(1, [once]), (times, [often])], [rank])
    assert value == float(repeated.abs().kthvalue(rank).values)
    assert below == int((repeated.abs() < value).sum())


def test_rows_are_independent() -> None:
    rows = [_data("random", 1000, 0), _data("mixed scales", 1000, 1), _data("zero", 1000, 2)]
    found = kth_magnitudes(lambda: [(1, rows)], [1, 500, 1000])
    expected = [float(row.abs().kthvalue(k).values) for row, k in zip(rows, (1, 500, 1000), strict=True)]
    assert [kth.value for kth in found] == expected


@pytest.mark.parametrize("rank", [0, 4])
def test_a_rank_outside_the_row(rank: int) -> None:
    with pytest.raises(UsageError, match=f"a rank outside the numbers: expected 1..3, got {rank}"):
        kth_magnitudes(lambda: [(1, [torch.ones(3)])], [rank])


@pytest.mark.slow
def test_equals_kthvalue_on_a_large_vector() -> None:
    row = torch.randn(1 << 24, generator=torch.Generator().manual_seed(0))
    rank = int(row.numel() * 0.8)
    ((value, _),) = kth_magnitudes(lambda: [(1, [part]) for part in row.chunk(50)], [rank])
    assert value == float(row.abs().kthvalue(rank).values)
