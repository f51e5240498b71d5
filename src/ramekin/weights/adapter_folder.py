"""Adapter folders read as what they are: a change for each tensor of the base, or a soft prompt.

LoRA, rsLoRA and DoRA are `lowrank`'s, IA3 is `ia3`'s, prompts are `soft_prompt`'s; other kinds are refused.
This module needs neither PEFT nor a model.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from torch import Tensor

from ramekin.weights.adapter_config import read_adapter_config
from ramekin.weights.adapter_header import AdapterKind, adapter_kind, read_recorded_base
from ramekin.weights.change import AbstractChange
from ramekin.weights.data import check_finite, read_tensors
from ramekin.weights.header import read_header
from ramekin.weights.ia3 import check_ia3, ia3_changes
from ramekin.weights.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_weights
from ramekin.weights.lowrank import check_lora, low_rank_changes
from ramekin.weights.soft_prompt import check_prompt, prompt_vectors
from ramekin.weights.verify import check_digest, verify_small_files

__all__ = ["Adapter", "AdapterKind", "adapter_of", "read_adapter"]


@final
@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in memory."""

    base: str | None
    """The name of the base it was trained on, as recorded."""
    base_sha256: str | None
    """`weights_sha256` of that base, when it was recorded."""
    changes: Mapping[str, AbstractChange]
    """What becomes of each tensor, under the tensor's name in a checkpoint file; a prompt changes none."""
    kind: AdapterKind = "lora"
    prompt: Tensor | None = None
    """`(num_virtual_tokens, d_model)`, fp32: the vectors that a prompt puts before every input."""


def read_adapter(folder: Path, *, verify: bool = True) -> Adapter:
    """Read an adapter folder without a model and without PEFT.

    Raises:
        WeightsError: a file is missing or damaged, the adapter is of a kind or a variant that cannot be
            merged exactly, or its tensors do not fit each other.
    """
    folder = Path(folder)
    manifest = verify_small_files(folder) if verify else None
    config = read_adapter_config(folder)
    _check(folder / ADAPTER_CONFIG, config)
    recorded = read_recorded_base(folder)
    path = adapter_weights(folder)
    digest = hashlib.sha256() if manifest is not None else None
    tensors: dict[str, Tensor] = {}
    for name, tensor in read_tensors(path, read_header(path), digest):
        check_finite(tensor, where=f"{path}#{name}", fix="use another adapter")
        tensors[name] = tensor.float()
    if manifest is not None and digest is not None:
        check_digest(folder, ADAPTER_WEIGHTS, digest.hexdigest(), manifest)
    return adapter_of(path, tensors, config, base=recorded.base, base_sha256=recorded.base_sha256)


def adapter_of(
    path: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, object],
    *,
    base: str | None = None,
    base_sha256: str | None = None,
) -> Adapter:
    """The adapter that tensors and configuration of a folder are.

    Args:
        path: the adapter's file, for messages.
        tensors: by their names in the file, fp32.
        config: the content of adapter_config.json.
        base: the recorded name of the base.
        base_sha256: its recorded hash.

    Raises:
        WeightsError: as `read_adapter` does.
    """
    match config.get("peft_type"):
        case "LORA":
            kind: AdapterKind = "dora" if config.get("use_dora") else "lora"
            return Adapter(base, base_sha256, low_rank_changes(path, tensors, config), kind)
        case "IA3":
            return Adapter(base, base_sha256, ia3_changes(path, tensors), "ia3")
        case _:
            return Adapter(base, base_sha256, {}, "prompt", prompt_vectors(path, tensors, config))


def _check(path: Path, config: Mapping[str, object]) -> None:
    checks = {"lora": check_lora, "dora": check_lora, "ia3": check_ia3, "prompt": check_prompt}
    checks[adapter_kind(path, config)](path, config)
