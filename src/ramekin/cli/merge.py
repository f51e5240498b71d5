"""`ramekin merge`, and its check, inspection, search and statistics."""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from ramekin.cli.words import (
    AsJson,
    ConfigFile,
    Debug,
    DryRun,
    Words,
    carry_out,
    command,
    emit,
    refuse_several,
)
from ramekin.errors import UsageError

__all__ = ["check", "inspect", "merge", "search", "statistics"]

Mergekit: TypeAlias = Annotated[
    Path | None, typer.Option("--mergekit", help="A configuration of mergekit, read as it is.")
]


def merge(
    words: Words = None,
    config: ConfigFile = None,
    mergekit: Mergekit = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Merge checkpoints or adapters into one checkpoint, or into an adapter.

    Example: ramekin merge method=ties_merging method.scaling_factor=0.3 base=google/flan-t5-base
    models=[runs/rte,runs/cola] output=runs/ties

    29 methods, from simple_average to tsv_merge: docs/merging.md lists them with their settings, which may
    differ by model, layer and depth. fisher and regmean take statistics=[…] that ramekin merge statistics
    collected; regmean_plus_plus collects its own, from tasks=[…], one for each model. adapter_rank=16 writes
    a LoRA adapter; base may then be left out where all models are LoRA adapters. --dry-run reads headers only
    and shows the plan; ramekin merge check shows everything that stands in the way.
    """
    from ramekin.recipes.compose import compose
    from ramekin.recipes.merge_schema import MergeConfig

    refuse_several("merge")
    values = _values(mergekit, config)
    settings = compose("merge", MergeConfig, words or (), config_file=config, values=values)
    carry_out("merge", settings, dry_run=dry_run, as_json=as_json)


def check(
    words: Words = None,
    config: ConfigFile = None,
    mergekit: Mergekit = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Check models before they are merged: everything that stands in the way, from their headers alone.

    Example: ramekin merge check base=google/flan-t5-base models=[runs/rte,runs/cola] method=ties_merging

    Takes what ramekin merge takes; method and output may be left out. No weight is read, nothing is written.
    Each error, warning and notice names the models, the tensor or key, and what to do; docs/merging.md lists
    their kinds. Exits with 0 if there are no errors, else with the code that the merge would exit with: 2 if
    the list or the settings are wrong, 4 if the models are.
    """
    from ramekin.cli.progress import terminal_progress
    from ramekin.recipes.compose import compose
    from ramekin.recipes.merge_check import check as checked
    from ramekin.recipes.merge_check_schema import CheckConfig

    refuse_several("merge check")
    values = _values(mergekit, config)
    settings = compose("merge_check", CheckConfig, words or (), config_file=config, values=values)
    with terminal_progress() as progress:
        outcome, code = checked(settings, progress)
    emit(outcome.to_json(), outcome.text(), as_json=as_json)
    if code:
        raise typer.Exit(code)


def _values(mergekit: Path | None, config: Path | None) -> dict[str, Any] | None:
    """What mergekit's file says, in our words."""
    if mergekit is None:
        return None
    from ramekin.recipes.mergekit import convert
    from ramekin.text.strict_yaml import read_yaml

    if config is not None:
        raise UsageError("two files that say what to merge", fix="give --config or --mergekit")
    document = read_yaml(mergekit)
    return convert(document if isinstance(document, dict) else {}, where=str(mergekit))


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

search = command(
    "merge_search",
    "SearchConfig",
    """Search the settings of a method that score best on some tasks, and write that merge.

    Example: ramekin merge search method=task_arithmetic over={scaling_factor:[0,1.5]}
    base=google/flan-t5-base models=[runs/rte,runs/cola] tasks=[glue/rte,glue/cola] output=runs/search

    Example: ramekin merge search method=task_arithmetic method.scaling_factor=1 over={weights:[0,1]}
    strategy=cma_es points=100 base=... models=[...] tasks=[...] output=runs/search

    strategy=grid, nelder_mead or cma_es tries at most points= merges, each formed in a loaded model. The
    models are read once. weights= are searched model by model, by_model=[...] says what else is.
    held_out=SPLIT scores the best on rows that had no say. A search that was stopped goes on.
    """,
    module="merge_search_schema",
)

statistics = command(
    "merge_statistics",
    "StatisticsConfig",
    """Collect what methods with data need of a model: its Fisher information, Gram matrices of its inputs.

    Example: ramekin merge statistics model=runs/rte task=glue/rte limit=256 output=stats/rte, and then
    ramekin merge method=regmean base=google/flan-t5-base models=[runs/rte,runs/cola]
    statistics=[stats/rte,stats/cola] output=runs/merged

    kinds=[gram] is for regmean alone, kinds=[fisher] for fisher. Rows are of split=train unless told; splits
    that models are evaluated on are refused without allow_evaluation_split=true.
    """,
    module="merge_statistics_schema",
)
