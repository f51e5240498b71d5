"""What all verbs share: their arguments, their course, and how a result or an error is shown.

Results go to stdout, everything else (progress, warnings, errors) to stderr, so that `--json` can be piped.
"""

import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

import typer

from ramekin.errors import RamekinError, UsageError
from ramekin.train.launched import launched_rank, launched_size

__all__ = [
    "AsJson",
    "ConfigFile",
    "Debug",
    "DryRun",
    "Words",
    "carry_out",
    "command",
    "emit",
    "refuse_several",
    "show_error",
]

_PAUSE_SECONDS = 3.0

Words: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[group=option] [key=value] …", help="Choices and values, in Hydra's grammar."),
]
ConfigFile: TypeAlias = Annotated[
    Path | None, typer.Option("--config", help="A YAML file whose values are read before the words.")
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen; load no weights, write nothing.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Debug: TypeAlias = Annotated[bool, typer.Option("--debug", help="Show a traceback if something fails.")]


def command(
    verb: str,
    schema: str,
    text: str,
    *,
    module: str = "schema",
    first: Sequence[str] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
    of_several: bool = False,
) -> Callable[..., None]:
    """A verb as typer takes it: compose the configuration, plan or carry out the recipe, print the result.

    Args:
        verb: names the root configuration and the module of `recipes`.
        schema: the name of the configuration's model.
        text: the help.
        module: of `recipes`, where that model is.
        first: words that are put before the user's.
        renamed: the keys of words that the configuration calls otherwise.
        of_several: whether processes that were launched together can carry it out together.
    """

    def run(
        words: Words = None,
        config: ConfigFile = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
        debug: Debug = False,
    ) -> None:
        from ramekin.recipes.compose import compose

        if not of_several:
            refuse_several(verb.replace("_", " "))
        asked = [*first, *(_renamed(word, renamed) for word in words or ())]
        schemas = importlib.import_module(f"ramekin.recipes.{module}")
        settings = compose(verb, getattr(schemas, schema), asked, config_file=config)
        carry_out(verb, settings, dry_run=dry_run, as_json=as_json)

    run.__doc__ = text
    return run


def carry_out(verb: str, settings: Any, *, dry_run: bool, as_json: bool) -> None:
    """Plan or carry out the recipe of a verb, and print the result.

    Args:
        verb: names the module of `recipes`.
        settings: its configuration, checked.
        dry_run: say what would happen.
        as_json: print it as JSON.
    """
    from ramekin.cli.progress import terminal_progress

    # After the check, as a recipe may import torch.
    recipe = importlib.import_module(f"ramekin.recipes.{verb}")
    if dry_run:
        plan = recipe.plan(settings)
        emit(plan.to_json(), plan.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        result = recipe.execute(settings, progress)
    emit(result.to_json(), result.text(), as_json=as_json)


def _renamed(word: str, names: Mapping[str, str]) -> str:
    key, equals, value = word.partition("=")
    return f"{names.get(key, key)}{equals}{value}"


def refuse_several(verb: str) -> None:
    """Refuse to do the work of one process in several that were launched together.

    Raises:
        UsageError: there are several.
    """
    if launched_size() > 1:
        raise UsageError(
            f"ramekin {verb} is the work of one process",
            expected="1 process",
            got=f"{launched_size()} that were launched together",
            fix=f"run ramekin {verb} without a launcher",
        )


def emit(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a verb's result: its JSON form, or the text for people. Of several processes the first does."""
    if launched_rank() == 0:
        typer.echo(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str) if as_json else text)


def show_error(error: RamekinError) -> None:
    """Print an error on stderr, one line for one problem; of several processes, once if all have it."""
    process = launched_rank()
    if process > 0:
        if error.is_joint:
            return
        time.sleep(_PAUSE_SECONDS)  # where the first has the same to say, the launcher ends this one now
    typer.secho("error: ", fg=typer.colors.RED, bold=True, err=True, nl=False)
    typer.echo(f"process {process}: {error}" if process > 0 else str(error), err=True)
