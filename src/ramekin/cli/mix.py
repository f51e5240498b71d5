"""`ramekin mix`: plan, preview and build mixtures of tasks."""

from collections.abc import Sequence

import typer

from ramekin.cli.words import AsJson, ConfigFile, Debug, Words, emit, refuse_several

__all__ = ["app", "build", "plan", "preview"]

app = typer.Typer(
    help="Plan a mixture of tasks, look at what it draws, and build its tokens.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def plan(
    words: Words = None, config: ConfigFile = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Say what a run would draw: rates, draws, passes over each task, caps that bind, tokens.

    Example: ramekin mix plan mixture=mini model=mini/base max_steps=1000 global_batch=64

    Example: ramekin mix plan mixture=flan_2021 mixture.hold_out=sentiment tokenizer=DIR data_root=DIR
    max_steps=30000 global_batch=64
    """
    _run("plan", words, config, as_json)


@app.command()
def preview(
    words: Words = None, config: ConfigFile = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Show the first examples that a run would draw, as a model would read them.

    Example: ramekin mix preview mixture=mini model=mini/base rows=4
    """
    _run("preview", words, config, as_json)


@app.command()
def build(
    words: Words = None, config: ConfigFile = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Tokenise what a run will draw, side by side; what is there already is kept.

    Example: ramekin mix build mixture=mini model=mini/base max_steps=1000 global_batch=64
    """
    _run("building", words, config, as_json)


def _run(what: str, words: Sequence[str] | None, config: ConfigFile, as_json: bool) -> None:
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.compose import compose
    from ramekin.recipes.mix_schema import MixConfig

    refuse_several("mix")
    settings = compose("mix", MixConfig, words or (), config_file=config)
    from ramekin.recipes import mix

    with terminal_progress() as progress:
        result = getattr(mix, what)(settings, progress)
    emit(result.to_json(), result.text(), as_json=as_json)
