"""Files and weights are known by their state from outside."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.catalog import Catalog
from ramekin.errors import DataError
from ramekin.recipes.places import Places
from ramekin.recipes.states import (
    InputFile,
    changed_files,
    file_state,
    input_files,
    kept_files,
    task_files,
    weights_state,
)

Make = Callable[..., Path]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("first")
    return path


def test_what_was_read_must_be_there_and_what_was_looked_for_need_not(rows: Path) -> None:
    absent = rows.with_name("absent")
    assert input_files([rows], looked_for=[absent, rows]) == (
        InputFile(str(rows), 5, rows.stat().st_mtime_ns),
        InputFile(str(absent), -1, 0),
    )
    with pytest.raises(DataError, match="a file that was read is missing: .*absent"):
        input_files([absent])


def test_a_file_is_another_one_by_what_it_holds(rows: Path) -> None:
    kept = kept_files([file_state(str(rows))])
    assert changed_files(kept) == []
    os.utime(rows, ns=(1, 1))
    assert changed_files(kept) == [], "it was touched"
    rows.write_text("other")
    assert changed_files(kept) == [str(rows)]
    rows.unlink()
    assert changed_files(kept) == [], "what is not there cannot be told to have changed"


def test_a_large_file_is_known_by_its_time(rows: Path) -> None:
    rows.write_bytes(bytes((1 << 20) + 1))
    kept = kept_files([file_state(str(rows))])
    assert kept[0]["sha256"] is None and changed_files(kept) == []
    os.utime(rows, ns=(1, 1))
    assert changed_files(kept) == [str(rows)]


def test_folders_and_what_came_with_ramekin_are_not_kept(tmp_path: Path) -> None:
    built_in = str(Catalog().files("mini/rte")[0])
    assert file_state(built_in).size > 0
    assert kept_files([file_state(str(tmp_path)), file_state(built_in)]) == []


def test_the_files_of_a_task_and_its_split(
    tmp_path: Path, own_task: Callable[..., tuple[Path, Path]]
) -> None:
    task, data = own_task([("it", 1)])
    places = Places(data_root=tmp_path, tasks_root=tmp_path / "tasks")
    found = [Path(each.path) for each in task_files([("own/wet", "train")], places)]
    assert task in found and data in found


@pytest.mark.parametrize("has_manifest", [True, False])
def test_weights_are_others_when_they_were_made_anew(
    tmp_path: Path, make_checkpoint: Make, has_manifest: bool
) -> None:
    def made(seed: int) -> Path:
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        folder = make_checkpoint(tmp_path / "model", seed=seed)
        if not has_manifest:
            (folder / "ramekin.json").unlink(missing_ok=True)
        return folder

    before = weights_state(made(0))
    assert weights_state(tmp_path / "model") == before
    assert weights_state(made(1)) != before
