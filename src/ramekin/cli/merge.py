"""`ramekin merge` and `ramekin merge inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from ramekin.cli.words import AsJson, ConfigFile, Debug, DryRun, Words, carry_out, command, refuse_several
from ramekin.errors import UsageError

__all__ = ["inspect", "merge"]


def merge(
    words: Words = None,
    config: ConfigFile = None,
    mergekit: Annotated[
        Path | None, typer.Option("--mergekit", help="A configuration of mergekit, read as it is.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Merge checkpoints or adapters into one checkpoint.

    Example: ramekin merge method=ties_merging method.scaling_factor=0.3 base=google/flan-t5-base
    models=[runs/rte,runs/cola] output=runs/ties

    25 methods, from simple_average to tsv_merge: docs/merging.md lists them with their settings, which may
    differ by model, layer and depth. --dry-run reads headers only and shows the plan.
    """
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import MergeConfig

    refuse_several("merge")
    values = None
    if mergekit is not None:
        from ramekin.recipes.mergekit import convert
        from ramekin.text.strict_yaml import read_yaml

        if config is not None:
            raise UsageError("two files that say what to merge", fix="give --config or --mergekit")
        document = read_yaml(mergekit)
        values = convert(document if isinstance(document, dict) else {}, where=str(mergekit))
    settings = compose("merge", MergeConfig, words or (), config_file=config, values=values)
    carry_out("merge", settings, dry_run=dry_run, as_json=as_json)


inspect = command(
    "merge_inspect",
    "InspectConfig",
    """Show what the deltas of models are like before they are merged: lengths, angles, conflicts, subspaces.

    Example: ramekin merge inspect base=google/flan-t5-base models=[runs/rte,runs/cola] output=runs/inspection

    Tables are printed; output=DIR also gets report.html with heat maps, inspection.json and tensors.csv.
    density= is what TIES would keep; spectra=false leaves out the singular values, which take most of the
    time.
    """,
    module="merge_inspect_schema",
)
