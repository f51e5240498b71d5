"""`ramekin train`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, emit

__all__ = ["train"]


def train(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a model on tasks, whole or with a LoRA adapter.

    Example: ramekin train model=google/flan-t5-base task=glue/rte adapter=lora output=runs/rte

    Example: ramekin train model=mini/base task=mini/rte max_steps=200 learning_rate=1e-3 output=runs/mini-rte

    The same command continues its own unfinished run (resume=auto).
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import TrainConfig

    settings = compose("train", TrainConfig, words or (), config_file=config)

    from ramekin.recipes import train as recipe

    if dry_run:
        plan = recipe.plan(settings)
        emit(plan.to_json(), plan.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        result = recipe.execute(settings, progress)
    emit(result.to_json(), result.text(), as_json=as_json)
