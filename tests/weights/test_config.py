"""What is taken from a config.json, what is refused, and what is written back."""

import json
from pathlib import Path
from typing import Any

import pytest

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.config import (
    SUPPORTED,
    config_to_save,
    read_config,
    says_scaled,
    says_tied,
    t5_config,
)

SMALL = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}


def write(folder: Path, **keys: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", **SMALL, **keys}))
    return folder


def test_the_preset_has_the_houses_defaults() -> None:
    config = t5_config()
    assert config["decoder_start_token_id"] == 0
    assert config["feed_forward_proj"] == "gated-gelu"
    assert (config["d_model"], config["num_layers"], config["num_decoder_layers"]) == (512, 8, 8)
    assert t5_config(num_layers=2)["num_decoder_layers"] == 2
    assert t5_config(model_type="umt5")["model_type"] == "umt5"


def test_a_wrong_preset_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown key 'num_layer'.*did you mean 'num_layers'"):
        t5_config(num_layer=2)
    with pytest.raises(UsageError, match=r"t5_config#d_model: expected an integer from 1"):
        t5_config(d_model=0)
    with pytest.raises(UsageError, match="not supported.*expected one of t5, mt5, umt5"):
        t5_config(model_type="bart")


def test_only_known_keys_are_taken(tmp_path: Path) -> None:
    foreign = {
        "_attn_implementation_internal": "evil/kernel",
        "task_specific_params": {"x": 1},
        "n_positions": 512,
    }
    config = read_config(write(tmp_path, **foreign, bos_token_id=None))
    assert not {*foreign, "bos_token_id"} & set(config)
    assert config["decoder_start_token_id"] == 0
    assert config["feed_forward_proj"] == "relu"  # T5 1.0's files do not say it
    assert config["num_decoder_layers"] == 2


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"model_type": "llama"}, "not supported: FILE#model_type: expected one of t5, mt5, umt5"),
        ({"model_type": None}, "not supported"),
        ({"model_type": ["t5"]}, "not supported"),
        (
            {"auto_map": {"AutoModel": "modeling.Evil"}},
            "code or a format of its own, which is never run: FILE#auto_map",
        ),
        ({"quantization_config": {"bits": 4}}, "FILE#quantization_config"),
        (
            {"d_model": 1 << 31},
            "cannot be: FILE#d_model: expected an integer from 1 to 131072, got 2147483648",
        ),
        ({"num_layers": 10**9}, "FILE#num_layers"),
        ({"num_heads": True}, "FILE#num_heads"),
        ({"d_ff": "24"}, "FILE#d_ff"),
        ({"dropout_rate": -0.1}, "FILE#dropout_rate: expected a number from 0"),
        ({"dropout_rate": True}, "FILE#dropout_rate"),
        ({"eos_token_id": [1, 2]}, "FILE#eos_token_id: expected a token id"),
        ({"tie_word_embeddings": "no"}, "FILE#tie_word_embeddings: expected true or false"),
        ({"feed_forward_proj": "gated-exec"}, "FILE#feed_forward_proj: expected one of relu"),
        ({"feed_forward_proj": ["relu"]}, "FILE#feed_forward_proj"),
        ({"num_heads": None}, "lacks a size: FILE#num_heads"),
    ],
)
def test_a_wrong_or_hostile_config_is_refused_by_key(
    tmp_path: Path, keys: dict[str, Any], sentence: str
) -> None:
    write(tmp_path, **keys)
    with pytest.raises(WeightsError) as caught:
        read_config(tmp_path)
    assert sentence.replace("FILE", str(tmp_path / "config.json")) in str(caught.value)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no config\.json: .*half-written"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("model_type", "keys", "tied", "scaled"),
    [
        ("t5", {}, True, True),  # T5 1.0 on the hub
        ("t5", {"tie_word_embeddings": False}, False, False),  # T5 1.1, Flan-T5 on the hub
        (
            "t5",
            {"tie_word_embeddings": True, "scale_decoder_outputs": False},
            True,
            False,
        ),  # saved by transformers 5
        ("t5", {"tie_word_embeddings": True, "scale_decoder_outputs": True}, True, True),
        ("umt5", {"tie_word_embeddings": True}, True, True),
        ("umt5", {"tie_word_embeddings": False}, False, False),
        ("mt5", {"tie_word_embeddings": False}, False, False),
        ("mt5", {}, True, False),
    ],
)
def test_the_flags_are_read_as_their_writers_meant_them(
    tmp_path: Path, model_type: str, keys: dict[str, Any], tied: bool, scaled: bool
) -> None:
    config = read_config(write(tmp_path, model_type=model_type, **keys))
    assert (says_tied(config), says_scaled(config)) == (tied, scaled)


@pytest.mark.parametrize("model_type", sorted(SUPPORTED))
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
def test_what_is_written_is_read_back(tmp_path: Path, model_type: str, tied: bool, scaled: bool) -> None:
    if model_type == "mt5":
        scaled = False  # never, in transformers 5
    if model_type == "umt5" and tied:
        scaled = True  # one flag for both
    config = t5_config(**SMALL, model_type=model_type)  # type: ignore[arg-type]
    saved = config_to_save(config, tied=tied, scaled=scaled, dtype="float32")
    (tmp_path / "config.json").write_text(json.dumps(saved))
    read = read_config(tmp_path)
    assert says_scaled(read) == scaled
    assert says_tied(read) == (scaled if model_type == "umt5" else tied)  # there the file's head decides
    assert {key: read[key] for key in config} == config
    assert saved["architectures"] == [SUPPORTED[model_type]]
    assert ("scale_decoder_outputs" in saved) == (model_type == "t5" and scaled != tied)
