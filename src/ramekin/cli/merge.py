"""`ramekin merge`."""

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, run_verb

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
    run_verb("merge", "MergeConfig", words or (), config=config, dry_run=dry_run, as_json=as_json)
