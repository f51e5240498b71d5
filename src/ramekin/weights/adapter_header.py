"""What an adapter is and which tensors it changes, from its configuration and its file's header alone.

No tensor is read, and neither torch nor PEFT is loaded: so many adapters are judged in no time. What they
change stands in `adapter_folder`. This module knows no base but by its names and shapes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast, final

from ramekin.errors import UsageError, WeightsError
from ramekin.registry import nearest
from ramekin.weights.adapter_config import read_adapter_config
from ramekin.weights.header import read_header
from ramekin.weights.ia3 import check_ia3, ia3_vectors
from ramekin.weights.layout import ADAPTER_CONFIG, adapter_weights
from ramekin.weights.lineage import read_lineage
from ramekin.weights.lowrank import check_lora, lora_layers

__all__ = [
    "AdapterHeader",
    "AdapterKind",
    "Misfit",
    "OfBase",
    "RecordedBase",
    "Sides",
    "adapter_kind",
    "fits",
    "misfit",
    "misfit_error",
    "prompt_error",
    "read_adapter_header",
    "read_recorded_base",
    "scaled_sides",
]

AdapterKind: TypeAlias = Literal["lora", "dora", "ia3", "prompt"]
"""The adapters that can be opened; rsLoRA is a `lora`."""

Sides: TypeAlias = tuple[int | None, int | None]
"""`(out, in)` of a tensor that is changed; None where any length will do."""

Misfit: TypeAlias = Literal["adapter-target", "adapter-shape"]
"""Why a tensor cannot be changed: the base has none of its name, or it has another shape."""

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


def scaled_sides(vector: Sequence[int]) -> Sides:
    """The sides of a matrix that IA3's vector scales: `(out, 1)` its rows, `(1, in)` its columns.

    >>> scaled_sides((16, 1)), scaled_sides((1, 24))
    ((16, None), (None, 24))
    """
    out, width = vector
    return (out, None) if width == 1 else (None, width)


def fits(sides: Sides, shape: Sequence[int]) -> bool:
    """Whether what has these sides can change a tensor of this shape.

    >>> fits((16, None), (16, 24)), fits((16, 8), (16, 24)), fits((16, None), (16,))
    (True, False, False)
    """
    return len(shape) == 2 and all(o is None or o == s for o, s in zip(sides, shape, strict=True))


def misfit(name: str, sides: Sides, shapes: Mapping[str, Sequence[int]]) -> Misfit | None:
    """Why an adapter cannot change a tensor of its base; None where it can.

    Args:
        name: the tensor.
        sides: of the adapter's change.
        shapes: of the base's tensors.
    """
    if name not in shapes:
        return "adapter-target"
    return None if fits(sides, shapes[name]) else "adapter-shape"


def misfit_error(
    name: str, sides: Sides, shapes: Mapping[str, Sequence[int]], *, folder: Path, base: str
) -> WeightsError:
    """The error for a tensor that an adapter cannot change; see `misfit`.

    Args:
        name: the tensor.
        sides: of the adapter's change.
        shapes: of the base's tensors.
        folder: the adapter's.
        base: where the base is.
    """
    fix = "name the base this adapter was trained on"
    if name not in shapes:
        near = nearest(name, shapes)
        return WeightsError(
            "the adapter changes a tensor its base does not have",
            where=f"{folder}#{name}",
            got=f"base {base}",
            fix=f"{fix}; this one has '{near}'" if near else fix,
            kind="adapter-target",
        )
    return WeightsError(
        "the adapter does not fit its base",
        where=f"{folder}#{name}",
        expected=f"{list(shapes[name])} as in {base}",
        got=str([side or "any" for side in sides]).replace("'", ""),
        fix=fix,
        kind="adapter-shape",
    )


def prompt_error(folder: Path) -> UsageError:
    """The error for a soft prompt among what is to be merged."""
    return UsageError(
        "a soft prompt has no weights to merge",
        where=str(folder),
        expected="a LoRA, DoRA or IA3 adapter, or a whole model",
        fix="leave it out",
        kind="soft-prompt",
    )
