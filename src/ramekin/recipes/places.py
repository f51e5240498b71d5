"""Where things are looked for, and models opened by the names users give them.

A name is a folder, a hub id (looked for below `hub_root` first), or `mini/base`, which is made on the spot.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.schema import AbstractVerbConfig
from ramekin.sources.rows import STRICT, BadRows

if TYPE_CHECKING:
    from ramekin.weights.opening import Opened

__all__ = ["Places", "locate", "open_named", "pick_device", "places_of", "set_threads"]


@dataclass(frozen=True)
class Places:
    """The folders that names are looked up in, and how strictly their files are read."""

    data_root: Path | None = None
    tasks_root: Path | None = None
    hub_root: Path | None = None
    world_seed: int = 0
    bad_rows: BadRows = STRICT


def places_of(config: AbstractVerbConfig) -> Places:
    """The places of a verb; `RAMEKIN_DATA` and `RAMEKIN_HUB` stand in for data_root and hub_root."""
    return Places(
        config.data_root or _from_environment("RAMEKIN_DATA"),
        config.tasks_root,
        config.hub_root or _from_environment("RAMEKIN_HUB"),
        config.world_seed,
        BadRows(config.bad_rows, quarantine=config.quarantine),
    )


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value).expanduser() if value else None


def locate(name: str, places: Places, progress: AbstractProgress) -> Path:
    """The folder of a checkpoint; `mini/base` is made if it is not there yet.

    Raises:
        WeightsError: there is none; the message names the repository and the remedies.
    """
    from ramekin.recipes.base import MINI_BASE, ensure_mini_base
    from ramekin.weights.locate import locate_checkpoint

    if name == MINI_BASE and not Path(name).exists():
        return ensure_mini_base(places.world_seed, progress)
    return locate_checkpoint(name, hub_root=places.hub_root)


def open_named(
    name: str, places: Places, progress: AbstractProgress, *, base: str | None = None, device: str = "cpu"
) -> "Opened":
    """Load a model by name, an adapter merged into its base.

    Args:
        name: a folder, a hub id, or `mini/base`.
        places: where names are looked up.
        progress: told when `mini/base` is being made.
        base: for an adapter, the base to use instead of the one it recorded.
        device: where the model goes.
    """
    from ramekin.weights.opening import open_model

    folder = locate(name, places, progress)
    base_folder = locate(base, places, progress) if base is not None else None
    return open_model(folder, base=base_folder, hub_root=places.hub_root, device=device)


def pick_device(asked: str) -> str:
    """The device for `device=auto`: a GPU where there is one."""
    if asked != "auto":
        return asked
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def set_threads(asked: int) -> None:
    """Use so many threads for arithmetic; 0 leaves torch's choice."""
    if asked:
        import torch

        torch.set_num_threads(asked)
