"""Which file holds which tensor, and what is refused before any data is read."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ramekin.errors import WeightsError
from ramekin.weights.layout import INDEX, WEIGHTS, is_adapter, open_layout, read_json


def shards(folder: Path, weight_map: dict[str, object] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    save_file({"a": torch.ones(2)}, folder / "one.safetensors")
    save_file({"b": torch.ones(3)}, folder / "two.safetensors")
    full = {"a": "one.safetensors", "b": "two.safetensors"} if weight_map is None else weight_map
    (folder / INDEX).write_text(json.dumps({"weight_map": full}))
    return folder


def test_a_single_file_and_shards_give_the_same_places(tmp_path: Path) -> None:
    layout = open_layout(shards(tmp_path / "s"))
    assert dict(layout.homes) == {"a": "one.safetensors", "b": "two.safetensors"}
    assert layout.info("b").shape == (3,)
    assert layout.where("b") == f"{tmp_path / 's' / 'two.safetensors'}#b"
    save_file({"a": torch.ones(2), "b": torch.ones(3)}, tmp_path / WEIGHTS)
    assert dict(open_layout(tmp_path).homes) == {"a": WEIGHTS, "b": WEIGHTS}


@pytest.mark.parametrize(
    "name",
    [
        "../one.safetensors",
        "/etc/passwd",
        "sub/one.safetensors",
        "..",
        "",
        "one.bin",
        "..\\one.safetensors",
        3,
        None,
    ],
)
def test_an_index_names_plain_siblings_only(tmp_path: Path, name: object) -> None:
    folder = shards(tmp_path / "s", {"a": "one.safetensors", "b": name})
    with pytest.raises(WeightsError, match=r"outside its folder.*index\.json#b"):
        open_layout(folder)


def test_index_and_shards_must_agree(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", {"a": "one.safetensors", "c": "two.safetensors"})
    with pytest.raises(WeightsError, match=r"a shard lacks a tensor: .*two\.safetensors#c"):
        open_layout(folder)
    shards(folder, {"a": "one.safetensors", "b": "three.safetensors"})
    with pytest.raises(WeightsError, match=r"shard of the checkpoint is missing: .*three\.safetensors"):
        open_layout(folder)
    shards(folder)
    save_file({"a": torch.ones(2), "b": torch.zeros(3)}, folder / "one.safetensors")
    with pytest.raises(WeightsError, match=r"does not place there: .*one\.safetensors#b"):
        open_layout(folder)
    (folder / INDEX).write_text(json.dumps({"weight_map": {}}))
    with pytest.raises(WeightsError, match="no weight_map"):
        open_layout(folder)


def test_a_folder_without_safetensors_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such checkpoint folder"):
        open_layout(tmp_path / "nothing")
    with pytest.raises(WeightsError, match="holds no weights.*config.json"):
        open_layout(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(WeightsError, match="an adapter, not a whole model.*with its base"):
        open_layout(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(WeightsError, match="pickled weights only.*pytorch_model.bin.*convert it"):
        open_layout(tmp_path)


def test_a_folder_is_an_adapter_when_it_has_no_whole_model(tmp_path: Path) -> None:
    assert not is_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert is_adapter(tmp_path)
    save_file({"a": torch.ones(2)}, tmp_path / WEIGHTS)
    assert not is_adapter(tmp_path)


def test_json_files_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(WeightsError, match=r"cannot read.*x\.json"):
        read_json(path)
    for content, sentence in ((b"{", "not JSON"), (b"\xff{}", "not JSON"), (b"[]", "not a JSON object")):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=sentence):
            read_json(path)
    with path.open("wb") as file:
        file.truncate(65_000_000)
    with pytest.raises(WeightsError, match="too long"):
        read_json(path)
