"""LoRA and rsLoRA adapters as the factors they are made of, in numpy.

A plain or rank-stabilised LoRA is a product of two thin matrices for each tensor it changes, whatever the
base holds; DoRA and IA3 are not. Reading one needs neither torch nor PEFT. This module knows nothing of
merging.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, final

import numpy as np

from ramekin.errors import WeightsError
from ramekin.weights.adapter_config import read_adapter_config
from ramekin.weights.dtypes import FILE_DTYPES, Floats, all_finite, widen
from ramekin.weights.header import Header, TensorInfo, read_header
from ramekin.weights.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_weights
from ramekin.weights.lineage import read_lineage
from ramekin.weights.lowrank import check_lora, lora_layers
from ramekin.weights.verify import check_digest, verify_small_files

__all__ = ["FactoredAdapter", "Factors", "is_plain_lora", "read_factors"]


@final
@dataclass(frozen=True, slots=True)
class Factors:
    """One tensor's change by LoRA, `scale * b @ a`."""

    b: Floats
    """`(out, rank)`."""
    a: Floats
    """`(rank, in)`."""
    scale: float = 1.0
    """The factor; alpha and the rank are already in it."""

    @property
    def shape(self) -> tuple[int, int]:
        """`(out, in)`: the shape of the tensor it changes."""
        return (self.b.shape[0], self.a.shape[1])

    @property
    def rank(self) -> int:
        """The length of the inner axis."""
        rank: int = self.a.shape[0]
        return rank

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether it can change a tensor of this shape."""
        return tuple(shape) == self.shape

    def dense(self) -> Floats:
        """The change as a matrix, `(out, in)`."""
        product: Floats = self.b @ self.a
        product *= np.float32(self.scale)
        return product

    def merged_rows(self, rows: Floats, first: int) -> Floats:
        """Some rows of the changed tensor: `rows: (n, in)` from row `first` on, `(n, in)`."""
        product: Floats = self.b[first : first + len(rows)] @ self.a
        product *= np.float32(self.scale)
        product += rows
        return product


@final
@dataclass(frozen=True, slots=True)
class FactoredAdapter:
    """A LoRA or rsLoRA adapter in memory."""

    base: str | None
    """The name of the base it was trained on, as recorded."""
    base_sha256: str | None
    """`weights_sha256` of that base, when it was recorded."""
    changes: Mapping[str, Factors]
    """The factors of each tensor, under the tensor's name in a checkpoint file."""
    kind: Literal["lora"] = "lora"


def is_plain_lora(folder: Path) -> bool:
    """Whether an adapter folder says that it is a LoRA or rsLoRA, and no DoRA.

    Raises:
        WeightsError: it holds no adapter_config.json, or a damaged one.
    """
    config = read_adapter_config(folder)
    return config.get("peft_type") == "LORA" and not config.get("use_dora")


def read_factors(folder: Path, *, verify: bool = True) -> FactoredAdapter:
    """Read the factors of a LoRA or rsLoRA adapter.

    Args:
        folder: the adapter's.
        verify: compare sizes and hashes with the manifest, where there is one.

    Raises:
        WeightsError: a file is missing or damaged, the adapter is of another kind or of a variant that cannot
            be merged exactly, or its tensors do not fit each other.
    """
    folder = Path(folder)
    manifest = verify_small_files(folder) if verify else None
    config = read_adapter_config(folder)
    if not is_plain_lora(folder):
        raise WeightsError(
            "the adapter is no product of two factors",
            where=f"{folder / ADAPTER_CONFIG}#{'use_dora' if config.get('use_dora') else 'peft_type'}",
            expected="a LoRA or rsLoRA adapter",
            got="a DoRA" if config.get("use_dora") else repr(config.get("peft_type"))[:80],
        )
    check_lora(folder / ADAPTER_CONFIG, config)
    path = adapter_weights(folder)
    header, data = read_header(path), path.read_bytes()
    if manifest is not None:
        check_digest(folder, ADAPTER_WEIGHTS, hashlib.sha256(data).hexdigest(), manifest)
    arrays = {name: _array(path, header, name, info, data) for name, info in header.tensors.items()}
    layers = lora_layers(path, arrays, config)
    lineage = read_lineage(folder)
    parents = () if lineage is None else lineage.parents
    return FactoredAdapter(
        cast("str | None", config.get("base_model_name_or_path"))
        or (None if lineage is None else lineage.base)
        or None,
        next((parent.sha256 for parent in parents if parent.role == "base"), None),
        {name: Factors(layer.b, layer.a, layer.scale) for name, layer in layers.items()},
    )


def _array(path: Path, header: Header, name: str, info: TensorInfo, data: bytes) -> Floats:
    """One tensor of the file's bytes, in fp32."""
    where, start = f"{path}#{name}", header.data_offset + info.start
    if len(data) < start + info.nbytes:
        raise WeightsError("the file was cut while it was read", where=where)
    if info.dtype in ("F32", "F64"):
        stored = np.dtype("<f4" if info.dtype == "F32" else "<f8")
        values = np.frombuffer(data, dtype=stored, count=info.numel, offset=start).astype(np.float32)
    elif info.dtype in FILE_DTYPES:
        bits = np.frombuffer(data, dtype=np.uint16, count=info.numel, offset=start)
        values = np.empty(info.numel, dtype=np.float32)
        widen(bits, info.dtype, out=values)
    else:
        raise WeightsError(
            "a tensor is not of a floating-point type",
            where=where,
            expected=f"one of {', '.join(FILE_DTYPES)}",
            got=info.dtype,
            fix="use the adapter that was not quantised",
        )
    if not all_finite(values):
        raise WeightsError(
            "a tensor is not finite", where=where, expected="finite values", fix="use another adapter"
        )
    return values.reshape(info.shape)
