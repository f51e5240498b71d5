import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ramekin.errors import UsageError, WeightsError
from ramekin.weights import reading
from ramekin.weights.adapter_folder import Adapter
from ramekin.weights.change import AbstractChange, Decomposed, LowRank, Rescaled
from ramekin.weights.dtypes import all_finite, rounded
from ramekin.weights.reading import (
    AbstractTensorReader,
    AdapterReader,
    ArrayReader,
    CheckpointReader,
    HeldReader,
)
from ramekin.weights.writing import CheckpointWriter, PlannedTensor, header_bytes, planned_bytes

Tensors = dict[str, torch.Tensor]
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def _read(reader: AbstractTensorReader, name: str, start: int, stop: int) -> torch.Tensor:
    return torch.from_numpy(reader.read(name, start, stop))


def _zeros(count: int) -> np.ndarray:
    return np.zeros(count, dtype=np.float32)


def _tensors(seed: int = 0) -> Tensors:
    rng = torch.Generator().manual_seed(seed)
    shapes = {"b.weight": (7, 5), "a.weight": (3, 4, 2), "scalar": (), "empty": (0, 4), "c": (11,)}
    return {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}


def _save(folder: Path, tensors: Tensors, *, shards: int = 1) -> Path:
    folder.mkdir()
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    weight_map = {}
    for shard in range(shards):
        names = sorted(tensors)[shard::shards]
        save_file({name: tensors[name] for name in names}, folder / f"part-{shard}.safetensors")
        weight_map |= dict.fromkeys(names, f"part-{shard}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("shards", [1, 3])
def test_reads_what_the_library_reads(tmp_path: Path, dtype: torch.dtype, shards: int) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in _tensors().items()}
    with CheckpointReader(_save(tmp_path / "m", tensors, shards=shards)) as reader:
        assert reader.names() == tuple(sorted(tensors))
        for name, tensor in tensors.items():
            assert reader.info(name).shape == tuple(tensor.shape)
            assert DTYPES[reader.info(name).dtype] == dtype
            read = reader.read(name, 0, tensor.numel())
            assert read.dtype == np.float32
            assert torch.equal(torch.from_numpy(read), tensor.flatten().float())


@settings(max_examples=40)
@given(bounds=st.tuples(st.integers(0, 35), st.integers(0, 35)), dtype=st.sampled_from(list(DTYPES.values())))
def test_any_slice(
    tmp_path_factory: pytest.TempPathFactory, bounds: tuple[int, int], dtype: torch.dtype
) -> None:
    start, stop = sorted(bounds)
    tensor = _tensors()["b.weight"].to(dtype)
    folder = _save(tmp_path_factory.mktemp("slices") / "m", {"b.weight": tensor})
    with CheckpointReader.open(folder) as reader:
        assert torch.equal(_read(reader, "b.weight", start, stop), tensor.flatten()[start:stop].float())


def test_a_buffer_is_filled_from_its_front(tmp_path: Path) -> None:
    tensors = _tensors()
    with CheckpointReader(_save(tmp_path / "m", tensors)) as reader:
        buffer = np.full(64, 9.0, dtype=np.float32)
        read = reader.read("c", 2, 6, out=buffer)
        assert read.ctypes.data == buffer.ctypes.data
        assert buffer[:4].tolist() == tensors["c"][2:6].tolist()
        assert buffer[4:].tolist() == [9.0] * 60


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_slices_longer_than_a_conversion_block(
    tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCK", 4)
    tensor = torch.randn(31).to(dtype)
    with CheckpointReader(_save(tmp_path / "m", {"x": tensor})) as reader:
        assert torch.equal(_read(reader, "x", 1, 30), tensor[1:30].float())


def test_closed_files_open_again(tmp_path: Path) -> None:
    tensors = _tensors()
    reader = CheckpointReader(_save(tmp_path / "m", tensors))
    first = _read(reader, "c", 0, 11)
    reader.close()
    reader.close()
    assert torch.equal(_read(reader, "c", 0, 11), first)
    reader.close()


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 12)])
def test_a_slice_outside_the_tensor(tmp_path: Path, start: int, stop: int) -> None:
    with (
        CheckpointReader(_save(tmp_path / "m", _tensors())) as reader,
        pytest.raises(UsageError, match=rf"outside the tensor: expected 0..11, got {start}..{stop}"),
    ):
        reader.read("c", start, stop)


@pytest.mark.parametrize(
    "buffer", [np.empty(3, np.float32), np.empty(11, np.float64), np.empty(22, np.float32)[::2]]
)
def test_a_buffer_that_cannot_take_the_slice(tmp_path: Path, buffer: Any) -> None:
    with (
        CheckpointReader(_save(tmp_path / "m", _tensors())) as reader,
        pytest.raises(UsageError, match="a buffer that cannot take the slice: expected 11 contiguous fp32"),
    ):
        reader.read("c", 0, 11, out=buffer)


def test_an_unknown_tensor(tmp_path: Path) -> None:
    with (
        CheckpointReader(_save(tmp_path / "m", _tensors())) as reader,
        pytest.raises(WeightsError, match=r"the checkpoint has no such tensor: .*m#nothing"),
    ):
        reader.info("nothing")


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_other_dtypes_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = _save(tmp_path / "m", {"x": torch.ones(3, dtype=dtype)})
    with pytest.raises(WeightsError, match=r"model.safetensors#x: expected F32 or BF16 or F16, got [IF]64"):
        CheckpointReader(folder)


def test_a_file_that_vanishes_or_is_cut_after_it_was_opened(tmp_path: Path) -> None:
    folder = _save(tmp_path / "m", _tensors())
    reader = CheckpointReader(folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(WeightsError, match=r"the file was cut while it was read: .*#"):
        for name in reader.names():
            reader.read(name, 0, reader.info(name).numel)
    reader.close()
    path.unlink()
    with pytest.raises(WeightsError, match=r"cannot read a weights file: .*No such file"):
        reader.read("c", 0, 11)


def _adapter(deltas: dict[str, tuple[int, int]], *, rank: int = 2) -> Adapter:
    rng = torch.Generator().manual_seed(5)
    made = {
        name: LowRank(torch.randn(rank, width, generator=rng), torch.randn(rows, rank, generator=rng), 1.5)
        for name, (rows, width) in deltas.items()
    }
    return Adapter("base", None, made)


def test_an_adapter_reads_as_its_dense_merge(tmp_path: Path) -> None:
    tensors, adapter = _tensors(), _adapter({"b.weight": (7, 5)})
    base = CheckpointReader(_save(tmp_path / "m", tensors))
    with AdapterReader(base, adapter, folder=tmp_path / "a") as reader:
        assert reader.names() == base.names()
        assert reader.info("b.weight") == base.info("b.weight")
        assert "a on " in reader.where
        dense = (tensors["b.weight"] + adapter.changes["b.weight"].dense()).flatten()
        whole = _read(reader, "b.weight", 0, 35)
        torch.testing.assert_close(whole, dense)
        assert torch.equal(_read(reader, "c", 0, 11), tensors["c"])
        for start, stop in ((0, 0), (0, 1), (4, 6), (3, 35), (17, 18)):
            assert torch.equal(_read(reader, "b.weight", start, stop), whole[start:stop])


def test_slices_of_an_adapter_do_not_depend_on_the_slices_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCK", 64 * 3)  # three rows a block
    tensor, adapter = torch.randn(50, 64), _adapter({"w": (50, 64)}, rank=16)
    with AdapterReader(
        CheckpointReader(_save(tmp_path / "m", {"w": tensor})), adapter, folder=tmp_path
    ) as reader:
        whole = _read(reader, "w", 0, 3200)
        torch.testing.assert_close(whole.view(50, 64), tensor + adapter.changes["w"].dense())
        for size in (1, 63, 64, 100, 1000):
            parts = [_read(reader, "w", start, min(3200, start + size)) for start in range(0, 3200, size)]
            assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    "change",
    [
        LowRank(torch.randn(2, 5), torch.randn(7, 2), 1.5),
        Decomposed(LowRank(torch.randn(2, 5), torch.randn(7, 2), 0.5), torch.rand(7)),
        Rescaled(torch.randn(7, 1)),
        Rescaled(torch.randn(1, 5)),
    ],
)
def test_every_kind_of_change_reads_as_its_dense_merge(
    tmp_path: Path, change: AbstractChange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCK", 10)  # two rows a block
    tensors = _tensors()
    tensors["b.weight"][3] = 0.0
    base = CheckpointReader(_save(tmp_path / "m", tensors))
    with AdapterReader(base, Adapter("b", None, {"b.weight": change}, "lora"), folder=tmp_path) as reader:
        whole = _read(reader, "b.weight", 0, 35)
        torch.testing.assert_close(whole.view(7, 5), change.merged(tensors["b.weight"]))
        parts = [_read(reader, "b.weight", start, min(35, start + 4)) for start in range(0, 35, 4)]
        assert torch.equal(torch.cat(parts), whole)


def test_a_soft_prompt_is_refused(tmp_path: Path) -> None:
    prompt = Adapter("b", None, {}, "prompt", torch.ones(2, 5))
    with (
        CheckpointReader(_save(tmp_path / "m", _tensors())) as base,
        pytest.raises(
            UsageError, match=r"a soft prompt has no weights to merge: .*ad: .*; fix: leave it out"
        ),
    ):
        AdapterReader(base, prompt, folder=tmp_path / "ad")


def test_arrays_read_as_a_checkpoint_does(tmp_path: Path) -> None:
    tensors = _tensors()
    arrays = ArrayReader({name: tensor.numpy() for name, tensor in tensors.items()}, where="here")
    with CheckpointReader(_save(tmp_path / "m", tensors)) as reader, arrays:
        assert arrays.names() == reader.names() and arrays.where == "here"
        for name in reader.names():
            assert arrays.info(name).shape == reader.info(name).shape
            assert torch.equal(_read(arrays, name, 0, tensors[name].numel()), tensors[name].flatten())
        with pytest.raises(WeightsError, match="the model has no such tensor: here#nothing"):
            arrays.info("nothing")


@settings(max_examples=40)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    dtype=st.sampled_from(list(DTYPES)),
)
def test_rounds_as_torch_does(values: list[float], dtype: str) -> None:
    ours = rounded(np.asarray(values, dtype=np.float32), dtype)
    assert torch.equal(torch.from_numpy(ours), torch.tensor(values).to(DTYPES[dtype]).float())


@pytest.mark.parametrize(
    ("deltas", "message"),
    [
        ({"nothing": (7, 5)}, r"changes a tensor its base does not have: .*ad#nothing: got base .*m; fix"),
        ({"b.weight": (5, 7)}, r"does not fit its base: .*ad#b.weight: expected \[7, 5\].* got \[5, 7\]"),
    ],
)
def test_an_adapter_of_another_base(tmp_path: Path, deltas: dict[str, tuple[int, int]], message: str) -> None:
    with (
        CheckpointReader(_save(tmp_path / "m", _tensors())) as base,
        pytest.raises(WeightsError, match=message),
    ):
        AdapterReader(base, _adapter(deltas), folder=tmp_path / "ad")


def test_a_reader_that_does_not_own_its_base_leaves_it_open(tmp_path: Path) -> None:
    base = CheckpointReader(_save(tmp_path / "m", _tensors()))
    base.read("c", 0, 1)
    AdapterReader(base, _adapter({"b.weight": (7, 5)}), folder=tmp_path, owns_base=False).close()
    assert base._descriptors
    AdapterReader(base, _adapter({"b.weight": (7, 5)}), folder=tmp_path).close()
    assert not base._descriptors


def _plan(tensors: Tensors, dtypes: dict[str, str] | None = None) -> dict[str, PlannedTensor]:
    return {
        name: PlannedTensor((dtypes or {}).get(name, "F32"), tuple(tensor.shape))
        for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("dtypes", [{}, {"c": "BF16", "a.weight": "BF16"}, {"b.weight": "F16"}])
@pytest.mark.parametrize("pieces", [1, 3])
def test_writes_the_bytes_of_the_library(tmp_path: Path, dtypes: dict[str, str], pieces: int) -> None:
    tensors = _tensors()
    plan = _plan(tensors, dtypes)
    with CheckpointWriter(tmp_path / "ours.safetensors", plan) as writer:
        for name in writer.order:
            for part in tensors[name].flatten().chunk(pieces):
                writer.write(name, part.numpy())
    stored = {name: tensor.to(DTYPES[plan[name].dtype]) for name, tensor in tensors.items()}
    save_file(stored, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    written = (tmp_path / "ours.safetensors").read_bytes()
    assert written == (tmp_path / "theirs.safetensors").read_bytes()
    assert writer.sha256 == hashlib.sha256(written).hexdigest()
    assert writer.nbytes == planned_bytes(plan) == len(written)
    assert len(header_bytes(plan)) % 8 == 0
    loaded = load_file(tmp_path / "ours.safetensors")
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)


def test_slices_out_of_order_too_many_or_missing(tmp_path: Path) -> None:
    plan = _plan({"a": torch.zeros(2), "b": torch.zeros(3)})
    with (
        pytest.raises(UsageError, match="written out of order: b: expected a"),
        CheckpointWriter(tmp_path / "1", plan) as writer,
    ):
        writer.write("b", _zeros(3))
    with (
        pytest.raises(UsageError, match="too many elements were written: a: expected 2"),
        CheckpointWriter(tmp_path / "2", plan) as writer,
    ):
        writer.write("a", _zeros(3))
    with (
        pytest.raises(UsageError, match="not every planned tensor was written: b"),
        CheckpointWriter(tmp_path / "3", plan) as writer,
    ):
        writer.write("a", _zeros(2))
    with (
        pytest.raises(UsageError, match="written out of order: a: expected nothing more"),
        CheckpointWriter(tmp_path / "4", plan) as writer,
    ):
        writer.write("a", _zeros(2))
        writer.write("b", _zeros(3))
        writer.write("a", _zeros(2))


@pytest.mark.parametrize(
    ("dtype", "value"), [("F32", float("nan")), ("F32", float("inf")), ("F16", 1e5), ("BF16", 3.4e38)]
)
def test_what_is_not_finite_is_not_written(tmp_path: Path, dtype: str, value: float) -> None:
    message = rf"not finite: f#a: expected finite {dtype} values; fix: a smaller scaling factor"
    with (
        pytest.raises(WeightsError, match=message),
        CheckpointWriter(tmp_path / "f", {"a": PlannedTensor(dtype, (2,))}) as writer,
    ):
        writer.write("a", np.asarray([1.0, value], dtype=np.float32))


def test_finite_values_whose_sum_is_not() -> None:
    assert all_finite(np.full(10, 3e38, dtype=np.float32))
    assert all_finite(np.full(10, 6e4, dtype=np.float16))
    assert not all_finite(np.asarray([np.inf, -np.inf], dtype=np.float32))
    assert not all_finite(np.asarray([1.0, np.nan], dtype=np.float16))
    assert all_finite(np.empty(0, dtype=np.float32))


def test_several_threads_may_read_at_once(tmp_path: Path) -> None:
    tensors = {name: torch.randn(1000) for name in "abcd"}
    folder = _save(tmp_path / "m", {name: tensor.bfloat16() for name, tensor in tensors.items()}, shards=4)
    with CheckpointReader(folder) as reader, ThreadPoolExecutor(8) as pool:
        jobs = [(name, start) for name in tensors for start in range(0, 1000, 10)] * 3
        found = pool.map(lambda job: _read(reader, job[0], job[1], job[1] + 10), jobs)
        for (name, start), read in zip(jobs, found, strict=True):
            assert torch.equal(read, tensors[name].bfloat16().float()[start : start + 10])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_held_reader_gives_what_the_checkpoint_has_and_reads_it_once(
    tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"a": torch.randn(7, 11), "b": torch.randn(5)}
    save_file({name: each.to(dtype) for name, each in tensors.items()}, tmp_path / "model.safetensors")
    plain, held = CheckpointReader(tmp_path), HeldReader(CheckpointReader(tmp_path))
    assert held.names() == plain.names() and held.where == plain.where
    assert held.info("a") == plain.info("a")
    for start, stop in [(0, 77), (3, 40), (76, 77), (5, 5)]:
        assert np.array_equal(held.read("a", start, stop), plain.read("a", start, stop))
    out = np.zeros(50, dtype=np.float32)
    view = held.read("a", 10, 20, out=out)
    assert np.shares_memory(view, out) and np.array_equal(view, plain.read("a", 10, 20))
    held.read("a", 0, 77)[:] = 0  # what is handed out is the caller's
    held.close()
    monkeypatch.setattr(CheckpointReader, "read", None)
    assert np.array_equal(held.read("a", 0, 77), tensors["a"].to(dtype).float().numpy().reshape(-1))
    with pytest.raises(TypeError):
        held.read("b", 0, 5)
