"""`ramekin merge`."""

from ramekin.cli.words import command

__all__ = ["merge"]

merge = command(
    "merge",
    "MergeConfig",
    """Merge checkpoints or adapters into one checkpoint.

    Example: ramekin merge method=ties_merging method.scaling_factor=0.3 base=google/flan-t5-base
    models=[runs/rte,runs/cola] output=runs/ties

    25 methods, from simple_average to tsv_merge: docs/merging.md lists them with their settings, which may
    differ by model, layer and depth. --dry-run reads headers only and shows the plan.
    """,
)
