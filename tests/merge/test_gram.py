import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge import gram as gram_module
from ramekin.merge import stream
from ramekin.merge.array import TorchDevice
from ramekin.merge.gram import gram, grams
from ramekin.merge.stream import BLOCK, ModelStream, NamedReader
from ramekin.weights.reading import ArrayReader

SHAPES = {"matrix": (7, 9), "vector": (53,), "number": (), "none": (0, 3)}


def _stream(seed: int, count: int, **walking) -> tuple[ModelStream, list[dict[str, np.ndarray]]]:
    rng = np.random.default_rng(seed)
    models = [
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
        for _ in range(count + 1)
    ]
    readers = [NamedReader(f"m{i}", ArrayReader(each, where=f"m{i}")) for i, each in enumerate(models)]
    return ModelStream(readers[0], readers[1:], tuple(SHAPES), **walking), models


@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 5),
    size=st.sampled_from([1, 9, BLOCK, BLOCK + 1, 3 * BLOCK]),
)
def test_are_the_inner_products(seed: int, count: int, size: int) -> None:
    arrays = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    found = gram(list(arrays))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, arrays.astype(np.float64) @ arrays.astype(np.float64).T, atol=1e-9)
    assert np.array_equal(found, found.T)


def test_products_of_fp32_numbers_are_kept_in_full() -> None:
    found = gram([np.float32([1e30, 1e-30]), np.float32([0, 1e-30])])
    assert found[0, 0] == pytest.approx(1e60) and found[0, 1] == found[1, 1] == pytest.approx(1e-60)
    assert gram([np.zeros((0, 3), dtype=np.float32)]).tolist() == [[0.0]]


@pytest.mark.parametrize("device", [None, TorchDevice("cpu")], ids=["numpy", "torch"])
def test_of_every_tensor(device) -> None:
    walked, (base, *tuned) = _stream(0, 3, threads=1, device=device)
    found = grams(walked, lambda chunk: chunk.deltas)
    assert list(found) == list(SHAPES) and not found["none"].any()
    for name, products in found.items():
        rows = [np.float64(each[name] - base[name]).reshape(-1) for each in tuned]
        np.testing.assert_allclose(products, [[a @ b for b in rows] for a in rows], atol=1e-12)


def test_as_many_rows_as_there_are_arrays_also_of_a_tensor_without_elements() -> None:
    walked, (base, only) = _stream(0, 1, threads=1)
    found = grams(walked, lambda chunk: [chunk.base, *chunk.tuned], count=2)  # type: ignore[list-item]
    assert {products.shape for products in found.values()} == {(2, 2)}
    assert found["vector"][0, 1] == pytest.approx(np.float64(base["vector"]) @ only["vector"])


@pytest.mark.parametrize(("length", "threads"), [(8, 1), (24, 3), (1 << 20, 2)])
def test_have_the_same_bits_whatever_the_chunks(
    length: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK", 8)
    monkeypatch.setattr(gram_module, "BLOCK", 8)
    whole = grams(_stream(1, 4, threads=1)[0], lambda chunk: chunk.tuned)
    cut = grams(_stream(1, 4, threads=threads, chunk_length=length)[0], lambda chunk: chunk.tuned)
    assert all(np.array_equal(cut[name], whole[name]) for name in SHAPES)
    walked, models = _stream(1, 4, threads=1)
    alone = grams(walked, lambda chunk: chunk.tuned)["matrix"]
    assert np.array_equal(alone, gram([each["matrix"] for each in models[1:]]))


@given(seed=st.integers(0, 100), cut=st.integers(1, 4), count=st.integers(1, 6))
def test_blocks_of_the_true_length_have_the_same_bits_in_any_chunk(seed: int, cut: int, count: int) -> None:
    values = np.random.default_rng(seed).standard_normal((count, 5 * BLOCK + 77)).astype(np.float32)

    def blocks(rows: np.ndarray) -> np.ndarray:
        return gram_module.block_products(list(rows), list(rows))

    whole = blocks(values)
    parts = [blocks(values[:, : cut * BLOCK]), blocks(values[:, cut * BLOCK :])]
    assert np.array_equal(np.concatenate(parts), whole)
