"""The bases of the built-in world that have a name: made on first use, and kept in the user's cache.

`mini/base` has read the world's text and a little of eight tasks, as the demo's recipe says; `mini/text` has
read text alone, so that a task held out from its fine-tuning is one that it has never seen; `mini/paper_text`
is such a base with the words for papers; `mini/study_*` are such bases of three sizes with one vocabulary. A
folder's name hashes everything that its base depends on; where that changes, the base is made again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from ramekin.errors import UsageError
from ramekin.recipes.bases.made import make_base
from ramekin.recipes.bases.names import WORLD_BASES
from ramekin.recipes.compose import compose
from ramekin.recipes.data import training_examples
from ramekin.recipes.groups import CONF
from ramekin.recipes.places import Places, cache_root
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.schema import BaseConfig, RunConfig
from ramekin.recipes.settings import AbstractSettings
from ramekin.text.strict_yaml import read_yaml

__all__ = [
    "WorldBaseConfig",
    "ensure_world_base",
    "refuse_another",
    "world_base_folder",
    "world_base_settings",
]


@final
class WorldBaseConfig(AbstractSettings):
    """How a base of the world is made, and of which tasks."""

    tasks: tuple[str, ...]
    base: BaseConfig


def ensure_world_base(name: str, seed: int, progress: AbstractProgress) -> Path:
    """The folder of a base of the world with a seed, made now if it is not there yet."""
    settings = world_base_settings(name)
    folder = world_base_folder(name, seed)
    if not (folder / "ramekin.json").is_file():
        places = Places(world_seed=seed)
        make_base(settings.base, settings.tasks, places, folder, seed, progress)
    return folder


def world_base_folder(name: str, seed: int) -> Path:
    """Where a base of the world with a seed is kept."""
    return cache_root() / f"{name.replace('/', '-')}-{_fingerprint(world_base_settings(name), seed)[:16]}"


def refuse_another(config: BaseConfig, tasks: Sequence[str]) -> None:
    """Refuse a base called as one of the world's that is not made as that one is.

    Raises:
        UsageError: its settings or tasks differ, which the kept base would silently ignore.
    """
    if WorldBaseConfig(tasks=tuple(tasks), base=config) != world_base_settings(config.name):
        raise UsageError(
            f"the settings of {config.name} are fixed",
            where="recipe.base",
            fix="give a base of other settings or tasks another name: recipe.base.name=…",
        )


@lru_cache(maxsize=len(WORLD_BASES))
def world_base_settings(name: str) -> WorldBaseConfig:
    """How one of `WORLD_BASES` is made: `mini/base` by the demo's recipe, others by a file of their own."""
    if name == "mini/base":
        recipe = compose("run", RunConfig, ["recipe=demo"]).recipe
        return WorldBaseConfig(tasks=recipe.tasks, base=recipe.base)
    return WorldBaseConfig.model_validate(_given(name.partition("/")[2]))


def _given(name: str) -> Mapping[str, Any]:
    """What the file of a base says; one that is `like` another says only what differs."""
    given = dict(read_yaml(CONF / "world_base" / f"{name}.yaml"))
    like = given.pop("like", None)
    if like is None:
        return given
    other = _given(like)
    return {**other, **given, "base": {**other["base"], **given["base"]}}


def _fingerprint(settings: WorldBaseConfig, seed: int) -> str:
    import ramekin
    from ramekin.sources.world import corpus

    config = settings.base
    # A few rows stand for the world's grammar and the tasks' templates: where those change, so do they.
    samples = training_examples(
        settings.tasks,
        split="train",
        templates=config.vocabulary_templates,
        limit=20,
        places=Places(world_seed=seed),
    )
    depends = [
        json.loads(config.model_dump_json()),
        seed,
        [(example.inputs, example.targets, example.options) for each in samples for example in each.examples],
        corpus(50, seed=seed),
        ramekin.__version__,
        version("torch"),
    ]
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
