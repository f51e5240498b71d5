"""`ramekin merge`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, emit

__all__ = ["merge"]


def merge(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Merge checkpoints or adapters into one checkpoint.

    Example: ramekin merge method=ties_merging method.scaling_factor=0.3 base=google/flan-t5-base
    models=[runs/rte,runs/cola] output=runs/ties

    Methods: simple_average, task_arithmetic, ties_merging. --dry-run reads headers only and shows the plan.
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import MergeConfig

    settings = compose("merge", MergeConfig, words or (), config_file=config)

    from ramekin.recipes import merge as recipe

    if dry_run:
        plan = recipe.plan(settings)
        emit(plan.to_json(), plan.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        result = recipe.execute(settings, progress)
    emit(result.to_json(), result.text(), as_json=as_json)
