"""LoRA and DoRA adapters: the pairs of tensors in their file as one change for each tensor of the base.

The scale is alpha / rank, or alpha / √rank (rsLoRA: Kalajdzievski 2023, https://arxiv.org/abs/2312.03732).
Variants whose merge is anything but LoRA's sum or DoRA's rows (biases, trained embeddings, initialisations
that change the base) are refused. This module needs neither PEFT nor a model, and torch only where tensors
of torch's are asked for.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final

from ramekin.errors import WeightsError
from ramekin.weights.adapter_config import PREFIX, refuse_switched_on, variant_error
from ramekin.weights.layout import ADAPTER_CONFIG

if TYPE_CHECKING:
    from torch import Tensor

    from ramekin.weights.change import Decomposed, LowRank

__all__ = ["LoraLayer", "check_lora", "lora_layers", "low_rank_changes"]

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


class _Shaped(Protocol):
    """A numpy array or a torch tensor."""

    @property
    def shape(self) -> Any: ...
    @property
    def ndim(self) -> int: ...


T = TypeVar("T", bound=_Shaped)


@final
@dataclass(frozen=True, slots=True)
class LoraLayer(Generic[T]):
    """What an adapter's file holds of one layer, as numpy arrays or as torch tensors."""

    a: T
    """`(rank, in)`."""
    b: T
    """`(out, rank)`."""
    scale: float
    """The factor of `b @ a`; alpha and the rank are already in it."""
    magnitude: T | None
    """`(out,)`, DoRA's lengths of the rows."""


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
    path: Path, tensors: "Mapping[str, Tensor]", config: Mapping[str, object]
) -> "dict[str, LowRank | Decomposed]":
    """The change of every tensor, under its name in a checkpoint file; see `lora_layers`."""
    from ramekin.weights.change import Decomposed, LowRank  # needs torch

    changes: dict[str, LowRank | Decomposed] = {}
    for name, layer in lora_layers(path, tensors, config).items():
        low_rank = LowRank(layer.a.contiguous(), layer.b.contiguous(), layer.scale)
        lengths = layer.magnitude
        changes[name] = low_rank if lengths is None else Decomposed(low_rank, lengths.contiguous())
    return changes


def lora_layers(
    path: Path, tensors: Mapping[str, T], config: Mapping[str, object]
) -> dict[str, LoraLayer[T]]:
    """A and B of every layer, under the name of the tensor they change.

    Args:
        path: the adapter's file, for messages.
        tensors: A, B and DoRA's magnitudes by their names in the file.
        config: the content of adapter_config.json.

    Raises:
        WeightsError: a tensor is none of these of a linear layer, or a layer's do not fit each other.
    """
    layers: dict[str, dict[str, T]] = {}
    known = [_A, _B, _MAGNITUDE] if config.get("use_dora") else [_A, _B]
    for name, tensor in tensors.items():
        suffix = next((s for s in known if name.endswith(s)), None)
        if suffix is None or not name.startswith(PREFIX) or tensor.ndim != _DIMENSIONS[suffix]:
            raise WeightsError(
                "the adapter holds a tensor that is not the A or B of a linear layer",
                where=f"{path}#{name}",
                fix="merge it into its base with the tool it was trained with, and use the whole model",
            )
        layers.setdefault(name.removeprefix(PREFIX).removesuffix(suffix), {})[suffix] = tensor
    if not layers:
        raise WeightsError(
            "the adapter holds no tensors",
            where=str(path),
            fix="save the adapter again with the tool that made it",
        )
    return {f"{layer}.weight": _layer(path, layer, found, config) for layer, found in sorted(layers.items())}


def _layer(path: Path, layer: str, found: Mapping[str, T], config: Mapping[str, object]) -> LoraLayer[T]:
    where = f"{path}#{layer}"
    a, b, magnitude = found.get(_A), found.get(_B), found.get(_MAGNITUDE)
    if a is None or b is None:
        raise WeightsError(
            "the adapter holds one of A and B without the other",
            where=where,
            fix="save the adapter again with the tool that made it",
        )
    rank = _number(path, "r", _patterned(path, config, "rank_pattern", layer, config.get("r")))
    if a.shape[0] != rank or b.shape[1] != rank:
        raise WeightsError(
            "the adapter's tensors have another rank than its configuration",
            where=where,
            expected=f"rank {rank:g}",
            got=f"A {list(a.shape)}, B {list(b.shape)}",
            fix="save the adapter again with the tool that made it",
        )
    alpha = _patterned(path, config, "alpha_pattern", layer, config.get("lora_alpha"))
    scale = _number(path, "lora_alpha", alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
    if config.get("use_dora") and (magnitude is None or magnitude.shape[0] != b.shape[0]):
        raise WeightsError(
            "a layer's DoRA lacks the lengths of its rows",
            where=where,
            expected=f"{_MAGNITUDE.lstrip('.')} [{b.shape[0]}]",
            got="none" if magnitude is None else str(list(magnitude.shape)),
            fix="save the adapter again with the tool that made it",
        )
    return LoraLayer(a, b, scale, magnitude)


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
            fix="save the adapter again with the tool that made it",
        )
    return float(value)


def _patterned(path: Path, config: Mapping[str, object], key: str, layer: str, default: object) -> object:
    """The value for a layer: of the first pattern that matches the end of its name, as PEFT reads them."""
    patterns = config.get(key) or {}
    where = f"{path.with_name(ADAPTER_CONFIG)}#{key}"
    if not isinstance(patterns, dict):
        raise WeightsError(
            "the adapter's patterns are not an object",
            where=where,
            fix="save the adapter again with the tool that made it",
        )
    for pattern, value in patterns.items():
        if len(pattern) > 300 or re.search(r"\)[*+{]|[*+}][*+{]", pattern):  # could take for ever to match
            raise WeightsError(
                "a pattern of the adapter is too complex",
                where=where,
                got=pattern[:80],
                fix="save the adapter again with the tool that made it",
            )
        try:
            if re.match(rf"(.*\.)?({pattern})$", layer):
                return value
        except re.error as error:
            raise WeightsError(
                "a pattern of the adapter is not a regular expression",
                where=where,
                got=pattern[:80],
                fix="save the adapter again with the tool that made it",
            ) from error
    return default
