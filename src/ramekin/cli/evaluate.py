"""`ramekin evaluate`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, run_verb

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
    run_verb("evaluate", "EvaluateConfig", words or (), config=config, dry_run=dry_run, as_json=as_json)
