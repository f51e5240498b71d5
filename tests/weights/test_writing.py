import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from ramekin.errors import UsageError, WeightsError
from ramekin.files import sha256_file
from ramekin.weights.reading import CheckpointReader
from ramekin.weights.writing import PlannedTensor, ShardedWriter, shard_plans

SHAPES = {"a": (3, 4), "b": (5,), "c": (), "d": (0, 2), "e": (2, 7)}


def _plan(dtype: str = "F32") -> dict[str, PlannedTensor]:
    return {name: PlannedTensor(dtype, shape) for name, shape in SHAPES.items()}


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def _write(folder: Path, plan: dict[str, PlannedTensor], shard_bytes: int | None) -> ShardedWriter:
    folder.mkdir()
    arrays = _arrays()
    with ShardedWriter(folder, plan, shard_bytes=shard_bytes) as writer:
        for name in writer.order:
            flat = arrays[name].reshape(-1)
            for start in range(0, len(flat), 4):
                writer.write_stored(name, writer.stored(name, flat[start : start + 4]))
    return writer


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("shard_bytes", [None, 1, 24, 60, 10_000])
def test_shards_read_as_one_file(tmp_path: Path, dtype: str, shard_bytes: int | None) -> None:
    writer = _write(tmp_path / "m", _plan(dtype), shard_bytes)
    kinds = {"F32": torch.float32, "BF16": torch.bfloat16}
    with CheckpointReader(tmp_path / "m") as reader:
        assert reader.names() == tuple(sorted(SHAPES))
        for name, array in _arrays().items():
            expected = torch.from_numpy(array.reshape(-1)).to(kinds[dtype]).float()
            assert torch.equal(torch.from_numpy(reader.read(name, 0, array.size)), expected)
    files = sorted(path.name for path in (tmp_path / "m").glob("*.safetensors"))
    assert writer.digests == {file: sha256_file(tmp_path / "m" / file) for file in files}
    assert writer.nbytes == sum((tmp_path / "m" / file).stat().st_size for file in files)
    index = tmp_path / "m" / "model.safetensors.index.json"
    if shard_bytes in (None, 10_000):
        assert files == ["model.safetensors"] and not index.exists()
        return
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors" and len(files) > 1
    told = json.loads(index.read_text())
    assert told["metadata"]["total_size"] == sum(each.nbytes for each in _plan(dtype).values())
    for file in files:
        held = load_file(tmp_path / "m" / file)
        assert sorted(held) == sorted(name for name, home in told["weight_map"].items() if home == file)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(1, 100))
def test_shards_are_full_and_not_too_large(sizes: list[int], shard_bytes: int) -> None:
    plan = {f"{place:02}": PlannedTensor("BF16", (size,)) for place, size in enumerate(sizes)}
    parts = shard_plans(plan, shard_bytes)
    assert [name for part in parts for name in part] == sorted(plan)
    held = [sum(each.nbytes for each in part.values()) for part in parts]
    assert all(size <= shard_bytes or len(part) == 1 for size, part in zip(held, parts, strict=True))
    for (size, _), after in zip(zip(held, parts, strict=True), parts[1:], strict=False):
        assert size + next(iter(after.values())).nbytes > shard_bytes


def test_what_is_missing_or_not_finite(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with (
        pytest.raises(UsageError, match="not every planned tensor was written: a"),
        ShardedWriter(tmp_path / "a", _plan(), shard_bytes=24),
    ):
        pass
    (tmp_path / "b").mkdir()
    with (
        pytest.raises(
            WeightsError, match=r"not finite: model-00001-of-00003.safetensors#a: expected finite F32"
        ),
        ShardedWriter(tmp_path / "b", _plan(), shard_bytes=48) as writer,
    ):
        writer.stored("a", np.asarray([np.nan], dtype=np.float32))
    assert not (tmp_path / "b" / "model.safetensors.index.json").exists()
