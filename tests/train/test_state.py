import json
import os
import resource
import shutil
import signal

import pytest
import torch

from ramekin.errors import ResourceError, WeightsError
from ramekin.train.optimizers import OptimizerState
from ramekin.train.state import (
    load_best,
    load_newest,
    put_back,
    remove_unfinished,
    save_best,
    save_state,
    state_folders,
)


def save(root, step, *, value=1.0, best_step=None):
    return save_state(
        root,
        step,
        weights={"a": torch.full((3, 2), value), "b": torch.nn.Parameter(torch.ones(4))},
        optimizer=OptimizerState(
            {"a::exp_avg": torch.full((3, 2), 2.0), "a::step": torch.tensor(7.0)}, {"a::n": 3}
        ),
        record={"x": 0.1},
        best_step=best_step,
    )


def best(root, step):
    return save_best(root, step, weights={"a": torch.full((2,), float(step))})


def names(root):
    return [folder.name for folder in state_folders(root)]


def test_a_state_goes_round(tmp_path):
    folder = save(tmp_path, 12)
    saved = load_newest(tmp_path)
    assert saved.folder == folder == tmp_path / "step-000012"
    assert torch.equal(saved.weights["a"], torch.ones(3, 2))
    assert torch.equal(saved.optimizer.tensors["a::step"], torch.tensor(7.0))
    assert saved.optimizer.numbers == {"a::n": 3}
    assert saved.record == {"x": 0.1, "best_step": None}
    assert saved.passed_over == ()


def test_nothing_saved_is_none(tmp_path):
    assert load_newest(tmp_path / "state") is None


def test_equal_states_have_equal_bytes(tmp_path):
    one, other = save(tmp_path / "a", 1), save(tmp_path / "b", 1)
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_the_newest_two_are_kept(tmp_path):
    for step in (5, 10, 15, 1_000_000):
        save(tmp_path, step)
    assert names(tmp_path) == ["step-000015", "step-1000000"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_best_weights_are_kept_while_a_state_names_them(tmp_path):
    def kept():
        return sorted(folder.name for folder in tmp_path.glob("best-*"))

    best(tmp_path, 1)
    save(tmp_path, 2, best_step=1)
    best(tmp_path, 3)
    assert kept() == ["best-000001", "best-000003"]
    save(tmp_path, 4, best_step=3)
    assert kept() == ["best-000001", "best-000003"], "the state before may have to serve once more"
    save(tmp_path, 6, best_step=3)
    assert kept() == ["best-000003"]
    assert torch.equal(load_best(tmp_path, 3)["a"], torch.full((2,), 3.0))


def test_damaged_best_weights_are_refused(tmp_path):
    folder = best(tmp_path, 3)
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="changed since it was written: .*best-000003"):
        load_best(tmp_path, 3)
    with pytest.raises(WeightsError, match="not finite"):
        save_best(tmp_path, 4, weights={"a": torch.tensor([torch.nan])})
    assert not (tmp_path / "best-000004").exists()


FILES = ["weights.safetensors", "optimizer.safetensors", "record.json", "manifest.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "longer", "flipped"])
def test_a_damaged_newest_is_passed_over(tmp_path, name, damage):
    save(tmp_path, 1)
    path = save(tmp_path, 2) / name
    data = path.read_bytes()
    flipped = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    changed = {"empty": b"", "cut": data[: len(data) // 2], "longer": data + b" x", "flipped": flipped}
    path.unlink() if damage == "missing" else path.write_bytes(changed[damage])
    saved = load_newest(tmp_path)
    assert saved.folder.name == "step-000001"
    assert len(saved.passed_over) == 1
    assert "step-000002" in saved.passed_over[0]


def test_a_swapped_file_is_noticed(tmp_path):
    one, two = save(tmp_path, 1), save(tmp_path, 2, value=3.0)
    shutil.copy(one / "weights.safetensors", two / "weights.safetensors")
    assert load_newest(tmp_path).folder == one


def test_all_damaged_is_an_error_that_names_them(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step) / "record.json").unlink()
    with pytest.raises(
        WeightsError, match=r"no saved state .* is whole: .*step-000002.*step-000001.*fix: remove"
    ):
        load_newest(tmp_path)


def test_leftovers_and_damaged_newer_states_are_removed(tmp_path):
    whole = save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / ".tmp-step-000003-1").mkdir()
    remove_unfinished(tmp_path, newest=whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000001"]
    remove_unfinished(tmp_path, newest=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, bad):
    save(tmp_path, 1)
    with pytest.raises(WeightsError, match=r"not finite: a after step 2.*nothing was saved"):
        save(tmp_path, 2, value=bad)
    assert names(tmp_path) == ["step-000001"]


def test_a_full_disk_leaves_the_state_before(tmp_path):
    save(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(ResourceError, match=r"cannot write: .*step-000002: .*fix: free some space"):
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert load_newest(tmp_path).folder.name == "step-000001"
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_an_existing_state_of_the_same_step_is_replaced(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 1, value=5.0)
    assert load_newest(tmp_path).weights["a"][0, 0] == 5.0


@pytest.mark.parametrize("name", ["step-000001", "best-000001"])
def test_what_was_moved_aside_and_not_replaced_is_put_back(tmp_path, name):
    save(tmp_path, 1, best_step=1)
    best(tmp_path, 1)
    (tmp_path / name).rename(tmp_path / f".tmp-{name}-old-{os.getpid()}")
    (tmp_path / f".tmp-{name}-new-{os.getpid()}").mkdir()
    put_back(tmp_path)
    saved = load_newest(tmp_path)
    remove_unfinished(tmp_path, newest=saved.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-000001", "step-000001"]
    assert torch.equal(load_best(tmp_path, 1)["a"], torch.ones(2))


def test_what_was_moved_aside_and_replaced_is_removed(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "step-000001").rename(tmp_path / ".tmp-step-000001-old-1")
    save(tmp_path / "other", 1, value=5.0).rename(tmp_path / "step-000001")
    (tmp_path / "other").rmdir()
    put_back(tmp_path)
    saved = load_newest(tmp_path)
    remove_unfinished(tmp_path, newest=saved.folder)
    assert saved.weights["a"][0, 0] == 5.0
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_a_manifest_names_size_and_hash(tmp_path):
    folder = save(tmp_path, 1)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) == set(FILES) - {"manifest.json"}
    for name, entry in manifest.items():
        assert entry["size"] == (folder / name).stat().st_size
        assert len(entry["sha256"]) == 64
