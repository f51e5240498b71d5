"""`ramekin serve`."""

import os

import typer

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, emit, refuse_several

__all__ = ["serve"]


def serve(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Serve models over HTTP: OpenAI's completions, rankings of options, health and counts.

    Example: ramekin serve model=runs/rte port=8000

    Example: ramekin serve models=[runs/rte,runs/cola] base=google/flan-t5-base queue=64 seconds=30

    One line says when it is ready, and one a request follows on stderr (access_log=false: none). SIGTERM
    or Ctrl-C lets what is under way end (grace_seconds=20). Any host but 127.0.0.1 needs a token:
    RAMEKIN_TOKEN in the environment, or token_file=FILE. See docs/guides/serve.md.
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.compose import compose
    from ramekin.recipes.serve_schema import ServeConfig

    refuse_several("serve")
    settings = compose("serve", ServeConfig, words or (), config_file=config)
    from ramekin.recipes import serve as recipe

    if dry_run:
        plan = recipe.plan(settings)
        emit(plan.to_json(), plan.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        ready = recipe.prepare(settings, progress)

    def tell_ready() -> None:
        told = ready.outcome()
        emit(told.to_json(), told.text(), as_json=as_json)

    ended = recipe.serve(
        ready,
        on_ready=tell_ready,
        on_line=lambda line: typer.echo(line, err=True),
        access_log=settings.access_log,
    )
    emit(ended.to_json(), ended.text(), as_json=as_json)
    if ended.values["left_behind"]:
        # Python would end under a thread that computes, which aborts the process with another exit code.
        os._exit(0)
