"""The one saver of models: a checkpoint folder that is whole or not there.

    config.json  generation_config.json  model.safetensors  tokenizer files  ramekin.json

The folder opens with `AutoModelForSeq2SeqLM.from_pretrained` in transformers 4 and 5, head and scaling
right. `ramekin.json` is described in `lineage`, verification is in `verify`; both are offered here too. This
module knows nothing of training or merging.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ramekin.files import atomic_directory, write_bytes, write_json
from ramekin.weights.beside import GENERATION_CONFIG, copy_tokenizer
from ramekin.weights.config import CONFIG, check_config, config_to_save, says_scaled, says_tied
from ramekin.weights.data import check_finite, dtype_name, write_tensors
from ramekin.weights.layout import WEIGHTS, read_json
from ramekin.weights.lineage import (
    Lineage,
    Manifest,
    Parent,
    add_files,
    current_versions,
    read_lineage,
    weights_sha256,
    write_manifest,
)
from ramekin.weights.seq2seq import TieState, config_of, tensors_of, tie_state
from ramekin.weights.verify import verify_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "Lineage",
    "Manifest",
    "Parent",
    "current_versions",
    "read_lineage",
    "save_checkpoint",
    "verify_checkpoint",
    "weights_sha256",
    "write_manifest",
]

_ARCHITECTURE = (
    "model_type",
    "vocab_size",
    "d_model",
    "d_kv",
    "d_ff",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
    "feed_forward_proj",
    "layer_norm_epsilon",
    "decoder_start_token_id",
    "pad_token_id",
    "eos_token_id",
)


def save_checkpoint(
    model: "PreTrainedModel",
    output: Path,
    *,
    tokenizer_folder: Path | None,
    lineage: Lineage,
    base_folder: Path | None = None,
    overwrite: bool = False,
    extra_files: Mapping[str, bytes] = MappingProxyType({}),
) -> Manifest:
    """Write a model as a checkpoint folder, atomically.

    Args:
        model: a plain model (an adapter is merged or saved on its own first).
        output: the folder to make.
        tokenizer_folder: where the tokenizer's files are copied from; None writes none.
        lineage: where the model came from.
        base_folder: a checkpoint of the same architecture; its config.json and generation_config.json are
            copied unchanged when they describe this model truly.
        overwrite: replace an existing folder.
        extra_files: further files of the folder by name, such as a run's configuration and report.

    Raises:
        WeightsError: a tensor is not finite, or the model's embedding has come apart; nothing is written.
        UsageError: the output exists.
        ResourceError: the disk is full or the place cannot be written.
    """
    tensors = tensors_of(model)
    for name, tensor in tensors.items():
        check_finite(tensor, where=name, fix="the model is not saved; go back to the last good checkpoint")
    with atomic_directory(Path(output), overwrite=overwrite) as folder:
        _write_configs(model, folder, base_folder)
        if tokenizer_folder is not None:
            copy_tokenizer(Path(tokenizer_folder), folder)
        sha256 = write_tensors(folder / WEIGHTS, tensors)
        add_files(folder, extra_files)
        return write_manifest(folder, lineage, known_sha256={WEIGHTS: sha256})


def _write_configs(model: "PreTrainedModel", folder: Path, base_folder: Path | None) -> None:
    if base_folder is not None and _describes(base_folder / CONFIG, model):
        write_bytes(folder / CONFIG, (base_folder / CONFIG).read_bytes())
    else:
        state = tie_state(model)
        saved = config_to_save(
            config_of(model), tied=state.tied, scaled=state.scaled, dtype=dtype_name(model.dtype)
        )
        write_json(folder / CONFIG, saved)
    if base_folder is not None and (base_folder / GENERATION_CONFIG).is_file():
        write_bytes(folder / GENERATION_CONFIG, (base_folder / GENERATION_CONFIG).read_bytes())
    else:
        ids = ("decoder_start_token_id", "eos_token_id", "pad_token_id")
        write_json(folder / GENERATION_CONFIG, {key: config_of(model)[key] for key in ids})


def _describes(config_path: Path, model: "PreTrainedModel") -> bool:
    """Whether every version of transformers reads this config.json as the model: sizes, tie and scaling.

    A config.json that transformers 5 wrote says `tie_word_embeddings: true` of an untied model, which
    transformers 4 takes at its word: that one is not copied.
    """
    if not config_path.is_file():
        return False
    theirs = check_config(read_json(config_path), where=str(config_path))
    ours, state = config_of(model), tie_state(model)
    same = all(theirs.get(key, ours.get(key)) == ours.get(key) for key in _ARCHITECTURE)
    return same and TieState(says_tied(theirs), says_scaled(theirs)) == state
