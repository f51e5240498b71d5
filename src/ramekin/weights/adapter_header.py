"""What an adapter is and which tensors it changes, from its configuration and its file's header alone.

No tensor is read, and neither torch nor PEFT is loaded: so many adapters are judged in no time. What they
change stands in `adapter_folder`. This module knows no base but by its names and shapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast, final

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.adapter_config import read_adapter_config
from ramekin.weights.header import read_header
from ramekin.weights.ia3 import check_ia3, ia3_vectors
from ramekin.weights.layout import ADAPTER_CONFIG, adapter_weights
from ramekin.weights.lineage import read_lineage
from ramekin.weights.lowrank import check_lora, lora_layers
from ramekin.weights.sides import Sides, scaled_sides

__all__ = [
    "AdapterHeader",
    "AdapterKind",
    "OfBase",
    "RecordedBase",
    "adapter_kind",
    "prompt_error",
    "read_adapter_header",
    "read_recorded_base",
]

AdapterKind: TypeAlias = Literal["lora", "dora", "ia3", "prompt"]
"""The adapters that can be opened; rsLoRA is a `lora`."""

_KINDS: Mapping[str, AdapterKind] = {"LORA": "lora", "IA3": "ia3", "PROMPT_TUNING": "prompt"}


class OfBase(Protocol):
    """What tells the base of an adapter."""

    @property
    def base(self) -> str | None:
        """The recorded name."""

    @property
    def base_sha256(self) -> str | None:
        """The recorded hash."""


@final
@dataclass(frozen=True, slots=True)
class RecordedBase:
    """The base that an adapter was trained on, as far as its folder says."""

    base: str | None
    """Its name."""
    base_sha256: str | None
    """Its `weights_sha256`."""


@final
@dataclass(frozen=True, slots=True)
class AdapterHeader:
    """What an adapter changes."""

    kind: AdapterKind
    sides: Mapping[str, Sides]
    """Of each tensor that it changes, under its name in a checkpoint; none for a prompt."""
    ranks: Mapping[str, int] = field(default_factory=dict)
    """The rank by tensor; none for IA3 and prompts."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """The factor of B A by tensor, alpha and the rank in it."""


def read_adapter_header(folder: Path) -> AdapterHeader:
    """Read an adapter's configuration and the header of its weights.

    Raises:
        WeightsError: a file is missing or damaged, the adapter is of a kind or a variant that cannot be
            merged exactly, or its tensors do not fit each other.
    """
    folder = Path(folder)
    config = read_adapter_config(folder)
    place = folder / ADAPTER_CONFIG
    kind = adapter_kind(place, config)
    path = adapter_weights(folder)
    tensors = read_header(path).tensors
    if kind == "prompt":
        return AdapterHeader(kind, {})
    if kind == "ia3":
        check_ia3(place, config)
        vectors = ia3_vectors(path, tensors)
        return AdapterHeader(kind, {name: scaled_sides(each.shape) for name, each in vectors.items()})
    check_lora(place, config)
    layers = lora_layers(path, tensors, config)
    return AdapterHeader(
        kind,
        {name: (layer.b.shape[0], layer.a.shape[1]) for name, layer in layers.items()},
        {name: layer.a.shape[0] for name, layer in layers.items()},
        {name: layer.scale for name, layer in layers.items()},
    )


def read_recorded_base(folder: Path) -> RecordedBase:
    """The base that an adapter records: its name, and its hash where ramekin trained it.

    Raises:
        WeightsError: adapter_config.json or the manifest is missing or damaged.
    """
    config, lineage = read_adapter_config(folder), read_lineage(folder)
    parents = () if lineage is None else lineage.parents
    sha256 = next((parent.sha256 for parent in parents if parent.role == "base"), None)
    recorded = None if lineage is None else lineage.base
    return RecordedBase(cast("str | None", config.get("base_model_name_or_path")) or recorded or None, sha256)


def adapter_kind(path: Path, config: Mapping[str, object]) -> AdapterKind:
    """What kind of adapter a configuration is of.

    Args:
        path: of adapter_config.json, for messages.
        config: its content.

    Raises:
        WeightsError: of a kind that cannot be opened.

    >>> adapter_kind(Path("adapter_config.json"), {"peft_type": "LORA", "use_dora": True})
    'dora'
    """
    kind = config.get("peft_type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise WeightsError(
            "this kind of adapter is not supported",
            where=f"{path}#peft_type",
            expected=f"one of {', '.join(_KINDS)}",
            got=repr(kind)[:80],
            fix="merge it into its base with the tool it was trained with, and use the whole model",
            kind="adapter-kind",
        )
    return "dora" if kind == "LORA" and config.get("use_dora") else _KINDS[kind]


def prompt_error(folder: Path) -> UsageError:
    """The error for a soft prompt among what is to be merged."""
    return UsageError(
        "a soft prompt has no weights to merge",
        where=str(folder),
        expected="a LoRA, DoRA or IA3 adapter, or a whole model",
        fix="leave it out",
        kind="soft-prompt",
    )
