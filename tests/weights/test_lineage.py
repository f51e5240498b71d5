"""Lineage and manifest survive the file, and a damaged one is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ramekin.errors import UsageError, WeightsError
from ramekin.files import sha256_file
from ramekin.weights.lineage import (
    Lineage,
    Parent,
    current_versions,
    read_lineage,
    read_manifest,
    weights_sha256,
    write_manifest,
)

LINEAGE = Lineage(
    kind="dense",
    operation="merge/ties_merging",
    base="google/flan-t5-base",
    parents=(Parent("a/b", "00ff", "base"), Parent("c")),
    settings={"scaling_factor": 0.3, "density": None, "names": ["x"]},
    seed=3,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"a": torch.ones(3)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_a_lineage_survives_its_file(folder: Path) -> None:
    assert read_lineage(folder) is None
    written = write_manifest(folder, LINEAGE)
    assert read_lineage(folder) == LINEAGE
    assert read_manifest(folder) == written
    assert set(written.files) == {"config.json", "model.safetensors"}
    assert written.files["config.json"].sha256 == sha256_file(folder / "config.json")
    assert written.files["config.json"].size == 2


def test_versions_are_recorded() -> None:
    versions = current_versions()
    assert versions["torch"] == torch.__version__
    assert {"python", "ramekin", "transformers", "safetensors"} <= versions.keys()
    assert LINEAGE.versions == versions


def test_a_known_hash_is_not_computed_again(folder: Path) -> None:
    written = write_manifest(folder, LINEAGE, known_sha256={"model.safetensors": "abc"})
    assert written.files["model.safetensors"].sha256 == "abc"


def test_settings_must_be_json(folder: Path) -> None:
    with pytest.raises(UsageError, match="not all JSON values: merge/ties_merging"):
        write_manifest(folder, replace(LINEAGE, settings={"path": Path("x")}))
    with pytest.raises(UsageError, match="JSON"):
        write_manifest(folder, replace(LINEAGE, settings={"x": float("nan")}))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "another format.*expected 1, got 2; fix: update"),
        ({"lineage": {}}, "manifest is damaged"),
        ({"lineage": None}, "manifest is damaged"),
        ({"files": [1]}, "manifest is damaged"),
        ({"files": {"../x": {"size": 1, "sha256": ""}}}, r"manifest is damaged.*\.\./x"),
        ({"files": {"ramekin.json": {"size": 1, "sha256": ""}}}, "manifest is damaged"),
        ({"files": {"x": {"size": "1", "sha256": ""}}}, "manifest is damaged"),
    ],
)
def test_a_damaged_manifest_is_named(folder: Path, change: dict[str, Any], sentence: str) -> None:
    write_manifest(folder, LINEAGE)
    path = folder / "ramekin.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsError, match=sentence) as caught:
        read_manifest(folder)
    assert str(path) in str(caught.value)


def test_an_unknown_kind_is_damage(folder: Path) -> None:
    write_manifest(folder, LINEAGE)
    path = folder / "ramekin.json"
    path.write_text(path.read_text().replace('"dense"', '"dens"'))
    with pytest.raises(WeightsError, match="damaged"):
        read_lineage(folder)


def test_the_hash_of_the_weights_is_the_files(folder: Path) -> None:
    expected = sha256_file(folder / "model.safetensors")
    assert weights_sha256(folder) == expected
    write_manifest(folder, LINEAGE)
    assert weights_sha256(folder) == expected


def test_the_hash_of_shards_depends_on_each(tmp_path: Path) -> None:
    def make(name: str, value: float) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        save_file({"a": torch.ones(2)}, folder / "1.safetensors")
        save_file({"b": torch.full((2,), value)}, folder / "2.safetensors")
        weight_map = {"a": "1.safetensors", "b": "2.safetensors"}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        return folder

    one, same, other = make("one", 1.0), make("same", 1.0), make("other", 2.0)
    assert weights_sha256(one) == weights_sha256(same) != weights_sha256(other)
    save_file({"a": torch.ones(2)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert weights_sha256(tmp_path) == sha256_file(tmp_path / "adapter_model.safetensors")
