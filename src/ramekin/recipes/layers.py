"""The layers of a configuration: the options that are chosen, what a file says, and what words say.

Hydra composes the options; the values of the file and of the words are laid over them. Knows nothing of how
words are written, or of whether keys exist.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from ramekin.errors import UsageError
from ramekin.recipes.groups import CONF, group_options, last_option

__all__ = ["KeyPath", "Values", "layered", "values_of"]

KeyPath: TypeAlias = tuple[str, ...]
"""The full name of a key, a name a level."""
Values: TypeAlias = Mapping[KeyPath, Any]
"""What is said of keys, the later ones winning."""

_SELECTORS: Final = ("kind", "name")
"""The keys of a group of which one has the name of the option."""


def layered(verb: str, choices: Sequence[str], of_file: Values, of_words: Values) -> dict[str, Any]:
    """Hydra's choice of options with the values laid over it, as plain Python values."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        config = _hydra(verb, choices)
        for group, option in _chosen_anew(verb, choices, {**of_file, **of_words}).items():
            config[group] = _hydra(verb, [f"{group}={option}"])[group]
        config = OmegaConf.merge(config, OmegaConf.create(_nested(of_file)))
        for path, value in of_words.items():
            OmegaConf.update(config, ".".join(path), value, merge=True, force_add=True)
        return _plain(config)
    except OmegaConfBaseException as error:
        raise UsageError("the configuration cannot be composed", got=str(error).strip()) from error


def values_of(verb: str, choices: Sequence[str]) -> dict[str, Any]:
    """What the options that are chosen say, before anything is laid over them."""
    return _plain(_hydra(verb, choices))


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    return dict(values)


def _chosen_anew(verb: str, choices: Sequence[str], values: Values) -> dict[str, str]:
    """The groups of which another option is chosen than the recipe's, whose keys are not the new one's."""
    recipe = last_option("recipe", choices)
    if recipe is None:
        return {}
    anew = {}
    for group, theirs in _hydra(verb, [f"recipe={recipe}"]).items():
        selector = next((key for key in _SELECTORS if group_options(group) and key in theirs), None)
        if group == "recipe" or selector is None:
            continue
        option = values.get((group, selector), last_option(group, choices))
        if option != theirs[selector] and option in group_options(group):
            anew[group] = option
    return anew


def _nested(values: Values) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in values.items():
        here = nested
        for part in path[:-1]:
            if not isinstance(here.get(part), dict):
                here[part] = {}
            here = here[part]
        here[path[-1]] = value
    return nested


def _hydra(verb: str, choices: Sequence[str]) -> Any:
    """Hydra's composition, to which keys may be added."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            composed = hydra.compose(verb, overrides=list(choices))
    except HydraException as error:
        raise UsageError("the configuration cannot be composed", got=str(error).strip()) from error
    OmegaConf.set_struct(composed, False)
    return composed
