import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge import cuts, sampling
from ramekin.merge.cuts import KeptCounts, cut_rank, model_cuts, trim, wanted_count
from ramekin.merge.stream import ModelStream, NamedReader
from ramekin.weights.reading import ArrayReader

Tensors = dict[str, np.ndarray]
pytestmark = pytest.mark.usefixtures("short_runs")


def _stream(models: Sequence[Tensors], *, chunk_length: int = 7, threads: int = 1) -> ModelStream:
    zeros = {name: np.zeros_like(array) for name, array in models[0].items()}
    readers = [
        NamedReader(where, ArrayReader(each, where=where))
        for where, each in zip(
            ("base", *(f"m{i}" for i in range(len(models)))), (zeros, *models), strict=True
        )
    ]
    return ModelStream(readers[0], readers[1:], tuple(zeros), chunk_length=chunk_length, threads=threads)


def _models(seed: int, count: int = 2) -> list[Tensors]:
    rng = np.random.default_rng(seed)
    shapes = {"a": (5, 6), "b": (50,), "empty": (0,)}
    return [{k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()} for _ in range(count)]


def _flat(model: Tensors) -> np.ndarray:
    return np.abs(np.concatenate([array.reshape(-1) for array in model.values()]))


@given(total=st.integers(0, 10**9), density=st.floats(0, 1))
def test_the_rank_is_within_the_numbers_or_just_beyond(total: int, density: float) -> None:
    for keep in ("round", "floor", "official"):
        wanted = wanted_count(total, density, keep)  # type: ignore[arg-type]
        assert 0 <= wanted <= total
        assert 0 <= cut_rank(total, wanted) <= total + 1


@given(seed=st.integers(0, 1000), rank=st.integers(1, 80), length=st.integers(1, 40))
def test_cuts_of_the_whole_model(seed: int, rank: int, length: int) -> None:
    models = _models(seed)
    found = model_cuts(_stream(models, chunk_length=length), [[rank], [81 - rank]])
    for model, (kth,), k in zip(models, found, (rank, 81 - rank), strict=True):
        ordered = np.sort(_flat(model))
        assert kth.value == ordered[k - 1]
        assert kth.below == np.count_nonzero(ordered < kth.value)


def test_ranks_beyond_the_ends() -> None:
    (below, inside), (above,) = model_cuts(_stream(_models(0)), [[0, 1], [81]])
    assert below == (0.0, 0, 0) and above == (math.inf, 80, 0) and inside.below == 0 < inside.value
    assert model_cuts(_stream(_models(0)).only(["empty"]), [[1], [1]]) == (((math.inf, 0, 0),),) * 2


@pytest.mark.parametrize("often", [2, 3])
def test_a_tensor_that_counts_several_times(often: int) -> None:
    (model,) = _models(3, 1)
    ((found,),) = model_cuts(_stream([model]), [[60]], times={"a": often})
    repeated = np.concatenate([*[np.abs(model["a"]).reshape(-1)] * often, np.abs(model["b"])])
    assert found.value == np.sort(repeated)[59]


@pytest.mark.parametrize("partitioned", [1 << 25, 1])
def test_cuts_of_one_tensor(partitioned: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "_PARTITIONED", partitioned)
    models = _models(1)
    found = model_cuts(_stream(models).only(["b"]), [[3, 48], [10]])
    orders = [np.sort(np.abs(model["b"])) for model in models]
    assert [kth.value for kth in found[0]] == [orders[0][2], orders[0][47]]
    assert found[1][0].value == orders[1][9]
    assert [kth.below for kth in found[0]] == [2, 47]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_sample_of_a_large_model(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "_PARTITIONED", 1000)
    monkeypatch.setattr(sampling, "RUN", 4)
    rng = np.random.default_rng(0)
    model = {
        name: rng.standard_normal(5000).astype(np.float32) * scale for name, scale in (("a", 1), ("b", 9))
    }
    ((found,),) = model_cuts(_stream([model], chunk_length=777, threads=threads), [[8000]], times={"a": 1})
    assert found.value == np.sort(_flat(model))[7999]
    ((often,),) = model_cuts(_stream([model], chunk_length=777, threads=threads), [[45_000]], times={"b": 9})
    repeated = np.concatenate([np.abs(model["a"]), *[np.abs(model["b"])] * 9])
    assert often.value == np.sort(repeated)[44_999]


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("cut", [1e-45, 1e-38, 0.5, 3.4e38])
def test_trim_keeps_the_cut_and_nothing_below_it(cut: float, kind) -> None:
    at = np.float32(cut)
    below, above = np.nextafter(at, np.float32(0)), np.nextafter(at, np.float32(np.inf))
    delta = kind(np.asarray([at, -at, below, -below, above, -above], dtype=np.float32))
    found, kept = trim(delta, float(at))
    assert np.count_nonzero(np.asarray(found)) == kept == 4
    assert np.array_equal(trim(delta, 0.0)[0], delta) and trim(delta, math.inf)[1] == 0


def test_kept_counts_add_up_whatever_the_threads_and_a_chunk_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ramekin.merge.stream.BLOCK", 7)
    kept = KeptCounts(("a", "b", "empty"), 2)
    stream = _stream(_models(0), threads=4)
    for _ in stream.walk(lambda chunk: [kept.add(chunk, 1, chunk.shape[0]) for __ in range(3)]):
        pass
    figures = kept.figures(stream)
    assert figures["kept_share"] == {"m0": 0.0, "m1": 1.0}
    assert figures["kept_share_by_tensor"] == {"a": [0.0, 1.0], "b": [0.0, 1.0], "empty": [0.0, 0.0]}
