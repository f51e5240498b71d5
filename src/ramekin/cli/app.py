"""The typer application: which verbs there are, and how an error is shown.

An error of ours is one line on stderr and its exit code; a traceback is shown only with `--debug`.
"""

import gc
import os
import sys

import typer

from ramekin.cli import (
    demo,
    evaluate,
    export,
    fuse,
    generate,
    merge,
    mix,
    run,
    serve,
    study,
    sweep,
    tasks,
    train,
)
from ramekin.cli.heap import keep_freed_memory
from ramekin.cli.stopping import StoppableVerbs
from ramekin.cli.words import show_error
from ramekin.errors import RamekinError

__all__ = ["app", "main"]

app = typer.Typer(
    name="ramekin",
    cls=StoppableVerbs,
    help="Instruction-tune, merge, evaluate and serve text-to-text language models: T5, Flan-T5, T0 and kin.",
    epilog=(
        "Exit codes: 0 done, 2 the command is wrong, 3 data, 4 weights, 5 disk or memory, "
        "6 stopped by a signal (run again to continue), 7 the folder is in use."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich reads its Markdown modules to print a help page: 0.2 s
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="demo")(demo.demo)
app.add_typer(tasks.app, name="tasks")
app.add_typer(mix.app, name="mix")
app.command(name="train")(train.train)
app.command(name="merge")(merge.merge)
app.command(name="merge check")(merge.check)
app.command(name="merge inspect")(merge.inspect)
app.command(name="merge search")(merge.search)
app.command(name="merge statistics")(merge.statistics)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="evaluate diff")(evaluate.diff)
app.command(name="fuse")(fuse.fuse)
app.command(name="generate")(generate.generate)
app.command(name="export")(export.export)
app.command(name="sweep")(sweep.sweep)
app.command(name="study")(study.study)
app.command(name="run")(run.run)
app.command(name="serve")(serve.serve)


@app.callback(invoke_without_command=True)
def _top(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        from ramekin import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """The console script."""
    # Idle threads of libgomp spin by default; beside another program they wait for each other's turn of a
    # core. There mini/base is made at 2,600 to 5,900 tokens a second with so many turns, at 1,100 to 3,600
    # with 20,000.
    os.environ.setdefault("GOMP_SPINCOUNT", "6000")
    keep_freed_memory()
    if "--debug" in sys.argv[1:]:
        sys.argv.remove("--debug")
        app()
    code = 0
    try:
        app()
    except RamekinError as error:
        show_error(error)
        code = error.exit_code
    # The error is gone here, and with it the frames that held models and connections. Were these to end with
    # Python, a thread of gloo's that still holds a tensor could abort the process with another exit code.
    if os.environ.get("WORLD_SIZE", "1") != "1":
        gc.collect()
    raise SystemExit(code)
