"""The groups of the configuration, with the options that each has: files below `conf/`.

Knows nothing of what a file holds, nor of verbs but which of them carries out a recipe.
"""

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

__all__ = ["CONF", "group_options", "last_option", "recipe_verb"]

CONF = Path(str(files("ramekin.recipes"))) / "conf"
"""The folder of the configuration groups."""


@lru_cache(maxsize=64)
def group_options(group: str, verb: str | None = None) -> tuple[str, ...]:
    """The options of a configuration group, such as `ties_merging` of `method`; empty for any other key.

    Recipes' files whose names begin with `_` are parts of others and no options (a pool of that kind is
    FusionBench's own).

    Args:
        group: a folder of `conf/`.
        verb: of the recipes, only those that this verb carries out; None: all.

    >>> "ties_merging" in group_options("method")
    True
    >>> group_options("recipe", "run")
    ('demo', 'real_text')
    """
    root = CONF / group
    names = sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))
    if group != "recipe":
        return tuple(names)
    return tuple(name for name in names if "/_" not in f"/{name}" and verb in (None, recipe_verb(name)))


def recipe_verb(name: str) -> str:
    """The verb that carries out a recipe: a training is `FAMILY/NAME`, a road stands by itself.

    >>> recipe_verb("t0/t0_3b"), recipe_verb("demo")
    ('train', 'run')
    """
    return "train" if "/" in name else "run"


def last_option(group: str, words: Iterable[str]) -> str | None:
    """The option of a group that words choose, the last of them winning; None if they choose none.

    >>> last_option("adapter", ["adapter=lora", "seed=1", "adapter=ia3"])
    'ia3'
    """
    values = [value for key, _, value in (word.partition("=") for word in words) if key.lstrip("+") == group]
    return values[-1].strip("'\"") if values and values[-1] != "null" else None
