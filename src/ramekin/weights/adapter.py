"""Adapters saved, read back, and merged into their base.

The folder is PEFT's own (`adapter_config.json`, `adapter_model.safetensors`) plus `ramekin.json`;
`adapter_folder` reads it, `attach` puts new ones into a model. Merging is ramekin's: in fp32, head and tie
state kept. This module knows nothing of where bases lie (`opening`) or how they are streamed.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ramekin.errors import WeightsError
from ramekin.files import atomic_directory, write_json
from ramekin.weights.adapter_folder import Adapter, adapter_of, read_adapter
from ramekin.weights.attach import (
    AdapterRecipe,
    IA3Recipe,
    LoraRecipe,
    PromptRecipe,
    attach_adapter,
    attach_ia3,
    attach_lora,
    attach_prompt,
)
from ramekin.weights.change import AbstractChange
from ramekin.weights.data import check_finite, write_tensors
from ramekin.weights.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, is_adapter
from ramekin.weights.lineage import Lineage, Manifest, add_files, write_manifest
from ramekin.weights.seq2seq import copy_model, set_tie_state, tensors_of, tie_state
from ramekin.weights.soft_prompt import put_prompt

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

__all__ = [
    "Adapter",
    "AdapterRecipe",
    "IA3Recipe",
    "LoraRecipe",
    "PromptRecipe",
    "attach_adapter",
    "attach_ia3",
    "attach_lora",
    "attach_prompt",
    "is_adapter",
    "load_adapter",
    "merge_adapter",
    "merge_attached",
    "read_adapter",
    "save_adapter",
]


def save_adapter(
    peft_model: "PeftModel",
    output: Path,
    *,
    base: str,
    lineage: Lineage,
    overwrite: bool = False,
    extra_files: Mapping[str, bytes] = MappingProxyType({}),
) -> Manifest:
    """Write an adapter as a folder that PEFT opens, atomically.

    Args:
        peft_model: what `attach_adapter` returned, trained.
        output: the folder to make.
        base: the name of the base, by which it is found again.
        lineage: where the adapter came from; a parent with role `base` and a sha256 lets a wrong base be
            recognised later.
        overwrite: replace an existing folder.
        extra_files: further files of the folder by name, such as a run's configuration and report.

    Raises:
        WeightsError: a tensor is not finite; nothing is written.
        UsageError: the output exists.
    """
    tensors = _adapter_tensors(peft_model)
    for name, tensor in tensors.items():
        check_finite(tensor, where=name, fix="the adapter is not saved; go back to the last good one")
    config = peft_model.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": base, "inference_mode": True}
    with atomic_directory(Path(output), overwrite=overwrite) as folder:
        write_json(folder / ADAPTER_CONFIG, {key: _plain(value) for key, value in sorted(config.items())})
        sha256 = write_tensors(folder / ADAPTER_WEIGHTS, tensors)
        add_files(folder, extra_files)
        return write_manifest(folder, lineage, known_sha256={ADAPTER_WEIGHTS: sha256})


def load_adapter(base_model: "PreTrainedModel", folder: Path, *, verify: bool = True) -> "PreTrainedModel":
    """A copy of the base with the adapter merged in; the base stays as it is.

    Raises:
        WeightsError: as `read_adapter` and `merge_adapter` do.
    """
    adapter = read_adapter(folder, verify=verify)
    model = copy_model(base_model)
    merge_adapter(model, adapter, where=str(folder))
    return model


def merge_adapter(model: "PreTrainedModel", adapter: Adapter, *, where: str = "adapter") -> None:
    """Make the adapter's changes to a model in place, in fp32, cast once to the model's dtype.

    A soft prompt changes no tensor: the model reads it from now on.

    Raises:
        WeightsError: the adapter changes a tensor that the model lacks or has in another shape: it belongs
            to another base. Then nothing has been changed.
    """
    tensors = tensors_of(model)
    for name, change in adapter.changes.items():
        _check_fits(tensors, name, change, adapter, where)
    if adapter.prompt is not None:
        put_prompt(model, adapter.prompt, where=where)
    with torch.no_grad():
        for name, change in adapter.changes.items():
            tensors[name].copy_(change.merged(tensors[name]))


def merge_attached(peft_model: "PeftModel") -> "PreTrainedModel":
    """A plain copy of a model with an attached adapter, the adapter merged in, the tie state kept.

    With a prompt attached, the copy reads the prompt.
    """
    state = tie_state(peft_model.get_base_model())
    config = peft_model.peft_config["default"]
    adapter = adapter_of(Path("adapter"), _adapter_tensors(peft_model), config.to_dict())
    copied = copy_model(cast("PreTrainedModel", peft_model))
    model = cast("PreTrainedModel", copied.get_base_model() if config.is_prompt_learning else copied.unload())
    set_tie_state(model, state)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    if adapter.prompt is None:
        merge_adapter(model, adapter)
    return model


def _adapter_tensors(peft_model: "PeftModel") -> dict[str, Tensor]:
    """The adapter's own tensors in fp32 on the CPU, by their names in PEFT's file."""
    from peft import get_peft_model_state_dict

    tensors = get_peft_model_state_dict(peft_model, save_embedding_layers=False)
    return {name: tensor.detach().float().cpu() for name, tensor in tensors.items()}


def _check_fits(
    tensors: Mapping[str, Tensor], name: str, change: AbstractChange, adapter: Adapter, where: str
) -> None:
    base = f"the adapter was trained on '{adapter.base or 'an unnamed base'}': open it on that"
    if name not in tensors:
        raise WeightsError(
            "the adapter changes a tensor its base does not have", where=f"{where}#{name}", fix=base
        )
    if not change.fits(tensors[name].shape):
        raise WeightsError(
            "the adapter does not fit its base",
            where=f"{where}#{name}",
            expected=f"{list(tensors[name].shape)} as in the base",
            got=str([side or "any" for side in change.shape]).replace("'", ""),
            fix=base,
        )


def _plain(value: Any) -> Any:
    """A JSON value: sets sorted, so that an adapter gives the same bytes each time; enumerations as text."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return getattr(value, "value", value)
