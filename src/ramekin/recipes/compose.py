"""From words on the command line to a validated configuration.

The words are Hydra overrides (`group=option key=value`). They are checked against the schema and the
configuration groups first, so that every problem is shown at once, each with its nearest name; then Hydra
composes, and pydantic validates. Loads neither torch nor transformers, and knows nothing of what a verb does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, final

from pydantic import BaseModel, ValidationError

from ramekin.errors import UsageError
from ramekin.recipes.groups import CONF, group_options, last_option, recipe_verb
from ramekin.recipes.keys import full_key, key_problem
from ramekin.recipes.layers import KeyPath, Values, layered, values_of
from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.registry import nearest, unknown_name
from ramekin.text.strict_yaml import read_yaml

__all__ = ["chosen_option", "compose", "words_of"]

C = TypeVar("C", bound=AbstractVerbConfig)
_SHOWN: Final = 6


def compose(
    verb: str,
    schema: type[C],
    words: Sequence[str],
    *,
    config_file: Path | None = None,
    values: Mapping[str, Any] | None = None,
) -> C:
    """The validated configuration of a verb.

    Words win over the file, and both over the recipe. An option that a word chooses of a group takes the
    place of all that the file says below the group, and of the recipe's keys of another option.

    Args:
        verb: the name of the root configuration in `conf/`.
        schema: the pydantic model it must fit.
        words: Hydra overrides, later ones winning.
        config_file: a YAML file whose values are read before the words.
        values: what such a file would say, read from elsewhere; instead of a file.

    Raises:
        UsageError: something is unknown, missing or of the wrong type; all problems at once.
    """
    data = _data_of(config_file) if config_file else values or {}
    anew = {group for group in map(_group_of, words) if group}
    file = _of_file(schema, {key: value for key, value in data.items() if key not in anew})
    given = _of_words(verb, schema, [*file.choices, *words])
    missing = _missing_groups(verb, [*data, *(word.partition("=")[0] for word in words)])
    problems = [*file.problems, *given.problems]
    if config_file and (recipe := _laid_under(schema, data, words)) in group_options("recipe", verb):
        problems += _in_both(verb, str(recipe), file.values, given.values, where=str(config_file))
    problems += [
        f"'{group}' is needed: {group}=…, one of {', '.join(_offered(group, verb))}" for group in missing
    ]
    try:
        composed = layered(verb, given.choices, file.values, given.values)
        config = schema.model_validate({**composed, **_told_choices(schema, given.choices)})
    except ValidationError as error:
        others = [each for each in error.errors() if each["loc"] not in [(group,) for group in missing]]
        raise UsageError.of_problems([*problems, *(_in_words(schema, each) for each in others)]) from error
    except UsageError as error:
        raise UsageError.of_problems([*problems, str(error)]) from error
    if problems:
        raise UsageError.of_problems(problems)
    return config


def chosen_option(group: str, words: Sequence[str], config_file: Path | None = None) -> str | None:
    """The option of a group that words choose, the last of them winning; None if they choose none."""
    data = _data_of(config_file) if config_file else {}
    given = [*_choices({key: value for key, value in data.items() if key == group}), *words]
    return last_option(group, given)


def _told_choices(schema: type[BaseModel], words: Sequence[str]) -> dict[str, str | None]:
    """The options that the configuration itself tells, such as the name of its recipe."""
    return {group: chosen_option(group, words) for group in getattr(schema, "CHOICES", ())}


@final
@dataclass(frozen=True)
class _Given:
    """What a file or words say, and what is wrong with them before anything is composed."""

    problems: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    """`group=option`, as Hydra takes it."""
    values: dict[KeyPath, Any] = field(default_factory=dict)
    """Later ones win."""


def _data_of(path: Path) -> Mapping[str, Any]:
    """What a YAML file holds, by its keys."""
    if path.is_dir():
        name = "config.yaml" if (path / "config.yaml").is_file() else "FILE.yaml"
        raise UsageError("the configuration file is a folder", where=str(path), fix=f"--config {path / name}")
    data = read_yaml(path)
    if not isinstance(data, Mapping):
        raise UsageError("a configuration file holds keys and values", where=str(path))
    return {str(key): value for key, value in data.items()}


def _of_file(schema: type[BaseModel], data: Mapping[str, Any]) -> _Given:
    """What a file's keys say; `method: ties_merging` chooses an option of a group."""
    given = _Given(choices=_choices(data))
    for key, value in data.items():
        if isinstance(value, str | None) and group_options(key):
            continue
        for path, leaf in _leaves(tuple(full_key(schema, key, value).split(".")), value):
            if problem := key_problem(schema, path):
                given.problems.append(problem)
            else:
                given.values[path] = leaf
    given.values.update(_taken_back(schema, given.values))
    return given


def _choices(data: Mapping[str, Any]) -> list[str]:
    """The options that a file's keys choose, as words."""
    chosen = {key: value for key, value in data.items() if isinstance(value, str | None)}
    return [f"{key}={value or 'null'}" for key, value in chosen.items() if group_options(key)]


def _group_of(word: str) -> str | None:
    """The group of which a word chooses an option, or none; None for any other word."""
    key, equals, value = word.partition("=")
    group = key.lstrip("+").partition("@")[0]
    return group if equals and not value.lstrip().startswith("{") and group_options(group) else None


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
            words += [f"++{'.'.join(path)}={_grammar(leaf)}" for path, leaf in _leaves((str(key),), value)]
    return words


def _leaves(path: KeyPath, value: Any) -> list[tuple[KeyPath, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves((*path, str(key)), inner)]
    return [(path, value)]


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


def _of_words(verb: str, schema: type[BaseModel], words: Sequence[str]) -> _Given:
    """What words say, in Hydra's grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    given = _Given()
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            given.problems.append(f"'{word}' is not group=option or key=value: {str(error).splitlines()[0]}")
            continue
        key = override.key_or_group.partition("@")[0]
        value = override.value()
        options = group_options(key, verb)
        if value is None and "none" in options:
            value, word = "none", f"{key}=none"
        if options and value is None:
            # Hydra has no word for none of a group's options: the words before that chose one go.
            given.choices[:] = [each for each in given.choices if each.partition("=")[0] != key]
        elif options and isinstance(value, str):
            if value not in options:
                given.problems.append(_no_option(verb, key, value))
                # Stands in so that the other words' values can be checked in the same go.
                word = f"{key}={nearest(value, options) or options[0]}"
            given.choices.append(word)
        elif override.is_delete():
            given.choices.append(word)
        elif override.is_sweep_override():
            given.problems.append(f"'{word}' has several values: give one")
        else:
            path = tuple(full_key(schema, key, value).split("."))
            if problem := key_problem(schema, path):
                given.problems.append(problem)
            else:
                given.values.pop(path, None)  # it comes last now
                given.values[path] = value
    given.values.update(_taken_back(schema, given.values))
    return given


def _taken_back(schema: type[BaseModel], values: Values) -> dict[KeyPath, None]:
    """Keys of which what is said before is taken back, as their alternative is given a value."""
    found: dict[KeyPath, None] = {}
    for pair in getattr(schema, "ALTERNATIVES", ()):
        for key, other in (pair, reversed(pair)):
            is_given = any(value not in (None, [], "") for value in _at(values, key))
            if is_given and not _at(values, other):
                found[tuple(other.split("."))] = None
    return found


def _at(values: Values, key: str) -> list[Any]:
    """The values of a key and of the keys below it."""
    parts = tuple(key.split("."))
    return [value for path, value in values.items() if path[: len(parts)] == parts]


def _no_option(verb: str, group: str, name: str) -> str:
    """What is wrong with the name of an option: there is none such, or it is another verb's."""
    if name in group_options(group):
        own = recipe_verb(name)
        return f"the {group} '{name}' is none for 'ramekin {verb}': ramekin {own} {group}={name}"
    return unknown_name(group, name, _offered(group, verb))


def _offered(group: str, verb: str) -> tuple[str, ...]:
    """The options that a verb has to offer: `ramekin run` hands trainings on to `ramekin train`."""
    return group_options(group, None if verb == "run" else verb)


def _missing_groups(verb: str, keys: Iterable[str]) -> list[str]:
    """The groups that the verb's root file leaves open (`method: null`) and no key gives."""
    given = {key.lstrip("+").partition(".")[0] for key in keys}
    wanted = [name for entry in read_yaml(CONF / f"{verb}.yaml")["defaults"] if isinstance(entry, Mapping)
              for name, option in entry.items() if option is None]  # fmt: skip
    return [group for group in wanted if group not in given and not group.startswith("optional ")]


def _laid_under(schema: type[BaseModel], data: Mapping[str, Any], words: Sequence[str]) -> str | None:
    """The recipe that words choose, where it is not the one that the file's keys were laid over."""
    recipe = chosen_option("recipe", words) if "recipe" in getattr(schema, "CHOICES", ()) else None
    return recipe if recipe != data.get("recipe") else None


def _in_both(verb: str, recipe: str, of_file: Values, of_words: Values, *, where: str) -> list[str]:
    """What is wrong with a file whose keys have other values than the recipe that a word chooses."""
    bare, theirs = (values_of(verb, choices) for choices in ([], [f"recipe={recipe}"]))
    both = [
        ".".join(path)
        for path, value in of_file.items()
        if not any(path[:n] in of_words for n in range(1, len(path) + 1))
        and _below(theirs, path) not in (value, _below(bare, path))
    ]
    if not both:
        return []
    error = UsageError(
        f"recipe={recipe} and the configuration file differ",
        where=where,
        expected="keys that the recipe does not set",
        got=", ".join(both[:_SHOWN]) + (f" and {len(both) - _SHOWN} more" if len(both) > _SHOWN else ""),
        fix=f"write 'recipe: {recipe}' into the file for its keys to win, or give the keys as words",
    )
    return [str(error)]


def _below(values: Any, path: KeyPath) -> Any:
    """The value at a path of nested ones; None where there is none."""
    for part in path:
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _in_words(schema: type[BaseModel], error: Any) -> str:
    """One pydantic error as a sentence with the key, what was expected and what was given."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return key_problem(schema, key.split(".")) or f"unknown key '{key}'"
    given = error.get("input")
    if given == "???" or error["type"] == "missing":
        return f"the key '{key}' is needed: give {key}=…"
    message = str(error["msg"]).removeprefix("Value error, ").replace("valid tuple", "valid list")
    if not key:
        return message
    shown = "" if isinstance(given, Mapping) else f", got {given!r}"
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"
