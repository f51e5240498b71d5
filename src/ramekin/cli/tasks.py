"""`ramekin tasks`: browse the catalogue and render any template on any record."""

from typing import Annotated

import typer

from ramekin.cli.words import AsJson, Debug, Words, emit

__all__ = ["app", "list_tasks", "render", "show"]

app = typer.Typer(
    help="Browse the tasks; render their templates on records.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Such as glue/rte.")]


@app.command(name="list")
def list_tasks(words: Words = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """List all tasks, those below tasks_root=DIR included.

    Example: ramekin tasks list tasks_root=my-tasks
    """
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import TasksConfig
    from ramekin.recipes.tasks import listing

    result = listing(compose("tasks", TasksConfig, words or ()))
    emit(result.to_json(), result.text(), as_json=as_json)


@app.command()
def show(task: TaskName, words: Words = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Show a task: its source, columns, options, metrics and templates.

    Example: ramekin tasks show glue/rte
    """
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import TasksConfig
    from ramekin.recipes.tasks import description

    result = description(task, compose("tasks", TasksConfig, words or ()))
    emit(result.to_json(), result.text(), as_json=as_json)


@app.command()
def render(task: TaskName, words: Words = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Render a task's records: what a model would read and write.

    Example: ramekin tasks render mini/rte split=validation limit=3

    Example: ramekin tasks render glue/rte data_root=DIR templates=all
    """
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import TasksConfig
    from ramekin.recipes.tasks import rendering

    result = rendering(task, compose("tasks", TasksConfig, words or ()))
    emit(result.to_json(), result.text(), as_json=as_json)
