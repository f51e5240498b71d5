"""`ramekin generate`: texts by a model, for prompts from anywhere, or line by line at the terminal."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, emit, refuse_several

__all__ = ["generate"]


def generate(
    words: Words = None,
    prompt: Annotated[
        list[str] | None, typer.Option("-p", "--prompt", help="A prompt; may be given several times.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask for prompts, and write as they come.")] = False,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write texts with a model.

    Example: ramekin generate model=google/flan-t5-small -p 'Translate to German: How old are you?'

    Example: ramekin generate model=runs/rte task=glue/rte file=rows.csv format=jsonl > answers.jsonl

    Prompts: -p, lines of standard input, or file=FILE (.txt, .jsonl, .csv, .tsv, .parquet); task= and
    template= put the columns of a table into words. n=4 sampling_top_p=0.9 draws four outputs a prompt;
    nothing limits sampling that was not asked for, and the settings in force are shown. stop=[…] prefix=
    options=[…] regex= json_schema=FILE shape outputs. Answers are kept as they come: the same command goes on
    after a kill. output=DIR writes outputs.jsonl and a report. --chat tries a model by hand.
    """
    from ramekin.recipes.compose import compose, words_of
    from ramekin.recipes.generate_schema import GenerateConfig

    refuse_several("generate")
    given = words_of({"prompts": prompt}) if prompt else []
    settings = compose("generate", GenerateConfig, [*given, *(words or ())], config_file=config)
    if chat:
        from ramekin.cli.chat import talk

        talk(settings)
        return
    if settings.file is None and not settings.prompts and not sys.stdin.isatty():
        settings = settings.with_values(file="-")

    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes import generate as recipe

    if dry_run:
        plan = recipe.plan(settings)
        emit(plan.to_json(), plan.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        result = recipe.execute(settings, progress, None if as_json else _print)
    if as_json or result.text():
        emit(result.to_json(), result.text(), as_json=as_json)


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        typer.echo(line)
    sys.stdout.flush()
