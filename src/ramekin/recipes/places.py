"""Where a verb looks for things, and what it computes on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.sources.rows import STRICT, BadRows

__all__ = ["Places", "cache_root", "merging_device", "pick_device", "places_of", "set_threads"]


@final
@dataclass(frozen=True)
class Places:
    """The folders that names are looked up in, and how strictly their files are read."""

    data_root: Path | None = None
    tasks_root: tuple[Path, ...] = ()
    hub_root: Path | None = None
    world_seed: int = 0
    bad_rows: BadRows = STRICT
    sample_rows: bool = False
    """Tasks whose data would have to be found or downloaded give their own sample row instead."""


def places_of(config: AbstractVerbConfig) -> Places:
    """The places of a verb; `RAMEKIN_DATA` and `RAMEKIN_HUB` stand in for data_root and hub_root."""
    return Places(
        config.data_root or _from_environment("RAMEKIN_DATA"),
        config.tasks_root,
        config.hub_root or _from_environment("RAMEKIN_HUB"),
        config.world_seed,
        BadRows(config.bad_rows, quarantine=config.quarantine),
    )


def cache_root() -> Path:
    """Where bases and built mixtures are kept: `RAMEKIN_CACHE`, else `ramekin` in the user's cache folder."""
    own = _from_environment("RAMEKIN_CACHE")
    return own or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ramekin"


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value).expanduser() if value else None


def pick_device(asked: str) -> str:
    """The device for `device=auto`: a GPU where there is one.

    Raises:
        UsageError: the machine has no such device.
    """
    import torch

    if asked != "auto":
        from ramekin.tensors.device import present_device

        return str(present_device(asked))
    return "cuda" if torch.cuda.is_available() else "cpu"


def merging_device(asked: str) -> str:
    """The device for `device=auto` where most is reading and writing: the processor, which needs no torch.

    Raises:
        UsageError: the machine has no such device.
    """
    return "cpu" if asked in ("auto", "cpu") else pick_device(asked)


def set_threads(asked: int) -> None:
    """Use so many threads for arithmetic; 0 leaves torch's choice."""
    if asked:
        import torch

        torch.set_num_threads(asked)
