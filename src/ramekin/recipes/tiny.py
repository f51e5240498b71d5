"""A training in small: the same mixture, forms, objective, adapter, optimizer and schedule, in a minute.

`tiny=true` changes what costs time or a network, and nothing else: the model is `tiny/base`, tasks give their
own sample row in two of their templates, at most twelve short steps are taken. Numbers are only made smaller,
so that a word such as `max_steps=3` still means what it says; but epochs, whose steps nobody knows before
the data are read, become the twelve. Knows nothing of how a training is carried out.
"""

import dataclasses
from importlib.resources import files
from pathlib import Path
from typing import Final

from ramekin.catalog import Catalog
from ramekin.recipes.bases.names import TINY_BASE
from ramekin.recipes.mixture_config import MixtureConfig
from ramekin.recipes.schema import TrainConfig
from ramekin.train.recipe import Recipe

__all__ = ["in_small"]

STEPS: Final = 12
_ROWS: Final = 16
_TEMPLATES: Final = 2
"""Of each task: a single row is put once by each, which for all ten of a large mixture takes minutes."""


def in_small(config: TrainConfig) -> TrainConfig:
    """The configuration in small, if `config.tiny` asks for it.

    A mixture that needs a clone of natural-instructions and is given none finds a clone of two tasks of our
    own in its place.
    """
    if not config.tiny:
        return config
    changes: dict[str, object] = {
        "model": TINY_BASE,
        "limit": _at_most(config.limit, _ROWS),
        "eval_limit": _at_most(config.eval_limit, _ROWS),
        "training": _numbers(config.training),
        "workers": 1,  # reading a row a task is over before a second process has started
    }
    if config.mixture is not None:
        changes |= {"mixture": _mixture(config.mixture), "tasks_root": _roots(config.tasks_root)}
    return config.model_copy(update=changes)


def _numbers(recipe: Recipe) -> Recipe:
    steps = _at_most(recipe.max_steps, STEPS)
    half = max(1, steps // 2)
    warmup = recipe.warmup_steps
    if recipe.max_steps is not None and recipe.max_steps > steps:
        warmup = round(warmup * steps / recipe.max_steps)
    return dataclasses.replace(
        recipe,
        max_steps=steps,
        epochs=None,
        warmup_steps=min(warmup, half),
        global_batch=min(recipe.global_batch, 8),
        micro_batch_tokens=min(recipe.micro_batch_tokens, 2048),
        max_input_tokens=min(recipe.max_input_tokens, 192),
        max_target_tokens=min(recipe.max_target_tokens, 48),
        precision="fp32",
        compile=False,
        eval_every=None if recipe.eval_every is None else min(recipe.eval_every, half),
        checkpoint_every=None if recipe.checkpoint_every is None else min(recipe.checkpoint_every, half),
    )


def _mixture(config: MixtureConfig) -> MixtureConfig:
    limits = {
        "limit_examples": _at_most(config.limit_examples, _ROWS),
        "templates_per_task": _at_most(config.templates_per_task, _TEMPLATES),
    }
    return config.model_copy(update=limits)


def _roots(roots: tuple[Path, ...]) -> tuple[Path, ...]:
    """The user's folders, and a clone in small where none of them is one of natural-instructions."""
    if any(name.startswith("ni/") for name in Catalog(roots)):
        return roots
    return (*roots, Path(str(files("ramekin.catalog"))) / "samples" / "natural_instructions")


def _at_most(value: int | None, limit: int) -> int:
    return limit if value is None else min(value, limit)
