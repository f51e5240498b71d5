import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import WeightsError
from ramekin.merge import compiled, loops
from ramekin.merge.array import TorchDevice
from ramekin.merge.combine import elected
from ramekin.merge.cuts import trim
from ramekin.merge.direction import merge_arrays
from ramekin.merge.loops import Loops, loops_for
from ramekin.merge.run import Walking
from ramekin.merge.selection import KthMagnitude, kth_magnitudes
from ramekin.merge.stream import ModelStream, NamedReader
from ramekin.weights.reading import ArrayReader

COMPILED = Loops(compiled)
EDGES = np.float32(
    [0, -0.0, 1e-45, -1e-45, 1e-38, 0.5, -0.5, 1, np.nextafter(np.float32(0.5), np.float32(1)), 1e30, -1e30]
)
lengths = st.sampled_from([0, 1, 7, 8, 9, 1023, 1024, 1025, 3000])
seeds = st.integers(0, 10_000)


def rows(seed: int, length: int, count: int) -> list[np.ndarray]:
    """Rows on a grid, so that values tie, cancel and equal cuts, with some of the edges of fp32 among them."""
    rng = np.random.default_rng(seed)
    found = [np.round(rng.standard_normal(length) * 4).astype(np.float32) / 4 for _ in range(count)]
    for row in found:
        places = rng.random(length) < 0.1
        row[places] = rng.choice(EDGES, int(places.sum()))
    return found


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of the models, the loops are worth loading."""
    monkeypatch.setattr(loops, "_WORTH_LOADING", 0)


@given(seed=seeds, length=lengths, cut=st.sampled_from([0.0, 1e-45, 0.25, 0.5, 1.0, 3e38, np.inf]))
def test_a_delta_its_magnitude_and_what_is_left_of_it(seed: int, length: int, cut: float) -> None:
    base, tuned, total = rows(seed, length, 3)
    delta = tuned - base
    assert np.array_equal(np.asarray(COMPILED.distances(tuned, base)), np.abs(delta))
    expected, kept = trim(delta, float(np.float32(cut)))
    found, count = COMPILED.trim(tuned, base, cut)
    assert np.array_equal(np.asarray(found), expected) and count == kept
    with np.errstate(over="ignore"):
        added = total + np.asarray(expected) * np.float32(0.3)
    COMPILED.add_trimmed(tuned, base, cut, 0.3, total)
    assert np.array_equal(total, added)


@given(
    seed=seeds,
    length=lengths,
    bounds=st.sampled_from(
        [(0.0, 0.0), (0.25, 0.75), (0.5, 0.5), (0.0, np.inf), (1e-45, 1e-38), (3e38, np.inf)]
    ),
)
def test_what_is_below_and_between(seed: int, length: int, bounds: tuple[float, float]) -> None:
    base, tuned = rows(seed, length, 2)
    row = np.abs(tuned - base)
    low, stop = map(np.float32, bounds)
    below, inside = COMPILED.distances(tuned, base).between(*bounds)
    assert below == np.count_nonzero(row < low)
    assert np.array_equal(inside, row[(row >= low) & (row < stop)])
    assert inside.base is None


@given(
    seed=seeds,
    length=lengths,
    count=st.integers(1, 4),
    weights=st.sampled_from([None, (1.0, 0.3, -2.0, 0.1)]),
    merge_func=st.sampled_from(["sum", "mean", "max"]),
    zero_sign=st.sampled_from([-1, 0, 1]),
)
def test_an_election(seed: int, length: int, count: int, weights, merge_func, zero_sign: int) -> None:
    deltas = [np.clip(row, -1e30, 1e30) for row in rows(seed, length, count)]
    asked = {"weights": weights and weights[:count], "merge_func": merge_func, "zero_sign": zero_sign}
    expected = np.asarray(elected(deltas, **asked))
    assert np.array_equal(np.asarray(elected(deltas, **asked, loops=COMPILED)), expected)


@given(
    seed=seeds,
    rank=st.integers(1, 3000),
    bounds=st.sampled_from([None, (0.2, 0.6), (0.0, np.inf), (2.0, 3.0)]),
)
def test_a_kth_magnitude(seed: int, rank: int, bounds) -> None:
    base, tuned = rows(seed, 3000, 2)
    row = np.abs(tuned - base)
    parts = [COMPILED.distances(tuned[part], base[part]) for part in (slice(1000), slice(1000, None))]
    (found,) = kth_magnitudes(
        lambda look: iter([look((1, [part])) for part in parts]), [rank], bounds=bounds and [bounds]
    )
    value = np.sort(row)[rank - 1]
    assert found == KthMagnitude(float(value), int((row < value).sum()), int((row == value).sum()))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("ties_merging", {}),
        ("ties_merging", {"weights": [0.5, 2.0, -0.3], "density": [0.1, 0.5, 1.0]}),
        ("ties_merging", {"preset": "paper"}),
        ("ties_merging", {"preset": "mergekit", "density": 0.3}),
        ("ties_merging", {"merge_func": "max", "density": 0.0}),
        ("dare", {"elect": True}),
        ("della", {"elect": True, "merge_func": "sum"}),
        ("breadcrumbs", {"elect": True}),
        ("pcb_merging", {}),
    ],
)
def test_merges_are_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch, method: str, settings) -> None:
    rng = np.random.default_rng(0)
    shapes = {
        "encoder.block.0.layer.0.SelfAttention.q.weight": (60, 50),
        "shared.weight": (40, 60),
        "bias": (7,),
    }
    base = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    tuned = [
        {
            name: each + np.float32(0.1) * np.round(rng.standard_normal(each.shape) * 8).astype(np.float32)
            for name, each in base.items()
        }
        for _ in range(3)
    ]
    calls: list[str] = []
    for name in ("distances", "trim", "add_trimmed", "add_agreeing"):
        own = getattr(Loops, name)
        monkeypatch.setattr(Loops, name, lambda *a, own=own, name=name: calls.append(name) or own(*a))
    walking = Walking(threads=2, chunk_length=1000)
    found = merge_arrays(method, base, tuned, walking=walking, **settings)
    assert calls
    calls.clear()
    monkeypatch.setattr(loops, "_WORTH_LOADING", 1 << 62)
    expected = merge_arrays(method, base, tuned, walking=walking, **settings)
    assert not calls
    for name, each in expected.items():
        assert np.array_equal(found[name].view(np.uint32), each.view(np.uint32)), name


@given(
    length=lengths,
    place=st.integers(0, 2999),
    wrong=st.sampled_from([np.nan, -np.nan, np.inf, -np.inf, 3e38]),
)
def test_what_is_not_finite(length: int, place: int, wrong: float) -> None:
    row = np.full(length, 3e38, dtype=np.float32)
    assert COMPILED.all_finite(row)
    if place < length:
        row[place] = wrong
        assert COMPILED.all_finite(row) == np.isfinite(row).all()


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_found_by_them(wrong: float) -> None:
    base = {"w": np.zeros(5000, dtype=np.float32)}
    tuned = [{"w": np.ones(5000, dtype=np.float32)} for _ in range(2)]
    tuned[1]["w"][4321] = wrong
    with pytest.raises(WeightsError, match="NaN or infinite.*at element 4321"):
        merge_arrays("ties_merging", base, tuned)


def test_arrays_that_are_not_contiguous_are_refused() -> None:
    square = np.ones((4, 4), dtype=np.float32)
    with pytest.raises(ValueError, match="contiguous"):
        COMPILED.add_agreeing(square, 1.0, square, square.T)
    assert (square == 1).all()


def test_small_models_do_without() -> None:
    assert loops_for(1000) is None


@pytest.mark.usefixtures("always")
def test_they_are_for_arrays_in_memory() -> None:
    reader = NamedReader("m", ArrayReader({"w": np.ones(3, dtype=np.float32)}, where="m"))
    assert ModelStream(None, [reader], ["w"]).loops is not None
    assert ModelStream(None, [reader], ["w"], device=TorchDevice("cpu")).loops is None


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("fault", ["not installed", "no place", "interpreted"])
def test_what_cannot_be_compiled_is_done_without(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def imported(name: str) -> ModuleType:
        if fault == "not installed":
            raise ImportError(name)
        if fault == "no place" and name == "ramekin.merge.compiled":
            raise RuntimeError("cannot cache function 'trim': no locator available for file")
        config = SimpleNamespace(DISABLE_JIT=fault == "interpreted")
        return SimpleNamespace(config=config) if name == "numba" else sys.modules[name]  # type: ignore[return-value]

    monkeypatch.setattr(loops.importlib, "import_module", imported)
    loops._loaded.cache_clear()
    try:
        assert loops_for(10) is None
    finally:
        loops._loaded.cache_clear()
