"""`ramekin evaluate`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, emit

__all__ = ["evaluate"]


def evaluate(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Evaluate a model on tasks; a killed evaluation continues.

    Example: ramekin evaluate model=runs/ties tasks=[glue/rte,glue/cola] data_root=DIR output=runs/ties-eval
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import EvaluateConfig

    settings = compose("evaluate", EvaluateConfig, words or (), config_file=config)

    from ramekin.recipes import evaluate as recipe

    if dry_run:
        plan = recipe.plan(settings)
        emit(plan.to_json(), plan.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        result = recipe.execute(settings, progress)
    emit(result.to_json(), result.text(), as_json=as_json)
