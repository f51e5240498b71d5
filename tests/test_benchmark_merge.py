"""The benchmark of merging: its checkpoints are what they are said to be, and a small run of it ends well."""

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch_file

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY = 263_168
"""Parameters of the tiny shape, counted by hand: 65,536 of embedding and head, and the two stacks."""


@pytest.fixture
def checkpoints(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("merge_checkpoints")


@pytest.fixture
def merge_sides(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("merge_sides")


def test_a_family_is_normal_about_its_base_and_no_two_tensors_are_alike(checkpoints, tmp_path: Path) -> None:
    family = checkpoints.make_family(tmp_path, "tiny", 2, seed=0)
    base, *tuned = (load_file(folder / "model.safetensors") for folder in (family.base, *family.tuned))
    assert base.keys() == tuned[0].keys() and sum(each.size for each in base.values()) == TINY
    large = [name for name, values in base.items() if values.size >= 1024]
    spreads = {name: float(base[name].std()) for name in large}
    assert len(set(spreads.values())) == len(large)
    assert 0.5 < math.exp(np.log(list(spreads.values())).mean()) / 0.05 < 2
    deltas = [np.concatenate([(one[name] - base[name]).ravel() for name in large]) for one in tuned]
    for delta in deltas:
        assert 0.001 < delta.std() < 0.005 and abs(delta.mean()) < 1e-4
    assert abs(np.corrcoef(deltas)[0, 1]) < 0.05


def test_what_is_there_is_kept_and_another_seed_is_made_anew(checkpoints, tmp_path: Path) -> None:
    def states() -> list[tuple[int, int]]:
        files = sorted(tmp_path.rglob("*.safetensors"))
        return [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files]

    first = checkpoints.make_family(tmp_path, "tiny", 1, seed=0).weight_files()
    content, before = [file.read_bytes() for file in first], states()
    checkpoints.make_family(tmp_path, "tiny", 1, seed=0)
    assert states() == before
    first[0].write_bytes(content[0][:-1])  # cut short
    checkpoints.make_family(tmp_path, "tiny", 1, seed=0)
    assert [file.read_bytes() for file in first] == content
    checkpoints.make_family(tmp_path, "tiny", 1, seed=1)
    assert all(file.read_bytes() != old for file, old in zip(first, content, strict=True))


def test_linked_folders_share_their_files(checkpoints, tmp_path: Path) -> None:
    family = checkpoints.make_family(tmp_path / "own", "start", 2, seed=0)
    linked = checkpoints.linked_family(tmp_path / "linked", family, 5)
    inodes = [(folder / "model.safetensors").stat().st_ino for folder in linked.tuned]
    assert len({folder.resolve() for folder in linked.tuned}) == 5 and len(set(inodes)) == 2
    assert linked.base == family.base


def test_shards_are_whole_and_rounded_as_torch_rounds(checkpoints, monkeypatch, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(5000, dtype=np.float32)
    values[:3] = [1 + 2**-8, 1 + 3 * 2**-8, -0.0]  # two halves, which go to the even neighbour
    bits = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(checkpoints._bf16(values), bits)
    monkeypatch.setattr(checkpoints, "SHARD_BYTES", 70_000)
    sizes = checkpoints.SHAPES["tiny"]
    family = checkpoints.make_sharded_family(tmp_path, sizes, seed=0)
    files = checkpoints.weight_files(family.base)
    found = [load_torch_file(file) for file in files]
    index = json.loads((family.base / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {
        name: file.name for file, part in zip(files, found, strict=True) for name in part
    }
    assert sum(values.numel() for part in found for values in part.values()) == TINY
    assert {values.dtype for part in found for values in part.values()} == {torch.bfloat16}
    tuned = checkpoints.weight_files(family.tuned[0])
    shared = [one.stat().st_ino == two.stat().st_ino for one, two in zip(files, tuned, strict=True)]
    assert len(shared) > 3 and shared == [number % 3 != 0 for number in range(len(shared))]


def test_the_largest_difference_is_found_and_a_missing_tensor_refused(checkpoints, tmp_path: Path) -> None:
    family = checkpoints.make_family(tmp_path, "start", 1, seed=0)
    one, two = (load_file(folder / "model.safetensors") for folder in (family.base, family.tuned[0]))
    expected = max(float(np.abs(one[name] - two[name]).max()) for name in one)
    assert checkpoints.largest_difference(family.base, family.tuned[0]) == expected > 0
    assert checkpoints.largest_difference(family.base, family.base) == 0
    other = checkpoints.make_family(tmp_path / "other", "tiny", 1, seed=0)
    with pytest.raises(SystemExit, match="another shape"):
        checkpoints.largest_difference(family.base, other.base)


@pytest.mark.parametrize(
    ("script", "limits", "outcome"),
    [
        ("pass", {}, "done"),
        ("raise SystemExit(3)", {}, "failed"),
        ("x = bytearray(1 << 31)", {"limit_bytes": 1 << 30}, "out of memory"),
        ("import time; time.sleep(60)", {"timeout_seconds": 0.5}, "timed out"),
    ],
)
def test_how_a_process_ended_is_told(merge_sides, tmp_path: Path, script, limits, outcome) -> None:
    taken = merge_sides.take([sys.executable, "-S", "-c", script], merge_sides.Place(tmp_path), **limits)
    assert taken.outcome == outcome


def test_time_and_peak_are_those_of_the_process(merge_sides, tmp_path: Path) -> None:
    here = bytearray(300_000_000)  # what this process holds is not the other's
    script = "import time; x = b'1' * 100_000_000; time.sleep(0.5)"
    taken = merge_sides.take([sys.executable, "-S", "-c", script], merge_sides.Place(tmp_path))
    assert 100e6 < taken.peak_bytes < 150e6 < len(here)
    assert 0.5 <= taken.seconds > taken.cpu_seconds > 0


def test_a_small_run_of_the_benchmark() -> None:
    words = ["--shape", "tiny", "--models", "2", "--rounds", "1", "--peers", "none"]
    words += ["--methods", "average", "--memory", "3"]
    command = [sys.executable, str(BENCHMARKS / "merge.py"), *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert any(line.startswith("average: beyond its start") for line in printed)
    found = json.loads(printed[-1])
    assert found["benchmark"] == "merge" and "average_by_raw" in found
    assert found["runs"].keys() == {
        "models: raw", "models: raw, fsync", "average: ramekin", "average: its start",
    }  # fmt: skip
    assert all(run["outcomes"] == ["done"] and len(run["seconds"]) == 1 for run in found["runs"].values())
    (row,) = found["memory"]
    assert (row["models"], row["shape"]) == (3, "tiny") and 4 * TINY < row["written_mb"] * 1e6 < 4.3 * TINY
