"""`ramekin fuse`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, emit

__all__ = ["fuse"]


def fuse(
    words: Words = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """FusionBench's sentence: merge a pool of models and evaluate the result.

    Example: ramekin fuse method=task_arithmetic method.scaling_factor=0.3
    modelpool=Seq2SeqLMPool/flan-t5-base_glue taskpool=flan-t5_glue_text_generation
    report_save_path=out.json

    Checkpoints are looked for below hub_root=DIR (folders named by hub id), then on the hub.
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import FuseConfig

    settings = compose("fuse", FuseConfig, words or (), config_file=config)

    from ramekin.recipes import fuse as recipe

    if dry_run:
        plan = recipe.plan(settings)
        emit(plan.to_json(), plan.text(), as_json=as_json)
        return
    with terminal_progress() as progress:
        result = recipe.execute(settings, progress)
    emit(result.to_json(), result.text(), as_json=as_json)
