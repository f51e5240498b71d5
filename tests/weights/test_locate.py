"""Names to folders: what is there first, and what is said when nothing is."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ramekin.errors import WeightsError
from ramekin.weights.locate import is_hub_name, locate_checkpoint


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A hub without a network and an empty cache; the downloads asked of it."""
    import huggingface_hub

    calls: list[dict[str, Any]] = []

    def repo_info(self: Any, name: str, **keys: Any) -> Any:
        calls.append({"info": name, **keys})
        raise ConnectionError("Name or service not known\nmore")

    def download(name: str, **keys: Any) -> str:
        calls.append({"download": name, **keys})
        raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", repo_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return calls


@pytest.fixture
def hub_root(tmp_path: Path) -> Path:
    for name in ("google/flan-t5-base", "google/flan-t5-large", "tanganke/flan-t5-base_glue-cola"):
        (tmp_path / "hub" / name).mkdir(parents=True)
    (tmp_path / "hub" / "lonely").mkdir()
    (tmp_path / "hub" / "notes.txt").write_text("")
    return tmp_path / "hub"


def test_an_existing_folder_comes_first(
    tmp_path: Path, hub_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locate_checkpoint(tmp_path) == tmp_path
    assert locate_checkpoint(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "google/flan-t5-base").mkdir(parents=True)
    assert locate_checkpoint("google/flan-t5-base", hub_root=hub_root) == Path("google/flan-t5-base")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate_checkpoint("~/google/flan-t5-base") == tmp_path / "google/flan-t5-base"


def test_hub_root_comes_second(hub_root: Path, hub: list[Any]) -> None:
    assert locate_checkpoint("google/flan-t5-base", hub_root=hub_root) == hub_root / "google/flan-t5-base"
    assert locate_checkpoint("lonely", hub_root=hub_root) == hub_root / "lonely"
    assert hub == []


@pytest.mark.parametrize(
    ("name", "yes"),
    [
        ("google/flan-t5-base", True),
        ("t5-small", True),
        ("a/b/c", False),
        ("/a/b", False),
        ("./a", False),
        ("../a", False),
        ("a/../b", False),
        ("a/..", False),
        ("~/a", False),
        ("a b/c", False),
        ("", False),
        ("a/", False),
    ],
)
def test_what_could_be_a_repository(name: str, yes: bool) -> None:
    assert is_hub_name(name) is yes


def test_no_network_and_no_folder_names_the_repository_and_both_remedies(
    hub_root: Path, hub: list[dict[str, Any]]
) -> None:
    begun = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        locate_checkpoint("google/flan-t5-xl")
    message = str(caught.value)
    assert "https://huggingface.co/google/flan-t5-xl" in message
    assert "hub_root=DIR holding DIR/google/flan-t5-xl" in message and "allow network access" in message
    assert "got ConnectionError: Name or service not known;" in message and "\n" not in message
    with pytest.raises(WeightsError) as caught:
        locate_checkpoint("google/flan-t5-bass", hub_root=hub_root, revision="v2")
    message = str(caught.value)
    assert f"not under hub_root {hub_root}" in message and "flan-t5-bass at revision v2" in message
    assert "did you mean 'google/flan-t5-base', which is under" in message
    assert time.perf_counter() - begun < 5
    questions = [call for call in hub if "info" in call]
    assert [call["timeout"] for call in questions] == [10.0, 10.0]  # a silent network is not waited for


def test_a_path_that_is_not_there_is_not_asked_of_the_hub(
    tmp_path: Path, hub_root: Path, hub: list[Any]
) -> None:
    with pytest.raises(WeightsError, match=r"no such checkpoint folder: .*fix: did you mean '.*hub/lonely'"):
        locate_checkpoint(hub_root / "lonly")
    with pytest.raises(WeightsError, match=r"no such checkpoint folder: \./nothing$"):
        locate_checkpoint("./nothing")
    with pytest.raises(WeightsError, match="a checkpoint is a folder: .*got a file"):
        locate_checkpoint(hub_root / "notes.txt")
    with pytest.raises(WeightsError, match="no such checkpoint folder"):
        locate_checkpoint("google/../../x", hub_root=hub_root)
    assert hub == []


def test_a_local_folder_of_a_similar_name_is_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_root: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/rte").mkdir(parents=True)
    with pytest.raises(WeightsError, match="did you mean 'runs/rte'"):
        locate_checkpoint("runs/rt")
    with pytest.raises(WeightsError, match="cannot get a checkpoint"):
        locate_checkpoint("quite/different", hub_root=tmp_path / "nothing")


def test_the_cache_is_used_without_the_network(
    tmp_path: Path, hub: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    asked: list[dict[str, Any]] = []

    def download(name: str, **keys: Any) -> str:
        asked.append(keys)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert locate_checkpoint("org/base", revision="abc") == tmp_path
    assert asked == [{"revision": "abc", "local_files_only": True}] and hub == []


def test_an_incomplete_cache_is_completed_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[dict[str, Any]] = []

    def download(name: str, **keys: Any) -> str:
        asked.append(keys)
        if not keys.get("local_files_only"):
            save_file({"a": torch.ones(1)}, tmp_path / "adapter_model.safetensors")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "repo_info", lambda self, name, **keys: SimpleNamespace(sha="c0ffee")
    )
    assert locate_checkpoint("org/lora") == tmp_path
    assert asked[1]["revision"] == "c0ffee"  # one commit for all files
    assert "*.safetensors" in asked[1]["allow_patterns"] and not any(
        "bin" in p for p in asked[1]["allow_patterns"]
    )
    assert locate_checkpoint("org/lora") == tmp_path and len(asked) == 3


def test_a_vocabulary_is_fetched_without_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[dict[str, Any]] = []

    def download(name: str, **keys: Any) -> str:
        asked.append(keys)
        if not keys.get("local_files_only"):
            (tmp_path / "spiece.model").write_bytes(b"")
            if "*.safetensors" in keys["allow_patterns"]:
                save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "repo_info", lambda self, name, **keys: SimpleNamespace(sha="c0ffee")
    )
    assert locate_checkpoint("org/large", weights=False) == tmp_path
    assert not (tmp_path / "model.safetensors").exists() and len(asked) == 2
    assert locate_checkpoint("org/large", weights=False) == tmp_path
    assert len(asked) == 3  # found in the cache
    assert locate_checkpoint("org/large") == tmp_path  # and the weights when they are wanted
    assert (tmp_path / "model.safetensors").exists()


def test_a_repository_of_pickles_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **keys: str(tmp_path))
    monkeypatch.setattr(
        huggingface_hub.HfApi, "repo_info", lambda self, name, **keys: SimpleNamespace(sha="c0ffee")
    )
    with pytest.raises(WeightsError, match="holds no safetensors weights.*co/org/old.*convert it"):
        locate_checkpoint("org/old")
    assert locate_checkpoint("org/old", weights=False) == tmp_path
