"""What all verbs share: their arguments, and how a result or an error is shown.

Results go to stdout, everything else (progress, warnings, errors) to stderr, so that `--json` can be piped.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from ramekin.errors import RamekinError

__all__ = ["AsJson", "ConfigFile", "Debug", "DryRun", "Words", "emit", "show_error"]

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


def emit(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a verb's result: its JSON form, or the text for people."""
    typer.echo(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str) if as_json else text)


def show_error(error: RamekinError) -> None:
    """Print an error on stderr, one line for one problem."""
    typer.secho("error: ", fg=typer.colors.RED, bold=True, err=True, nl=False)
    typer.echo(str(error), err=True)
