"""`ramekin sweep`."""

from typing import Annotated

import typer

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, emit, refuse_several

__all__ = ["sweep"]


def sweep(
    verb: Annotated[str, typer.Argument(metavar="VERB", help="train, evaluate, merge or fuse.")],
    words: Words = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Points side by side, one thread each; 0: one a core.")
    ] = 1,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Carry out a verb for every combination of several values.

    Example: ramekin sweep train model=mini/base task=mini/rte max_steps=50 learning_rate=1e-3,3e-3
    adapter=none,lora output=runs/sweep

    Example: ramekin sweep fuse method=task_arithmetic 'method.scaling_factor=range(0,1.1,0.1)'
    modelpool=Seq2SeqLMPool/flan-t5-base_glue taskpool=flan-t5_glue_text_generation output=runs/lambda

    Example: ramekin sweep merge method=task_arithmetic 'method.scaling_factor=range(0,1.1,0.1)'
    base=google/flan-t5-base models=[runs/rte,runs/cola] tasks=[glue/rte,glue/cola] output=runs/lambda

    A merge that is given tasks is formed in memory and evaluated, its models read once for all points;
    without tasks each point is a checkpoint. Each point has a folder below OUTPUT, named by its values; what
    is finished is not done again. cluster=ray carries the points out on a Ray cluster, one a worker.
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.sweep import SweepRequest, execute, plan

    refuse_several("sweep")
    request = SweepRequest(verb, tuple(words or ()), config, workers)
    if dry_run:
        planned = plan(request)
        emit(planned.to_json(), planned.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        result = execute(request, progress)
    emit(result.to_json(), result.text(), as_json=as_json)
