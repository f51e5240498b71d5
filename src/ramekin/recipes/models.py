"""Models by the names that users give them.

A name is a folder, a hub id (looked for below `hub_root` first), or one of `mini/base`, `mini/text` and
`tiny/base`, which are made on the spot.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ramekin.recipes.bases.names import MADE_HERE, TINY_BASE, WORLD_BASES
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress

if TYPE_CHECKING:
    from ramekin.weights.opening import Opened

__all__ = ["check_named", "locate", "locate_base", "locate_config", "locate_tokenizer", "open_named"]


def locate(name: str, places: Places, progress: AbstractProgress, *, weights: bool = True) -> Path:
    """The folder of a checkpoint; a base that is made on the spot is made if it is not there yet.

    Args:
        name: a folder, a hub id, or a base that is made on the spot.
        places: where names are looked up.
        progress: told when a base is being made.
        weights: whether the hub is asked for them, too.

    Raises:
        WeightsError: there is none; the message names the repository and the remedies.
    """
    from ramekin.weights.locate import locate_checkpoint

    # What makes them knows tasks and templates, which take a while to load.
    if _is_made_here(name) and name == TINY_BASE:
        from ramekin.recipes.bases.tiny import ensure_tiny_base

        return ensure_tiny_base(progress)
    if _is_made_here(name):
        from ramekin.recipes.bases.world import ensure_world_base

        return ensure_world_base(name, places.world_seed, progress)
    return locate_checkpoint(name, hub_root=places.hub_root, weights=weights)


def _is_made_here(name: str) -> bool:
    """Whether a name is that of a base that is made on the spot, and not of a folder."""
    return name in (*WORLD_BASES, TINY_BASE) and not Path(name).exists()


def check_named(name: str, places: Places) -> None:
    """Refuse a model that can only be refused, from its configuration and its files' headers alone.

    Nothing heavy is loaded, so that a hostile folder is refused at once; and nothing is made.

    Args:
        name: of the model.
        places: where names are looked up.

    Raises:
        WeightsError: there is no such model, it asks for code of its own, its weights are pickles, or its
            sizes or headers cannot be.
    """
    from ramekin.weights.config import read_config
    from ramekin.weights.layout import is_adapter, is_translator, open_layout
    from ramekin.weights.locate import locate_checkpoint

    if _is_made_here(name):
        return
    folder = locate_checkpoint(name, hub_root=places.hub_root)
    if not (is_adapter(folder) or is_translator(folder)):
        read_config(folder)
        open_layout(folder)


def locate_base(folder: Path, base: str | None, places: Places, progress: AbstractProgress) -> Path | None:
    """The folder of a base that was named, or that an adapter records of those made on the spot; else None.

    Args:
        folder: of a checkpoint or an adapter.
        base: the name that was given.
        places: where names are looked up.
        progress: told when a base is being made.
    """
    from ramekin.weights.adapter_config import read_adapter_config
    from ramekin.weights.layout import is_adapter

    if base is None and is_adapter(folder):
        recorded = read_adapter_config(folder).get("base_model_name_or_path")
        base = next((name for name in MADE_HERE if name == recorded), None)
    return None if base is None else locate(base, places, progress)


def locate_tokenizer(
    name: str, places: Places, progress: AbstractProgress, *, base: str | None = None
) -> Path:
    """The folder of a model's tokenizer: its own, or that of an adapter's base; no weights are fetched.

    Args:
        name: of the model.
        places: where names are looked up.
        progress: told when a base is being made.
        base: for an adapter, the base to use instead of the one it recorded.

    Raises:
        WeightsError: there is no such model, or an adapter's base is not found.
    """
    from ramekin.weights.beside import has_tokenizer

    folder = locate(name, places, progress, weights=False)
    return folder if has_tokenizer(folder) else _beneath(folder, base, places, progress)


def locate_config(name: str, places: Places, progress: AbstractProgress, *, base: str | None = None) -> Path:
    """The folder of a model's configuration: its own, or an adapter's base's; see `locate_tokenizer`."""
    from ramekin.weights.layout import is_adapter

    folder = locate(name, places, progress, weights=False)
    return _beneath(folder, base, places, progress) if is_adapter(folder) else folder


def _beneath(folder: Path, base: str | None, places: Places, progress: AbstractProgress) -> Path:
    """The base's folder, by its name or as it is recorded; where there is no record, the folder itself."""
    from ramekin.weights.adapter_config import read_adapter_config
    from ramekin.weights.layout import is_adapter
    from ramekin.weights.lineage import read_lineage

    lineage = read_lineage(folder)
    named = base or (None if lineage is None else lineage.base)
    if named is None and is_adapter(folder):
        recorded = read_adapter_config(folder).get("base_model_name_or_path")
        named = str(recorded) if recorded else None
    return locate(named, places, progress, weights=False) if named else folder


def open_named(
    name: str, places: Places, progress: AbstractProgress, *, base: str | None = None, device: str = "cpu"
) -> "Opened":
    """Load a model by name, an adapter merged into its base.

    Args:
        name: a folder, a hub id, or a base that is made on the spot.
        places: where names are looked up.
        progress: told when a base is being made.
        base: for an adapter, the base to use instead of the one it recorded.
        device: where the model goes.
    """
    from ramekin.weights.opening import open_model

    folder = locate(name, places, progress)
    base_folder = locate_base(folder, base, places, progress)
    return open_model(folder, base=base_folder, hub_root=places.hub_root, device=device)
