"""A saved folder is whole, opens everywhere, and is never half there."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import ramekin.files
import ramekin.weights.data
from ramekin.errors import ResourceError, UsageError, WeightsError
from ramekin.weights import checkpoint
from ramekin.weights.beside import copy_tokenizer, has_tokenizer
from ramekin.weights.checkpoint import (
    Lineage,
    read_lineage,
    save_checkpoint,
    verify_checkpoint,
)
from ramekin.weights.seq2seq import TieState, load_model, set_dropout, tensors_of, tie_state

Make = Callable[..., Any]
Logits = Callable[[Any], torch.Tensor]
LINEAGE = Lineage(
    kind="dense", operation="finetune", base="google/flan-t5-small", seed=7, settings={"lr": 1e-3}
)


@pytest.mark.parametrize(
    ("model_type", "tied"), [("t5", True), ("t5", False), ("mt5", False), ("umt5", True)]
)
def test_transformers_opens_the_folder_with_equal_logits(
    saved: Make, tiny: Make, logits: Logits, library_load: Make, model_type: str, tied: bool
) -> None:
    model = tiny(tied=tied, model_type=model_type)
    opened = library_load(saved(model=model))
    assert torch.equal(logits(opened), logits(model))
    assert opened.dtype == torch.float32
    assert opened.generation_config.decoder_start_token_id == 0


def test_transformers_5_scales_an_untied_umt5_that_should_not_be(
    saved: Make, tiny: Make, logits: Logits, library_load: Make
) -> None:
    """Its loader forces the flag that UMT5 scales on (huggingface/transformers #43880); ours keeps the file's."""
    model = tiny(tied=False, model_type="umt5")
    ratio = logits(library_load(saved(model=model))) / logits(model)
    assert torch.allclose(ratio, torch.full_like(ratio, 16**-0.5), rtol=1e-3)


@pytest.mark.parametrize(("tied", "keys"), [(True, (True, None)), (False, (False, None))])
def test_the_config_is_read_alike_by_transformers_4_and_5(
    saved: Make, tied: bool, keys: tuple[Any, Any]
) -> None:
    """4.x ties and scales on `tie_word_embeddings`, 5.x scales on it unless a second key is there."""
    config = json.loads((saved(tied=tied) / "config.json").read_text())
    assert (config["tie_word_embeddings"], config.get("scale_decoder_outputs")) == keys
    assert config["architectures"] == ["T5ForConditionalGeneration"] and config["model_type"] == "t5"
    assert config["torch_dtype"] == "float32" and config["decoder_start_token_id"] == 0
    assert not [key for key in config if key.startswith("_")]


def test_the_folder_holds_what_it_should(saved: Make) -> None:
    folder = saved()
    names = {"config.json", "generation_config.json", "model.safetensors", "ramekin.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert [path.name for path in folder.parent.iterdir()] == ["base"]
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    manifest = json.loads((folder / "ramekin.json").read_text())
    assert manifest["files"].keys() == names - {"ramekin.json"}


def test_the_same_model_gives_the_same_weights_file(saved: Make, tmp_path: Path) -> None:
    one, two = saved("one", seed=3), saved("two", seed=3)
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    assert (one / "config.json").read_bytes() == (two / "config.json").read_bytes()


def test_lineage_is_kept(tiny: Make, tmp_path: Path) -> None:
    save_checkpoint(tiny(), tmp_path / "x", tokenizer_folder=None, lineage=LINEAGE)
    assert read_lineage(tmp_path / "x") == LINEAGE


def test_further_files_belong_to_the_folder(tiny: Make, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    save_checkpoint(
        tiny(), folder, tokenizer_folder=None, lineage=LINEAGE, extra_files={"report.json": b'{"loss": 1}'}
    )
    verify_checkpoint(folder)
    (folder / "report.json").write_text('{"loss": 0}')
    with pytest.raises(WeightsError, match=r"changed or damaged: .*report\.json"):
        verify_checkpoint(folder)


def test_bf16_is_saved_as_bf16(saved: Make, tiny: Make, logits: Logits, library_load: Make) -> None:
    model = load_model(saved(model=tiny()), dtype="bf16")
    folder = saved("half", model=model)
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert library_load(folder).dtype == torch.bfloat16
    assert torch.equal(logits(load_model(folder, dtype="bf16")), logits(model))


def test_a_tokenizer_is_copied_byte_for_byte(tiny: Make, tmp_path: Path) -> None:
    source = tmp_path / "tokenizer"
    source.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "spiece.model", "notes.txt", "model.safetensors"):
        (source / name).write_bytes(name.encode() + bytes(range(256)))
    save_checkpoint(tiny(), tmp_path / "x", tokenizer_folder=source, lineage=LINEAGE)
    for name in ("tokenizer.json", "tokenizer_config.json", "spiece.model"):
        assert (tmp_path / "x" / name).read_bytes() == (source / name).read_bytes()
    assert not (tmp_path / "x" / "notes.txt").exists()
    assert has_tokenizer(tmp_path / "x")
    verify_checkpoint(tmp_path / "x")


def test_a_folder_without_a_tokenizer_is_named(tiny: Make, tmp_path: Path) -> None:
    assert not has_tokenizer(tmp_path)
    with pytest.raises(WeightsError, match="holds no tokenizer.*tokenizer.json or spiece.model"):
        copy_tokenizer(tmp_path, tmp_path / "x")
    with pytest.raises(WeightsError, match="holds no tokenizer"):
        save_checkpoint(tiny(), tmp_path / "x", tokenizer_folder=tmp_path, lineage=LINEAGE)
    assert list(tmp_path.iterdir()) == []


def test_the_bases_config_is_copied_unchanged_where_it_is_true(
    saved: Make, tiny: Make, tmp_path: Path
) -> None:
    base = saved("base", tied=False)
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"task_specific_params": {"x": 1}}))
    (base / "generation_config.json").write_text('{"decoder_start_token_id": 0, "_from_model_config": true}')
    model = load_model(base, verify=False)
    set_dropout(model, 0.05)
    save_checkpoint(model, tmp_path / "x", tokenizer_folder=None, lineage=LINEAGE, base_folder=base)
    for name in ("config.json", "generation_config.json"):
        assert (tmp_path / "x" / name).read_bytes() == (base / name).read_bytes()


@pytest.mark.parametrize(
    "keys",
    [
        {"tie_word_embeddings": True, "scale_decoder_outputs": False},  # what transformers 5 writes of it
        {"tie_word_embeddings": True},
        {"d_ff": 32},
        {"feed_forward_proj": "relu"},
    ],
)
def test_a_bases_config_that_would_mislead_is_not_copied(
    saved: Make, tiny: Make, tmp_path: Path, keys: Any
) -> None:
    base, model = saved("base", tied=False), tiny(tied=False)
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    save_checkpoint(model, tmp_path / "x", tokenizer_folder=None, lineage=LINEAGE, base_folder=base)
    assert json.loads((tmp_path / "x" / "config.json").read_text())["tie_word_embeddings"] is False
    assert tie_state(load_model(tmp_path / "x")) == TieState(False, False)
    (base / "config.json").unlink()
    save_checkpoint(model, tmp_path / "y", tokenizer_folder=None, lineage=LINEAGE, base_folder=base)
    assert (tmp_path / "y" / "config.json").read_bytes() == (tmp_path / "x" / "config.json").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_saved(tiny: Make, tmp_path: Path, value: float) -> None:
    model = tiny()
    tensors_of(model)["decoder.block.1.layer.2.DenseReluDense.wo.weight"][3, 4] = value
    with pytest.raises(
        WeightsError, match=r"not finite: decoder\.block\.1\.layer\.2\.DenseReluDense\.wo\.weight"
    ):
        save_checkpoint(model, tmp_path / "x", tokenizer_folder=None, lineage=LINEAGE)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_kept_unless_asked(saved: Make, tiny: Make, logits: Logits) -> None:
    folder = saved("x", seed=1)
    with pytest.raises(UsageError, match="never overwritten unasked"):
        save_checkpoint(tiny(seed=2), folder, tokenizer_folder=None, lineage=LINEAGE)
    verify_checkpoint(folder)
    other = tiny(seed=2)
    save_checkpoint(other, folder, tokenizer_folder=None, lineage=LINEAGE, overwrite=True)
    assert torch.equal(logits(load_model(folder)), logits(other))


# --- a save that does not finish -----------------------------------------------------------------------


def break_at(monkeypatch: pytest.MonkeyPatch, step: str, stop: Callable[[], None]) -> None:
    """Stop at one of the steps of a save, before it does its work."""

    def before(module: Any, name: str) -> None:
        original = getattr(module, name)

        def broken(*args: Any, **kwargs: Any) -> Any:
            stop()
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, broken)

    places = {
        "configs": (checkpoint, "_write_configs"),
        "weights": (checkpoint, "write_tensors"),
        "half the weights": (ramekin.weights.data, "_put"),
        "manifest": (checkpoint, "write_manifest"),
        "sync": (ramekin.files, "_sync_tree"),
        "rename": (ramekin.files, "_put_in_place"),
    }
    before(*places[step])


STEPS = ["configs", "weights", "half the weights", "manifest", "sync", "rename"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("exists", [False, True])
def test_a_killed_save_leaves_what_was_there(
    saved: Make,
    tiny: Make,
    logits: Logits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    exists: bool,
) -> None:
    old, new = tiny(seed=1), tiny(seed=2)
    folder = saved("x", model=old) if exists else tmp_path / "x"
    with monkeypatch.context() as patch:
        calls = iter(range(100))
        break_at(patch, step, lambda: os._exit(9) if next(calls) == (20 if "half" in step else 0) else None)
        child = os.fork()
        if child == 0:
            save_checkpoint(new, folder, tokenizer_folder=None, lineage=LINEAGE, overwrite=exists)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert [path.name for path in tmp_path.glob(".tmp-x-*")] == [f".tmp-x-new-{child}"]
    if exists:
        verify_checkpoint(folder)
        assert torch.equal(logits(load_model(folder)), logits(old))
    else:
        assert not folder.exists()
    save_checkpoint(new, folder, tokenizer_folder=None, lineage=LINEAGE, overwrite=exists)
    assert torch.equal(logits(load_model(folder)), logits(new))
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_leaves_nothing(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop() -> None:
        raise OSError(28, "No space left on device")

    break_at(monkeypatch, step, stop)
    with pytest.raises(ResourceError, match="No space left on device; fix: free some space"):
        save_checkpoint(tiny(), tmp_path / "x", tokenizer_folder=None, lineage=LINEAGE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "ramekin.json", "../note.txt", "a/b"])
def test_an_extra_file_takes_no_file_of_the_checkpoint(tiny: Make, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain name of its own"):
        save_checkpoint(
            tiny(),
            tmp_path / "out",
            tokenizer_folder=None,
            lineage=LINEAGE,
            extra_files={name: b"mine"},
        )
    assert list(tmp_path.iterdir()) == []
