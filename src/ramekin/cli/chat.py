"""A model tried by hand: each line that is typed is a prompt of its own, answered as it is written.

These models have no memory of a conversation, so none is kept.
"""

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import typer

from ramekin.errors import RamekinError

if TYPE_CHECKING:
    from ramekin.recipes.engines import OpenEngine
    from ramekin.recipes.generate_schema import GenerateConfig

__all__ = ["talk"]

_HELP = """Each line is a prompt of its own. Further:
  /KEY=VALUE   change a setting: /n=4, /sampling_temperature=0.7, /max_target_tokens=40
  /            show the settings
  /quit        leave (or Ctrl-D)"""


def talk(config: "GenerateConfig") -> None:
    """Ask for prompts until there are no more.

    Args:
        config: the model and how it writes; its prompts have no effect.
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.generate import opened_engine, settings_text

    with terminal_progress() as progress:
        opened = opened_engine(config, progress)
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - input() then has lines to go back to
        typer.echo(_HELP, err=True)
    while True:
        try:
            line = input("> " if is_terminal else "").strip()
        except EOFError:
            break
        try:
            if line == "/quit":
                break
            if line.startswith("/"):
                config = _changed(config, line[1:]) if "=" in line else config
                typer.echo(settings_text(config.decoding, config), err=True)
            elif line:
                _answer(opened, config, line)
        except RamekinError as error:
            typer.echo(f"error: {error}", err=True)
    opened.engine.close()


def _changed(config: "GenerateConfig", word: str) -> "GenerateConfig":
    """The configuration with one word more.

    Raises:
        UsageError: the word is wrong, or about the model, which is open already.
    """
    from ramekin.errors import UsageError
    from ramekin.recipes.compose import compose, words_of
    from ramekin.recipes.generate_schema import GenerateConfig

    said: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True)
    changed = compose("generate", GenerateConfig, [*words_of(said), word])
    for key in ("model", "base", "backend", "device", "batch_tokens"):
        if getattr(changed, key) != getattr(config, key):
            raise UsageError("the model is open already", where=key, fix=f"start again with {word}")
    return changed


def _answer(opened: "OpenEngine", config: "GenerateConfig", text: str) -> None:
    """Write for one prompt, a single output piece by piece, several one after the other."""
    from ramekin.recipes.generate import asking, encoded_prompts
    from ramekin.recipes.generating.answering import streamed
    from ramekin.recipes.generating.prompts import lines_of

    (item,) = encoded_prompts(lines_of([text], "line"), opened.tokenizer, config).items
    request = asking(config, opened.tokenizer)(item.input_ids)
    alone = config.n == 1 and config.num_beams == 1

    def tell(number: int, piece: str) -> None:
        if alone:
            typer.echo(piece, nl=False)
            sys.stdout.flush()

    outputs = streamed(opened, request, tell)
    if alone:
        typer.echo()
    else:
        for output in outputs:
            typer.echo(output.text)
    for output in outputs:
        if config.log_probs:
            typer.echo(f"log p = {output.log_prob:.3f}, {len(output.tokens)} tokens", err=True)
        if output.ending == "length":
            typer.echo(f"(cut at {config.max_target_tokens} tokens)", err=True)
