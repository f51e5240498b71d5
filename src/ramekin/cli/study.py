"""`ramekin study`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, emit

__all__ = ["study"]


def study(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train and score a grid: number of tasks by model by chains of thought by seed; draw the curves.

    Example: ramekin study name=mini output=runs/study

    Example: ramekin study name=mini num_tasks=[1,8] models=[small] seeds=[0,1,2] output=runs/study

    Example: ramekin study name=flan_2022 models=[small,base] tasks_root=CLONE output=runs/flan --dry-run

    Each training and evaluation has a folder below OUTPUT, named by its values; what is finished is not done
    again.
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.compose import compose
    from ramekin.recipes.studies.schema import StudyConfig

    asked = [f"study={word[5:]}" if word.startswith("name=") else word for word in words or ()]
    settings = compose("study", StudyConfig, asked, config_file=config)
    from ramekin.recipes import study as recipe

    if dry_run:
        planned = recipe.plan(settings)
        emit(planned.to_json(), planned.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        result = recipe.execute(settings, progress)
    emit(result.to_json(), result.text(), as_json=as_json)
