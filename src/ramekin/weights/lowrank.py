"""LoRA and DoRA adapters: the pairs of tensors in their file as one change for each tensor of the base.

The scale is alpha / rank, or alpha / √rank (rsLoRA: Kalajdzievski 2023, https://arxiv.org/abs/2312.03732).
Variants whose merge is anything but LoRA's sum or DoRA's rows (biases, trained embeddings, initialisations
that change the base) are refused. This module needs neither PEFT nor a model.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ramekin.errors import WeightsError
from ramekin.weights.adapter_config import PREFIX, refuse_switched_on, variant_error
from ramekin.weights.change import Decomposed, LowRank
from ramekin.weights.layout import ADAPTER_CONFIG

__all__ = ["check_lora", "low_rank_changes"]

_A, _B, _MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
_DIMENSIONS = {_A: 2, _B: 2, _MAGNITUDE: 1}
_MERGEABLE = "a plain, rank-stabilised or weight-decomposed LoRA"
_PLAIN_INITS = (True, False, "gaussian", "eva", "orthogonal")  # the others subtract from the base weights
_FREE_KEYS = frozenset(
    {
        "alpha_pattern",
        "bias",
        "eva_config",
        "exclude_modules",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "lora_dropout",
        "megatron_core",
        "qalora_group_size",
        "r",
        "rank_pattern",
        "target_modules",
        "use_dora",
        "use_rslora",
    }
)


def check_lora(path: Path, config: Mapping[str, object]) -> None:
    """Refuse a configuration of LoRA that cannot be merged exactly.

    Args:
        path: of adapter_config.json.
        config: its content.

    Raises:
        WeightsError: names the key.
    """
    refuse_switched_on(path, config, free=_FREE_KEYS, expected=_MERGEABLE)
    if config.get("bias", "none") != "none":
        raise variant_error(path, "bias", config["bias"], _MERGEABLE)
    if config.get("init_lora_weights", True) not in _PLAIN_INITS:
        raise variant_error(path, "init_lora_weights", config["init_lora_weights"], _MERGEABLE)


def low_rank_changes(
    path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, object]
) -> dict[str, LowRank | Decomposed]:
    """The change of every tensor, under its name in a checkpoint file.

    Args:
        path: the adapter's file, for messages.
        tensors: A, B and DoRA's magnitudes by their names in the file, fp32.
        config: the content of adapter_config.json.

    Raises:
        WeightsError: a tensor is none of these of a linear layer, or a layer's do not fit each other.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    known = [_A, _B, _MAGNITUDE] if config.get("use_dora") else [_A, _B]
    for name, tensor in tensors.items():
        suffix = next((s for s in known if name.endswith(s)), None)
        if suffix is None or not name.startswith(PREFIX) or tensor.dim() != _DIMENSIONS[suffix]:
            raise WeightsError(
                "the adapter holds a tensor that is not the A or B of a linear layer",
                where=f"{path}#{name}",
                fix="merge it into its base with the tool it was trained with, and use the whole model",
            )
        layers.setdefault(name.removeprefix(PREFIX).removesuffix(suffix), {})[suffix] = tensor
    if not layers:
        raise WeightsError("the adapter holds no tensors", where=str(path))
    return {f"{layer}.weight": _change(path, layer, found, config) for layer, found in sorted(layers.items())}


def _change(
    path: Path, layer: str, found: Mapping[str, Tensor], config: Mapping[str, object]
) -> LowRank | Decomposed:
    low_rank = _low_rank(path, layer, found, config)
    if not config.get("use_dora"):
        return low_rank
    magnitude = found.get(_MAGNITUDE)
    if magnitude is None or magnitude.shape[0] != low_rank.shape[0]:
        raise WeightsError(
            "a layer's DoRA lacks the lengths of its rows",
            where=f"{path}#{layer}",
            expected=f"{_MAGNITUDE.lstrip('.')} [{low_rank.shape[0]}]",
            got="none" if magnitude is None else str(list(magnitude.shape)),
        )
    return Decomposed(low_rank, magnitude.contiguous())


def _low_rank(path: Path, layer: str, found: Mapping[str, Tensor], config: Mapping[str, object]) -> LowRank:
    where = f"{path}#{layer}"
    a, b = found.get(_A), found.get(_B)
    if a is None or b is None:
        raise WeightsError("the adapter holds one of A and B without the other", where=where)
    rank = _number(path, "r", _patterned(path, config, "rank_pattern", layer, config.get("r")))
    if a.shape[0] != rank or b.shape[1] != rank:
        raise WeightsError(
            "the adapter's tensors have another rank than its configuration",
            where=where,
            expected=f"rank {rank:g}",
            got=f"A {list(a.shape)}, B {list(b.shape)}",
        )
    alpha = _patterned(path, config, "alpha_pattern", layer, config.get("lora_alpha"))
    scale = _number(path, "lora_alpha", alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return LowRank(a.contiguous(), b.contiguous(), scale)


def _number(path: Path, key: str, value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise WeightsError(
            "a value of the adapter's configuration cannot be",
            where=f"{path.with_name(ADAPTER_CONFIG)}#{key}",
            expected="a number above 0",
            got=repr(value)[:80],
        )
    return float(value)


def _patterned(path: Path, config: Mapping[str, object], key: str, layer: str, default: object) -> object:
    """The value for a layer: of the first pattern that matches the end of its name, as PEFT reads them."""
    patterns = config.get(key) or {}
    where = f"{path.with_name(ADAPTER_CONFIG)}#{key}"
    if not isinstance(patterns, dict):
        raise WeightsError("the adapter's patterns are not an object", where=where)
    for pattern, value in patterns.items():
        if len(pattern) > 300 or re.search(r"\)[*+{]|[*+}][*+{]", pattern):  # could take for ever to match
            raise WeightsError("a pattern of the adapter is too complex", where=where, got=pattern[:80])
        try:
            if re.match(rf"(.*\.)?({pattern})$", layer):
                return value
        except re.error as error:
            raise WeightsError(
                "a pattern of the adapter is not a regular expression", where=where, got=pattern[:80]
            ) from error
    return default
