"""A folder that is not exactly what was saved is refused, and the message names the file."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.errors import WeightsError
from ramekin.weights.checkpoint import verify_checkpoint
from ramekin.weights.seq2seq import load_model
from ramekin.weights.verify import check_digest, verify_small_files

Saved = Callable[..., Path]


@pytest.fixture
def folder(saved: Saved) -> Path:
    return saved()


def test_what_was_saved_is_whole(folder: Path) -> None:
    verify_checkpoint(folder)
    assert verify_small_files(folder) is not None
    (folder / "README.md").write_text("a card")
    (folder / ".gitattributes").write_text("")
    verify_checkpoint(folder)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    for check in (verify_checkpoint, load_model):
        with pytest.raises(WeightsError, match=f"missing: .*{name}.*bytes, as ramekin.json says"):
            check(folder)


@pytest.mark.parametrize("name", ["extra.safetensors", "tokenizer.json", "modeling.py", "state"])
def test_a_foreign_file_is_named(folder: Path, name: str) -> None:
    (folder / name).mkdir() if name == "state" else (folder / name).write_text("{}")
    for check in (verify_checkpoint, load_model):
        with pytest.raises(WeightsError, match=f"not in its manifest: .*{name}"):
            check(folder)


def test_a_truncated_file_is_found_at_every_length(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    cuts = [0, 1, 7, 8, 9, header - 1, header, header + 1, len(content) - 1]
    cuts += random.Random(0).sample(range(header), 40) + random.Random(1).sample(
        range(header, len(content)), 200
    )
    for cut in cuts:
        path.write_bytes(content[:cut])
        with pytest.raises(WeightsError, match=r"model\.safetensors") as caught:
            verify_checkpoint(folder)
        if cut >= header:
            assert "truncated" in str(caught.value) and "safetensors#" in str(caught.value)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="truncated"):
        load_model(folder, verify=False)


@pytest.mark.parametrize("without_manifest", [False, True])
def test_more_bytes_than_saved_are_found(folder: Path, without_manifest: bool) -> None:
    if without_manifest:
        (folder / "ramekin.json").unlink()
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsError, match=r"bytes follow its last tensor.*model\.safetensors"):
        verify_checkpoint(folder)


def test_another_size_of_a_small_file_is_found(folder: Path) -> None:
    with (folder / "config.json").open("a") as file:
        file.write("\n")
    with pytest.raises(WeightsError, match=r"another size: .*config\.json.*as ramekin.json says, got"):
        verify_checkpoint(folder, hashes=False)


def test_bit_flips_anywhere_are_found(folder: Path) -> None:
    rng = random.Random(2)
    for name in ("model.safetensors", "config.json", "generation_config.json"):
        path = folder / name
        content = path.read_bytes()
        for _ in range(60 if name == "model.safetensors" else 20):
            mutant = bytearray(content)
            mutant[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(mutant)
            for check in (verify_checkpoint, load_model):
                with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
                    check(folder)
        path.write_bytes(content)
    verify_checkpoint(folder)


def test_sizes_alone_do_not_see_a_bit_flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    verify_checkpoint(folder, hashes=False)
    with pytest.raises(WeightsError, match=r"changed or damaged: .*expected sha256 .*…, got"):
        verify_checkpoint(folder)


def test_without_a_manifest_the_structure_is_checked(folder: Path) -> None:
    (folder / "ramekin.json").unlink()
    verify_checkpoint(folder)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-3])
    with pytest.raises(WeightsError, match=r"truncated: .*model\.safetensors#"):
        verify_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="holds no weights"):
        verify_checkpoint(folder)
    shutil.rmtree(folder)
    with pytest.raises(WeightsError, match="no such checkpoint folder"):
        verify_checkpoint(folder)


def test_a_file_the_manifest_does_not_know_has_no_digest(folder: Path) -> None:
    manifest = verify_small_files(folder)
    assert manifest is not None
    with pytest.raises(WeightsError, match="not in its manifest"):
        check_digest(folder, "other.safetensors", "00", manifest)
