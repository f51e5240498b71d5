import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import WeightsError
from ramekin.merge.array import TorchDevice
from ramekin.merge.stream import Chunk, ModelStream, NamedReader, Piece, chunk_elements, num_threads
from ramekin.weights.reading import ArrayReader, CheckpointReader


def _readers(family) -> tuple[NamedReader, list[NamedReader]]:
    base, models = family
    tuned = [NamedReader(model.label, CheckpointReader(model.folder)) for model in models]
    return NamedReader("the base", CheckpointReader(base)), tuned


def _close(*models: NamedReader) -> None:
    for model in models:
        model.reader.close()


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("unit", ["element", "row", "matrix"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("with_base", [True, False])
def test_walks_through_every_element_in_order(
    world, family, with_base: bool, threads: int, unit, monkeypatch
) -> None:
    monkeypatch.setattr("ramekin.merge.stream.BLOCK", 10)
    base, tuned = _readers(family)
    read: list[int] = []
    names = base.reader.names()
    stream = ModelStream(
        base if with_base else None, tuned, names, chunk_length=30, threads=threads, on_read=read.append
    )
    positions = dict.fromkeys(names, 0)
    whole: dict[str, list[list[np.ndarray]]] = {name: [] for name in names}

    def copied(chunk: Chunk) -> tuple[str, int, list[np.ndarray]]:
        assert (chunk.base is not None) == with_base
        rows = [*([chunk.base] if chunk.base is not None else []), *chunk.tuned]
        assert all(row.shape == chunk.shape for row in rows)
        return chunk.name, chunk.start, [np.array(row).reshape(-1) for row in rows]  # type: ignore[arg-type]

    for name, start, rows in stream.walk(copied, unit=unit):
        assert start == positions[name]
        positions[name] += len(rows[0])
        assert unit == "matrix" or len(rows[0]) <= 30
        whole[name].append(rows)
    folders = [*([family[0]] if with_base else []), *(model.folder for model in family[1])]
    for position, folder in enumerate(folders):
        for name, tensor in world.load(folder).items():
            joined = np.concatenate([rows[position] for rows in whole[name]])
            assert torch.equal(torch.from_numpy(joined), tensor.flatten())
    assert (
        read[-1]
        == stream.bytes_read
        == len(folders) * sum(tensor.nbytes for tensor in world.load(family[0]).values())
    )
    assert stream.num_tuned == 3 and stream.labels[0].startswith("'m0' (")
    _close(base, *tuned)


@pytest.mark.usefixtures("short_runs")
def test_rows_are_whole(family) -> None:
    base, tuned = _readers(family)
    stream = ModelStream(base, tuned, base.reader.names(), chunk_length=30)
    assert [piece.shape for piece in stream.pieces("shared.weight", "row")] == [(3, 8)] * 13 + [(1, 8)]
    assert [piece.shape for piece in stream.pieces("shared.weight")][-1] == (8,)
    assert list(stream.pieces("shared.weight", "matrix")) == [Piece("shared.weight", 0, (40, 8))]
    assert [p.shape for p in ModelStream(base, tuned, (), chunk_length=3).pieces("shared.weight", "row")] == [
        (1, 8)
    ] * 40
    _close(base, *tuned)


@pytest.mark.parametrize("unit", ["element", "matrix"])
def test_deltas(world, family, unit) -> None:
    base, tuned = _readers(family)
    start, own = world.load(family[0]), [world.load(model.folder) for model in family[1]]
    stream = ModelStream(base, tuned, base.reader.names())
    found = stream.walk(lambda c: (c.name, [np.array(d).reshape(-1) for d in c.deltas]), unit=unit)
    for name, rows in found:
        for row, tensors in zip(rows, own, strict=True):
            assert torch.equal(torch.from_numpy(row), (tensors[name] - start[name]).flatten())
    _close(base, *tuned)


def test_a_matrix_is_read_model_by_model(family, monkeypatch) -> None:
    base, tuned = _readers(family)
    read = []
    original = CheckpointReader.read
    monkeypatch.setattr(
        CheckpointReader, "read", lambda self, *a, **k: (read.append(self.where), original(self, *a, **k))[1]
    )
    stream = ModelStream(base, tuned, ["shared.weight"], threads=1)

    def second(chunk: Chunk) -> int:
        assert len(chunk.tuned) == 3 and len(chunk.deltas[1:]) == 2
        assert chunk.deltas[1].shape == (40, 8)
        return len(read)

    assert list(stream.walk(second, unit="matrix")) == [2]
    _close(base, *tuned)


def test_torch_arrays_on_a_device(family) -> None:
    base, tuned = _readers(family)
    stream = ModelStream(base, tuned, base.reader.names(), device=TorchDevice("cpu"), threads=2)
    for name, chunk, values in stream.walk(lambda c: (c.name, c.base, stream.kept(c.tuned[0] - c.base))):
        assert isinstance(chunk, torch.Tensor) and values.dtype == np.float32
        assert len(values) == stream.numel(name)
    _close(base, *tuned)


@pytest.mark.usefixtures("short_runs")
def test_what_is_kept_outlives_its_chunk(family) -> None:
    base, tuned = _readers(family)
    stream = ModelStream(base, tuned, ["shared.weight"], chunk_length=8, threads=1)
    kept = list(stream.walk(lambda chunk: stream.kept(chunk.base)))
    whole = base.reader.read("shared.weight", 0, 320)
    assert np.array_equal(np.concatenate(kept), whole)
    _close(base, *tuned)


@pytest.mark.usefixtures("short_runs")
def test_an_error_stops_the_walk(family) -> None:
    base, tuned = _readers(family)
    seen = []

    def fail(chunk: Chunk) -> None:
        seen.append(chunk.start)
        if chunk.start == 16:
            raise ValueError("at 16")

    stream = ModelStream(base, tuned, ["shared.weight"], chunk_length=8, threads=2)
    with pytest.raises(ValueError, match="at 16"):
        list(stream.walk(fail))
    assert len(seen) < 40
    _close(base, *tuned)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused_with_model_and_tensor(world, family, value: float, threads) -> None:
    base, models = family
    tensors = world.load(models[1].folder)
    tensors["shared.weight"][3, 2] = value
    folder = world.save("broken", tensors)
    with CheckpointReader(folder) as reader, CheckpointReader(base) as root:
        stream = ModelStream(
            NamedReader("the base", root),
            [NamedReader("'broken'", reader)],
            ["shared.weight"],
            threads=threads,
        )
        with pytest.raises(
            WeightsError,
            match=r"NaN or infinite: .*broken#shared.weight: expected finite values in 'broken', "
            r"got (nan|inf|-inf) at element 26; fix: leave this model out",
        ):
            list(stream.walk(lambda chunk: None))


@given(models=st.integers(1, 500))
def test_chunks_get_shorter_with_the_models(models: int) -> None:
    length = chunk_elements(models)
    assert 1 << 14 <= length <= 1 << 17 and length & (length - 1) == 0
    assert chunk_elements(models + 1) <= length


def test_as_many_threads_as_cores() -> None:
    assert 1 <= num_threads() <= 8


@pytest.mark.parametrize("length", [3, 1 << 10])
def test_a_row_of_one_element_is_a_row_and_a_vector_is_one(length: int) -> None:
    arrays = {
        "column": np.ones((7, 1)),
        "vector": np.ones(40),
        "number": np.ones(()),
        "none": np.ones((0, 3)),
    }
    model = NamedReader("m", ArrayReader(arrays, where="m"))
    stream = ModelStream(None, [model], tuple(arrays), chunk_length=length, threads=1)
    shapes = {name: [piece.shape for piece in stream.pieces(name, "row")] for name in arrays}
    assert shapes == {
        "column": [(3, 1), (3, 1), (1, 1)] if length == 3 else [(7, 1)],
        "vector": [(40,)],
        "number": [()],
        "none": [],
    }
    assert [chunk.tuned[0].shape for chunk in stream.walk(lambda chunk: chunk, unit="row")][-1] == ()
