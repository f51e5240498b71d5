"""Which folder an adapter's base is in, and whether it is that base.

This module knows folders, names and hashes; it opens no weights and needs no torch.
"""

from collections.abc import Callable
from pathlib import Path

from ramekin.errors import WeightsError
from ramekin.weights.adapter_header import OfBase
from ramekin.weights.lineage import weights_sha256
from ramekin.weights.locate import is_hub_name, locate_checkpoint

__all__ = ["check_base", "locate_base"]


def locate_base(
    folder: Path,
    adapter: OfBase,
    *,
    base: str | Path | None = None,
    hub_root: Path | None = None,
    hash_of: Callable[[Path], str | None] = weights_sha256,
) -> Path:
    """The folder of an adapter's base: `base` if given, else the one it records.

    Args:
        folder: the adapter's.
        adapter: what it records.
        base: a name or a folder, instead of the recorded one.
        hub_root: a folder of checkpoints named by hub id, looked in before the hub.
        hash_of: `weights_sha256` of a folder; None from it is not known, and then names decide.

    Raises:
        WeightsError: the adapter records no base, there is nothing of that name, or it is another model.
    """
    name = base if base is not None else adapter.base
    if name is None:
        raise WeightsError(
            "the adapter records no base",
            where=str(folder),
            fix="name it: base=…",
            kind="adapter-without-base",
        )
    base_folder = locate_checkpoint(name, hub_root=hub_root)
    check_base(folder, adapter, name=str(name), base_folder=base_folder, hash_of=hash_of)
    return base_folder


def check_base(
    folder: Path,
    adapter: OfBase,
    *,
    name: str,
    base_folder: Path,
    hash_of: Callable[[Path], str | None] = weights_sha256,
) -> None:
    """Refuse a base that is not the one an adapter was trained on.

    The recorded hash decides where there is one; without it, two different hub ids are two models, while a
    local folder may hold any of them (the shapes are checked when the adapter is merged).

    Raises:
        WeightsError: it is another model; both are named.
    """
    found = hash_of(base_folder) if adapter.base_sha256 is not None else None
    if found is not None:
        other = found != adapter.base_sha256
    else:
        recorded = adapter.base
        other = recorded is not None and is_hub_name(recorded) and is_hub_name(name) and recorded != name
    if other:
        raise WeightsError(
            "the adapter was trained on another base",
            where=str(folder),
            expected=f"'{adapter.base}'",
            got=f"'{name}' ({base_folder})",
            fix=f"open it with base={adapter.base}",
            kind="adapter-base",
        )
