import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import WeightsError
from ramekin.merge.stream import BUFFER_ELEMENTS, ModelStream, NamedReader, slice_elements
from ramekin.weights.streaming import CheckpointReader


def _readers(family) -> tuple[NamedReader, list[NamedReader]]:
    base, models = family
    tuned = [NamedReader(model.label, CheckpointReader(model.folder)) for model in models]
    return NamedReader("the base", CheckpointReader(base)), tuned


def _close(*models: NamedReader) -> None:
    for model in models:
        model.reader.close()


@pytest.mark.parametrize("with_base", [True, False])
def test_walks_through_every_element_in_order(world, family, with_base: bool, monkeypatch) -> None:
    monkeypatch.setattr("ramekin.merge.stream._MIN_SLICE", 7)
    base, tuned = _readers(family)
    read = 0

    def on_read(count: int) -> None:
        nonlocal read
        read += count

    stream = ModelStream(base if with_base else None, tuned, buffer_elements=30, on_read=on_read)
    names = base.reader.names()
    pieces: dict[str, list[list[torch.Tensor]]] = {name: [] for name in names}
    for chunk in stream.chunks(names):
        assert (chunk.base is not None) == with_base
        rows = [*([chunk.base] if chunk.base is not None else []), *chunk.tuned]
        assert chunk.start == sum(piece[0].numel() for piece in pieces[chunk.name])
        assert rows[0].numel() <= 30
        pieces[chunk.name].append([row.clone() for row in rows])
    folders = [*([family[0]] if with_base else []), *(model.folder for model in family[1])]
    for position, folder in enumerate(folders):
        for name, tensor in world.load(folder).items():
            whole = torch.cat([piece[position] for piece in pieces[name]])
            assert torch.equal(whole, tensor.flatten())
    assert read == len(folders) * sum(tensor.nbytes for tensor in world.load(family[0]).values())
    assert stream.num_tuned == 3 and stream.labels[0].startswith("'m0' (")
    _close(base, *tuned)


def test_deltas(world, family) -> None:
    base, tuned = _readers(family)
    start, own = world.load(family[0]), [world.load(model.folder) for model in family[1]]
    for name, rows in ModelStream(base, tuned).deltas(base.reader.names()):
        for row, tensors in zip(rows, own, strict=True):
            assert torch.equal(row, (tensors[name] - start[name]).flatten())
    _close(base, *tuned)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused_with_model_and_tensor(world, family, value: float) -> None:
    base, models = family
    tensors = world.load(models[1].folder)
    tensors["shared.weight"][3, 2] = value
    folder = world.save("broken", tensors)
    with CheckpointReader(folder) as reader, CheckpointReader(base) as root:
        stream = ModelStream(NamedReader("the base", root), [NamedReader("'broken'", reader)])
        with pytest.raises(
            WeightsError,
            match=r"NaN or infinite: .*broken#shared.weight: expected finite values in 'broken', "
            r"got (nan|inf|-inf) at element 26; fix: leave this model out",
        ):
            list(stream.chunks(["shared.weight"]))


@given(models=st.integers(1, 200))
def test_the_buffer_does_not_grow_with_the_models(models: int) -> None:
    length = slice_elements(models)
    assert 4096 <= length <= 1 << 17
    assert models * length <= BUFFER_ELEMENTS
