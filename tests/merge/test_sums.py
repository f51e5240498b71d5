import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge import stream, sums
from ramekin.merge.array import TorchDevice
from ramekin.merge.stream import ModelStream, NamedReader
from ramekin.merge.sums import run_sums, tensor_sums
from ramekin.weights.reading import ArrayReader

SHAPES = {
    "matrix": (7, 9),
    "column": (30, 1),
    "vector": (53,),
    "number": (),
    "cube": (2, 3, 4),
    "none": (0, 3),
}


def _models(seed: int, count: int = 2) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        {n: (rng.standard_normal(s) * 10.0 ** rng.integers(-8, 8, s)).astype(np.float32) for n, s in SHAPES.items()}
        for _ in range(count)
    ]  # fmt: skip


def _stream(models, **walking) -> ModelStream:
    readers = [NamedReader(f"m{i}", ArrayReader(each, where=f"m{i}")) for i, each in enumerate(models)]
    return ModelStream(None, readers, tuple(SHAPES), **walking)


@pytest.mark.parametrize("unit", ["element", "row"])
@pytest.mark.parametrize("device", [None, TorchDevice("cpu")], ids=["numpy", "torch"])
def test_are_the_sums(unit, device) -> None:
    models = _models(0)
    found = tensor_sums(
        _stream(models, threads=1, device=device), lambda chunk: [*chunk.tuned, chunk.tuned[0] * 2.0], unit=unit
    )  # fmt: skip
    for name in set(SHAPES) - {"none"}:
        exact = [math.fsum(each[name].reshape(-1).tolist()) for each in models]
        assert found[name] == pytest.approx([*exact, 2 * exact[0]], rel=1e-12, abs=1e-12)
    assert "none" not in found


@pytest.mark.parametrize("unit", ["element", "row", "matrix"])
@pytest.mark.parametrize(("length", "threads"), [(8, 1), (24, 3), (1 << 20, 2)])
def test_have_the_same_bits_whatever_the_chunks(
    unit, length: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK", 8)
    monkeypatch.setattr(sums, "BLOCK", 8)
    models = _models(1)
    whole = tensor_sums(_stream(models, threads=1), lambda chunk: chunk.tuned, unit=unit)
    cut = tensor_sums(
        _stream(models, threads=threads, chunk_length=length), lambda chunk: chunk.tuned, unit=unit
    )
    assert cut == whole


@given(
    seed=st.integers(0, 1000),
    rows=st.integers(1, 40),
    width=st.sampled_from([1, 7, 768, 1023, 4096, 8191, 9000]),
    start=st.integers(0, 39),
)
def test_a_row_has_the_same_sum_whichever_others_are_with_it(
    seed: int, rows: int, width: int, start: int
) -> None:
    values = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    together = run_sums(values)
    start = min(start, rows - 1)
    assert run_sums(values[start:]) == together[start:]
    assert [run_sums(row[None])[0] for row in values] == together
    np.testing.assert_allclose(together, values.astype(np.float64).sum(axis=1), rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 1000), count=st.integers(0, 20_000), cut=st.integers(0, 4))
def test_runs_of_a_flat_chunk(seed: int, count: int, cut: int) -> None:
    values = np.random.default_rng(seed).standard_normal(count).astype(np.float32)
    found = run_sums(values)
    assert len(found) == -(-count // stream.BLOCK)
    place = min(cut * stream.BLOCK, count)
    assert run_sums(values[:place]) + run_sums(values[place:]) == found
    assert math.fsum(found) == pytest.approx(math.fsum(values.tolist()), abs=1e-9)


def test_large_numbers_hide_no_small_ones() -> None:
    values = np.zeros(3 * stream.BLOCK, dtype=np.float32)
    values[0], values[stream.BLOCK], values[-1] = 1e30, 1.0, -1e30
    readers = [NamedReader("m", ArrayReader({"w": values}, where="m"))]
    found = tensor_sums(ModelStream(None, readers, ["w"], threads=1), lambda chunk: chunk.tuned)
    assert found == {"w": (1.0,)}
