"""A mixture, ready to be drawn from: its index if that still holds, or else built now."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from ramekin.catalog import Catalog
from ramekin.catalog.mixtures import adjusted_mixture, load_mixture
from ramekin.recipes.mixture_config import MixtureConfig
from ramekin.recipes.mixtures.build import How, build_mixture
from ramekin.recipes.mixtures.index import MixtureIndex, is_current, read_index, write_index
from ramekin.recipes.places import Places, cache_root
from ramekin.recipes.progress import AbstractProgress
from ramekin.text.mixing.mixture import Mixture, mixture_files

__all__ = ["prepare_mixture", "resolved_mixture", "shards_folder"]


def shards_folder(cache: Path | None) -> Path:
    """Where shards are: below the folder given, or in the user's cache."""
    return (cache if cache is not None else cache_root() / "mixtures") / "shards"


def resolved_mixture(config: MixtureConfig, places: Places) -> Mixture:
    """The mixture as it is to be drawn: its tasks found, its adjustments made."""
    catalog = Catalog(places.tasks_root)
    return adjusted_mixture(
        load_mixture(config.name, catalog, without=config.without), config.adjustments, catalog
    )


def prepare_mixture(
    config: MixtureConfig,
    how: How,
    *,
    draws: Callable[[int], int],
    cache: Path | None,
    num_workers: int,
    progress: AbstractProgress,
    look_again: bool = False,
) -> MixtureIndex:
    """The index of a mixture whose shards are enough for a number of draws.

    Args:
        config: which mixture.
        how: its examples are made.
        draws: how many are needed, from the number of examples of one pass.
        cache: a folder to keep shards and indexes in; None: the user's.
        num_workers: that tokenise side by side.
        progress: told of what is built.
        look_again: for tasks that were left out as their data could not be read, which may have been the
            network's fault; without it they stay out until a file of theirs changes, so that a run goes on
            with what it began with.

    Raises:
        DataError: tasks whose data cannot be read; all are named.
        UsageError: the mixture cannot be adjusted so.
    """
    folder = shards_folder(cache)
    path = folder.with_name("indexes") / f"{Path(config.name).stem}-{_key(config, how)}.json"
    index = read_index(path)
    if index is not None and look_again and index.missing:
        index = None
    if index is not None and index.draws >= draws(index.epoch_examples) and is_current(index, folder):
        return index
    mixture = resolved_mixture(config, how.places)
    index = build_mixture(
        mixture,
        map(Path, mixture_files(mixture)),
        how,
        draws=draws,
        folder=folder,
        num_workers=num_workers,
        progress=progress,
    )
    write_index(path, index)
    return index


def _absolute(places: Places) -> Places:
    """The places, wherever they are named from."""
    return replace(
        places,
        data_root=None if places.data_root is None else places.data_root.resolve(),
        hub_root=None if places.hub_root is None else places.hub_root.resolve(),
        tasks_root=tuple(each.resolve() for each in places.tasks_root),
    )


def _key(config: MixtureConfig, how: How) -> str:
    """Of everything that was asked for; the state of files is in the index itself."""
    import ramekin

    is_file = config.name.endswith((".yaml", ".yml"))
    # A path from here means another file elsewhere, and the folder of indexes is everybody's.
    asked = {
        "ramekin": ramekin.__version__,
        "mixture": config.model_dump(mode="json")
        | ({"name": Path(config.name).resolve()} if is_file else {}),
        "how": asdict(
            replace(how, tokens=replace(how.tokens, tokenizer=Path()), places=_absolute(how.places))
        ),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:24]
