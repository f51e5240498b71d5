"""From words on the command line to a validated configuration.

The words are Hydra overrides (`group=option key=value`). They are checked against the schema and the
configuration groups first, so that every problem is shown at once, each with its nearest name; then Hydra
composes, and pydantic validates. Loads neither torch nor transformers, and knows nothing of what a verb does.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ramekin.errors import UsageError
from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.registry import nearest, unknown_name
from ramekin.text.strict_yaml import read_yaml

__all__ = ["CONF", "chosen_option", "compose", "group_options", "recipe_verb", "words_of"]

CONF = Path(str(files("ramekin.recipes"))) / "conf"
"""The folder of the configuration groups."""

C = TypeVar("C", bound=AbstractVerbConfig)


def compose(verb: str, schema: type[C], words: Sequence[str], *, config_file: Path | None = None) -> C:
    """The validated configuration of a verb.

    Args:
        verb: the name of the root configuration in `conf/`.
        schema: the pydantic model it must fit.
        words: Hydra overrides, later ones winning.
        config_file: a YAML file whose values are read before the words.

    Raises:
        UsageError: something is unknown, missing or of the wrong type; all problems at once.
    """
    overrides = [*(_words_of_file(config_file) if config_file else ()), *words]
    problems, checked = _checked(verb, schema, overrides)
    missing = _missing_groups(verb, overrides)
    problems += [
        f"'{group}' is needed: {group}=…, one of {', '.join(_offered(group, verb))}" for group in missing
    ]
    try:
        config = schema.model_validate({**_hydra(verb, checked), **_choices(schema, checked)})
    except ValidationError as error:
        others = [each for each in error.errors() if each["loc"] not in [(group,) for group in missing]]
        raise UsageError.of_problems([*problems, *(_in_words(schema, each) for each in others)]) from error
    except UsageError as error:
        raise UsageError.of_problems([*problems, str(error)]) from error
    if problems:
        raise UsageError.of_problems(problems)
    return config


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


def chosen_option(group: str, words: Sequence[str], config_file: Path | None = None) -> str | None:
    """The option of a group that words choose, the last of them winning; None if they choose none."""
    given = [*(_words_of_file(config_file) if config_file else ()), *words]
    values = [value for key, _, value in (word.partition("=") for word in given) if key.lstrip("+") == group]
    return values[-1].strip("'\"") if values and values[-1] != "null" else None


def _choices(schema: type[BaseModel], words: Sequence[str]) -> dict[str, str | None]:
    """The options that the configuration itself tells, such as the name of its recipe."""
    return {group: chosen_option(group, words) for group in getattr(schema, "CHOICES", ())}


def _words_of_file(path: Path) -> list[str]:
    """A YAML file's values as override words; `method: ties_merging` chooses an option of a group."""
    data = read_yaml(path)
    if not isinstance(data, Mapping):
        raise UsageError("a configuration file holds keys and values", where=str(path))
    return words_of(data)


def words_of(data: Mapping[str, Any]) -> list[str]:
    """Keys and values as override words; a string for a group chooses its option.

    >>> words_of({"max_steps": 3, "mixture": {"without": ["niv2"]}, "adapter": "lora"})
    ['++max_steps=3', "++mixture.without=['niv2']", 'adapter=lora']
    """
    words: list[str] = []
    for key, value in data.items():
        if isinstance(value, str | None) and group_options(str(key)):
            words.append(f"{key}={value or 'null'}")
        else:
            words += [f"++{name}={_grammar(leaf)}" for name, leaf in _leaves(str(key), value)]
    return words


def _leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(f"{prefix}.{key}", inner)]
    return [(prefix, value)]


def _grammar(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_grammar(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{_grammar(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


def _checked(verb: str, schema: type[BaseModel], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Everything that is wrong with the words before anything is composed, and the words as Hydra takes them.

    Hydra refuses to set a key that its files do not list; ours are listed by the schema alone, so that
    defaults stand in one place. A checked key is therefore forced (`++key=value`).
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    problems: list[str] = []
    checked: list[str] = []
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            problems.append(f"'{word}' is not group=option or key=value: {str(error).splitlines()[0]}")
            continue
        key = override.key_or_group.partition("@")[0]
        value = override.value()
        options = group_options(key, verb)
        if options and value is None:
            # Hydra has no word for none of a group's options: the words before that chose one go.
            checked = [each for each in checked if each.partition("=")[0] != key]
        elif options and isinstance(value, str):
            if value not in options:
                problems.append(_no_option(verb, key, value))
                # Stands in so that the other words' values can be checked in the same go.
                word = f"{key}={nearest(value, options) or options[0]}"
            checked.append(word)
        elif override.is_delete():
            checked.append(word)
        elif override.is_sweep_override():
            problems.append(f"'{word}' has several values: give one")
        else:
            full_key = _named(schema, _lifted(schema, key), value)
            if problem := _key_problem(schema, full_key):
                problems.append(problem)
            else:
                checked.append(f"++{full_key}={word.partition('=')[2]}")
    return problems, [*checked, *_taken_back(schema, checked)]


def _taken_back(schema: type[BaseModel], checked: Sequence[str]) -> list[str]:
    """Words that take back what a recipe says of a key, where its alternative is given a value."""
    given = dict(word.removeprefix("++").split("=", 1) for word in checked if word.startswith("++"))
    found = []
    for pair in getattr(schema, "ALTERNATIVES", ()):
        for key, other in (pair, reversed(pair)):
            if given.get(key, "null") != "null" and other not in given:
                found.append(f"++{other}=null")
    return found


def _no_option(verb: str, group: str, name: str) -> str:
    """What is wrong with the name of an option: there is none such, or it is another verb's."""
    if name in group_options(group):
        own = recipe_verb(name)
        return f"the {group} '{name}' is none for 'ramekin {verb}': ramekin {own} {group}={name}"
    return unknown_name(group, name, _offered(group, verb))


def _offered(group: str, verb: str) -> tuple[str, ...]:
    """The options that a verb has to offer: `ramekin run` hands trainings on to `ramekin train`."""
    return group_options(group, None if verb == "run" else verb)


def _lifted(schema: type[BaseModel], key: str) -> str:
    """The full name of a key that may be written without the group it is in (`max_steps=3`)."""
    first = key.partition(".")[0]
    fields = _fields(schema)
    if first in fields:
        return key
    for group in getattr(schema, "LIFTED", ()):
        if first in _fields(_inner(fields[group])):
            return f"{group}.{key}"
    return key


def _named(schema: type[BaseModel], key: str, value: Any) -> str:
    """The full name of a key whose group has a name: `mixture=glue` is `mixture.name=glue`."""
    return f"{key}.name" if key in getattr(schema, "NAMED", ()) and isinstance(value, str) else key


def _missing_groups(verb: str, words: Sequence[str]) -> list[str]:
    """The groups that the verb's root file leaves open (`method: null`) and no word gives."""
    given = {word.partition("=")[0].lstrip("+").partition(".")[0] for word in words}
    wanted = [name for entry in read_yaml(CONF / f"{verb}.yaml")["defaults"] if isinstance(entry, Mapping)
              for name, option in entry.items() if option is None]  # fmt: skip
    return [group for group in wanted if group not in given and not group.startswith("optional ")]


def _key_problem(schema: type[BaseModel], key: str) -> str | None:
    """What is wrong with a dotted key, or None: each level is looked up in the schema."""
    here: Any = schema
    walked: list[str] = []
    for part in key.split("."):
        fields = _fields(here)
        if fields:
            if part not in fields:
                known = [".".join([*walked, field]) for field in _known_below(here)]
                return unknown_name("key", ".".join([*walked, part]), known)
            here = _inner(fields[part])
        elif get_origin(here) is dict:
            here = _inner(get_args(here)[1])
        elif here is not Any:
            return f"the key '{'.'.join(walked)}' has no keys below it, yet '{key}' was given"
        walked.append(part)
    return None


def _known_below(model: Any) -> list[str]:
    """A model's keys, those that may be written without their group included."""
    fields = _fields(model)
    lifted = [name for group in getattr(model, "LIFTED", ()) for name in _fields(_inner(fields[group]))]
    return [*fields, *lifted]


def _fields(annotation: Any) -> Mapping[str, Any]:
    """Key to type of a pydantic model or a dataclass; empty for anything else."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return typing.get_type_hints(annotation)
    return {}


def _inner(annotation: Any) -> Any:
    """The type behind Optional and Annotated."""
    if get_origin(annotation) is typing.Annotated:
        return _inner(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, UnionType):
        models = [a for a in get_args(annotation) if a is not type(None)]
        return _inner(models[0]) if len(models) == 1 else annotation
    return annotation


def _hydra(verb: str, words: Sequence[str]) -> Any:
    """Hydra's composition as plain Python values."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            composed = hydra.compose(verb, overrides=list(words))
        return OmegaConf.to_container(composed, resolve=True, throw_on_missing=False)
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError("the configuration cannot be composed", got=str(error).strip()) from error


def _in_words(schema: type[BaseModel], error: Any) -> str:
    """One pydantic error as a sentence with the key, what was expected and what was given."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return _key_problem(schema, key) or f"unknown key '{key}'"
    given = error.get("input")
    if given == "???" or error["type"] == "missing":
        return f"the key '{key}' is needed: give {key}=…"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not key:
        return message
    shown = "" if isinstance(given, Mapping) else f", got {given!r}"
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"
