import math
from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge import ties_measure
from ramekin.merge.settings import TiesSettings
from ramekin.merge.ties_measure import Deltas, cut_rank, measure_ties, num_measure_passes, trim


def _stream(rows: dict[str, list[torch.Tensor]], *, pieces: int = 1) -> tuple[Deltas, list[Sequence[str]]]:
    started: list[Sequence[str]] = []

    def deltas(names: Sequence[str]) -> Iterator[tuple[str, Sequence[torch.Tensor]]]:
        started.append(names)
        for name in names:
            for parts in zip(*(row.chunk(pieces) for row in rows[name]), strict=True):
                yield name, [part.clone() for part in parts]

    return deltas, started


def _rows(seed: int = 0) -> dict[str, list[torch.Tensor]]:
    rng = torch.Generator().manual_seed(seed)
    return {
        name: [torch.randn(size, generator=rng) for _ in range(2)] for name, size in (("a", 30), ("b", 50))
    }


SIZES = {"a": 30, "b": 50}


@pytest.mark.parametrize(("density", "passes"), [(0.2, 3), (1, 1), (1.0, 1), (0, 0)])
def test_the_number_of_passes_is_as_promised(density: float, passes: int) -> None:
    deltas, started = _stream(_rows())
    measure_ties(deltas, SIZES, TiesSettings(density=density), models=2, times={})
    assert len(started) == passes == num_measure_passes(density)


@given(total=st.integers(1, 10**9), density=st.floats(0.001, 0.999))
def test_the_rank_is_within_the_numbers(total: int, density: float) -> None:
    for keep in ("round", "floor", "official"):
        assert 1 <= cut_rank(total, density, keep) <= total  # type: ignore[arg-type]


@given(seed=st.integers(0, 1000), density=st.floats(0.05, 0.95), pieces=st.integers(1, 4))
def test_cuts_and_kept_of_the_whole_model(seed: int, density: float, pieces: int) -> None:
    rows = _rows(seed)
    deltas, _ = _stream(rows, pieces=pieces)
    figures = measure_ties(deltas, SIZES, TiesSettings(density=density), models=2, times={})
    wanted = max(1, round(80 * density))
    for model in range(2):
        flat = torch.cat([rows["a"][model], rows["b"][model]]).abs()
        cut = float(flat.sort(descending=True).values[wanted - 1])
        assert figures.cuts["a"][model] == figures.cuts["b"][model] == cut
        assert figures.kept["a"][model] == int((rows["a"][model].abs() >= cut).sum())
        assert figures.kept["a"][model] + figures.kept["b"][model] == wanted
    assert figures.imprecise == ()


def test_each_tensor_has_its_own_cut_and_sign_at_scope_tensor() -> None:
    rows = {"a": [torch.tensor([1.0, 2.0])], "b": [torch.tensor([-3.0, -4.0])]}
    figures = measure_ties(
        _stream(rows)[0],
        {"a": 2, "b": 2},
        TiesSettings(scope="tensor", density=0.5),
        models=1,
        times={"a": 9},
    )
    assert figures.cuts == {"a": (2.0,), "b": (4.0,)}
    assert figures.zero_signs == {"a": 1, "b": -1}


def test_the_majority_counts_a_tensor_as_often_as_told() -> None:
    rows = {"a": [torch.tensor([1.0, 1.0])], "b": [torch.tensor([-1.0, -1.0, -1.0])]}
    sizes = {"a": 2, "b": 3}
    for times, sign in (({}, -1), ({"a": 2}, 1), ({"a": 3, "b": 2}, 0)):
        figures = measure_ties(_stream(rows)[0], sizes, TiesSettings(density=1.0), models=1, times=times)
        assert figures.zero_signs == {"a": sign, "b": sign}
    positive = TiesSettings(density=1.0, zero_sign="positive")
    assert measure_ties(_stream(rows)[0], sizes, positive, models=1, times={}).zero_signs == {"a": 1, "b": 1}


def test_nothing_kept() -> None:
    figures = measure_ties(_stream(_rows())[0], SIZES, TiesSettings(density=0), models=2, times={})
    assert figures.cuts == {"a": (math.inf,) * 2, "b": (math.inf,) * 2}
    assert figures.kept == {"a": (0, 0), "b": (0, 0)}


def test_a_tensor_without_elements() -> None:
    rows = {"a": [torch.empty(0)]}
    settings = TiesSettings(scope="tensor")
    assert measure_ties(_stream(rows)[0], {"a": 0}, settings, models=1, times={}).cuts == {"a": (math.inf,)}


def test_more_kept_than_wanted() -> None:
    rows = {"a": [torch.tensor([1.0, -1.0, 1.0, 0.0])], "b": [torch.tensor([5.0, 1.0, 0.0, 0.0])]}
    sizes = {"a": 4, "b": 4}
    figures = measure_ties(_stream(rows)[0], sizes, TiesSettings(density=0.25), models=1, times={})
    (case,) = figures.imprecise
    assert (case.model, case.cut, case.wanted, case.kept, case.tensors) == (0, 1.0, 2, 5, ("a", "b"))
    figures = measure_ties(_stream(rows)[0], sizes, TiesSettings(density=0.9), models=1, times={})
    (case,) = figures.imprecise
    assert (case.cut, case.kept, case.tensors) == (0.0, 8, ("b", "a"))


def test_sums_longer_than_fp32_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ties_measure, "_EXACT_IN_FP32", 7)
    rows = {"a": [torch.ones(30)], "b": [-torch.ones(50)]}
    figures = measure_ties(_stream(rows)[0], SIZES, TiesSettings(density=1), models=1, times={})
    assert figures.zero_signs["a"] == -1


@pytest.mark.parametrize("cut", [1e-45, 1e-38, 0.5, 3.4e38])
def test_trim_keeps_the_cut_and_nothing_below_it(cut: float) -> None:
    at = torch.tensor(cut)
    below, above = torch.nextafter(at, torch.tensor(0.0)), torch.nextafter(at, torch.tensor(torch.inf))
    delta = torch.stack([at, -at, below, -below, above, -above])
    assert trim(delta, float(at)).count_nonzero() == 4
    assert torch.equal(trim(delta, 0.0), delta)
    assert trim(delta, math.inf).count_nonzero() == 0
