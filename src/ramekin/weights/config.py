"""What a config.json says, reduced to the keys that ramekin knows, and the config.json it writes.

A configuration here is a plain mapping. Of a foreign config.json only the listed keys are taken, with
checked types and sizes, so that nothing in it can reach code paths of the library it was written for. This
module knows how T5's relatives state whether the output head is the embedding (`says_tied`) and whether
decoder outputs are scaled by `d_model ** -0.5` (`says_scaled`); what the weights say is `seq2seq`'s.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from ramekin.errors import RamekinError, UsageError, WeightsError
from ramekin.registry import nearest
from ramekin.weights.layout import read_json

__all__ = [
    "CONFIG",
    "SUPPORTED",
    "Config",
    "check_config",
    "config_to_save",
    "read_config",
    "read_plain_config",
    "says_scaled",
    "says_tied",
    "t5_config",
]

CONFIG = "config.json"

Config = Mapping[str, object]
"""A model's configuration: the checked keys of a config.json."""

SUPPORTED: Mapping[str, str] = {
    "t5": "T5ForConditionalGeneration",
    "mt5": "MT5ForConditionalGeneration",
    "umt5": "UMT5ForConditionalGeneration",
}
"""The model types that can be opened, and the transformers class of each."""

_SIZES: Mapping[str, int] = {  # the largest value accepted: no header is needed to refuse 2**31
    "vocab_size": 1 << 22,
    "d_model": 1 << 17,
    "d_kv": 1 << 14,
    "d_ff": 1 << 20,
    "num_layers": 512,
    "num_decoder_layers": 512,
    "num_heads": 1 << 12,
    "relative_attention_num_buckets": 1 << 14,
    "relative_attention_max_distance": 1 << 24,
}
_NUMBERS = ("dropout_rate", "classifier_dropout", "layer_norm_epsilon", "initializer_factor")
_TOKENS = ("pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id")
_FLAGS = ("tie_word_embeddings", "scale_decoder_outputs", "use_cache")
_FEED_FORWARDS = ("relu", "gelu", "gelu_new", "silu", "gated-gelu", "gated-relu", "gated-silu")
_FOREIGN_CODE = ("auto_map", "custom_pipelines", "quantization_config")


def t5_config(
    *,
    vocab_size: int = 32128,
    d_model: int = 512,
    d_kv: int = 64,
    d_ff: int = 1024,
    num_layers: int = 8,
    num_decoder_layers: int | None = None,
    num_heads: int = 6,
    feed_forward_proj: str = "gated-gelu",
    dropout_rate: float = 0.1,
    **more: object,
) -> dict[str, object]:
    """A T5 configuration with the house's defaults: the shape of Flan-T5-small, decoder start token 0.

    Raises:
        UsageError: a key is unknown or a value cannot be; the nearest key is named.
    """
    config: dict[str, object] = {
        "model_type": "t5",
        "vocab_size": vocab_size,
        "d_model": d_model,
        "d_kv": d_kv,
        "d_ff": d_ff,
        "num_layers": num_layers,
        "num_decoder_layers": num_layers if num_decoder_layers is None else num_decoder_layers,
        "num_heads": num_heads,
        "feed_forward_proj": feed_forward_proj,
        "dropout_rate": dropout_rate,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "initializer_factor": 1.0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        **more,
    }
    for key in config.keys() - _known_keys():
        near = nearest(key, _known_keys())
        raise UsageError(
            f"unknown key '{key}' in a T5 configuration", fix=f"did you mean '{near}'?" if near else None
        )
    return check_config(config, where="t5_config", error=UsageError)


def read_config(folder: Path) -> dict[str, object]:
    """Read a folder's config.json, keeping the keys that ramekin knows.

    Raises:
        WeightsError: the file is missing or not JSON, its model type is not supported, it asks for foreign
            code or quantised weights, or a value has the wrong type or size.
    """
    path = Path(folder) / CONFIG
    return check_config(read_plain_config(folder), where=str(path), error=WeightsError)


def read_plain_config(folder: Path) -> dict[str, object]:
    """Read a folder's config.json as it is, of a model of any type.

    Raises:
        WeightsError: the file is missing or not JSON, or asks for foreign code or quantised weights.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise WeightsError(
            "the checkpoint has no config.json",
            where=str(path),
            fix="the folder is half-written or not a checkpoint: copy or download it again",
            kind="no-config",
        )
    raw = read_json(path)
    for key in _FOREIGN_CODE:
        if raw.get(key):
            raise WeightsError(
                "the checkpoint needs code or a format of its own, which is never run",
                where=f"{path}#{key}",
                fix="use a plain checkpoint of a supported model type",
                kind="foreign-code",
            )
    return dict(raw)


def check_config(raw: Config, *, where: str, error: type[RamekinError] = WeightsError) -> dict[str, object]:
    """The known keys of a configuration, with their types and sizes checked; others are dropped.

    Raises:
        RamekinError: of the class `error`; the message names the key.
    """
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in SUPPORTED:
        raise error(
            "this model type is not supported",
            where=f"{where}#model_type",
            expected=f"one of {', '.join(SUPPORTED)} (encoder-decoder models of the T5 family)",
            got=repr(model_type),
        )
    config = {key: raw[key] for key in sorted(_known_keys() & raw.keys()) if raw[key] is not None}
    for key, value in config.items():
        wanted = _wanted(key, value)
        if wanted is not None:
            raise error(
                "a value of the configuration cannot be",
                where=f"{where}#{key}",
                expected=wanted,
                got=repr(value)[:80],
                fix="mend config.json, or take it from the checkpoint again",
                kind="configuration-value",
            )
    missing = [key for key in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")]
    missing = [key for key in missing if key not in config]
    if missing:
        raise error(
            "the configuration lacks a size",
            where=f"{where}#{missing[0]}",
            expected="an integer",
            fix="mend config.json, or take it from the checkpoint again",
            kind="configuration-value",
        )
    config.setdefault("num_decoder_layers", config["num_layers"])
    config.setdefault("feed_forward_proj", "relu" if model_type == "t5" else "gated-gelu")
    config.setdefault("pad_token_id", 0)
    config.setdefault("eos_token_id", 1)
    config.setdefault("decoder_start_token_id", config["pad_token_id"])  # T5Config itself has none
    return config


def says_tied(config: Config) -> bool:
    """Whether the configuration lets the output head be the embedding (False: it promises its own head)."""
    return config.get("tie_word_embeddings") is not False


def says_scaled(config: Config) -> bool:
    """Whether decoder outputs are multiplied by `d_model ** -0.5` before the head.

    transformers 4 scales when `tie_word_embeddings` is true; transformers 5 writes that flag as true always
    and the truth into `scale_decoder_outputs`, for T5 only. mT5 never scales in transformers 5.
    """
    if config["model_type"] == "t5" and "scale_decoder_outputs" in config:
        return config["scale_decoder_outputs"] is True
    return config["model_type"] != "mt5" and says_tied(config)


def config_to_save(config: Config, *, tied: bool, scaled: bool, dtype: str) -> dict[str, object]:
    """The config.json that transformers 4 and 5 both read as (tied, scaled).

    Args:
        config: the model's own.
        tied: whether the head is the embedding.
        scaled: whether decoder outputs are scaled.
        dtype: `float32` or `bfloat16`.
    """
    model_type = cast(str, config["model_type"])
    saved = {
        **config,
        "architectures": [SUPPORTED[model_type]],
        "is_encoder_decoder": True,
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
    }
    saved.pop("scale_decoder_outputs", None)
    if model_type == "umt5":
        saved["tie_word_embeddings"] = (
            scaled  # the one flag that every version scales on; the file has the head
        )
    elif model_type == "t5" and scaled != tied:
        saved["scale_decoder_outputs"] = scaled
    return dict(sorted(saved.items()))


def _known_keys() -> frozenset[str]:
    return frozenset({*_SIZES, *_NUMBERS, *_TOKENS, *_FLAGS, "model_type", "feed_forward_proj"})


def _wanted(key: str, value: object) -> str | None:
    """What the key's value should have been, or None when it is right."""
    if key in _SIZES:
        right = type(value) is int and 1 <= value <= _SIZES[key]
        return None if right else f"an integer from 1 to {_SIZES[key]}"
    if key in _NUMBERS:
        right = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e4
        return None if right else "a number from 0"
    if key in _TOKENS:
        return None if type(value) is int and 0 <= value < _SIZES["vocab_size"] else "a token id"
    if key in _FLAGS:
        return None if isinstance(value, bool) else "true or false"
    if key == "feed_forward_proj":
        return None if value in _FEED_FORWARDS else f"one of {', '.join(_FEED_FORWARDS)}"
    return None
