"""The recipe behind `ramekin merge`: models by name, a method, a checkpoint or an adapter's folder out."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from ramekin.errors import UsageError
from ramekin.recipes.adaptation_rows import collects_on_the_way, examples_of_models, learns_on_the_way
from ramekin.recipes.merge_schema import AbstractModelsConfig, MergeConfig, method_settings
from ramekin.recipes.models import locate, locate_base
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, merging_device, places_of
from ramekin.recipes.progress import AbstractProgress, SilentProgress, reading

if TYPE_CHECKING:
    from ramekin.merge.inputs import ModelInput
    from ramekin.merge.plan import MergePlan
    from ramekin.merge.run import MergeReport

__all__ = [
    "adapter_base",
    "execute",
    "merge_inputs",
    "model_input",
    "plan",
    "plan_text",
    "run_merge",
]

_LONGEST = 80  # characters of a setting that are shown


def plan(config: MergeConfig) -> Outcome:
    """What would be read and written, from the headers alone; an unfit pair of models is found here."""
    from ramekin.merge.extraction import plan_adapter
    from ramekin.merge.plan import plan_merge

    rank = config.adapter_rank
    base, models = merge_inputs(config, SilentProgress(), may_lack_base=rank is not None)
    later = _collects(config)
    sets = examples_of_models(config) if later else ()
    planned = (plan_merge if rank is None else partial(plan_adapter, rank=rank))(
        config.method["name"],
        base=base,
        models=models,
        output=_output(config),
        settings=method_settings(config.method),
        overwrite=config.overwrite,
        **{**config.steps, **({"statistics": None} if later else {})},
    )
    rows = [line for each in sets for line in each.preview()]
    return Outcome(dataclasses.asdict(planned), "\n".join([plan_text(planned), *rows]))


def execute(config: MergeConfig, progress: AbstractProgress) -> Outcome:
    """Merge and write the checkpoint, or the adapter."""
    base, models = merge_inputs(config, progress, may_lack_base=config.adapter_rank is not None)
    with _from_rows(config, base, models, progress) as made:
        report = run_merge(
            made.method,
            base,
            models,
            _output(config),
            progress,
            **{**config.steps, "statistics": made.statistics},
            about=made.about,
            shard_bytes=config.shard_bytes,
            verify=config.verify,
            device=config.device,
            threads=config.threads,
            overwrite=config.overwrite,
            adapter_rank=config.adapter_rank,
            adapter_rest=config.adapter_rest,
            base_name=config.base,
        )
    lines = [
        f"{report.output}: {report.parameters:,} parameters in {report.tensors} tensors, {report.dtype}",
        *_adapter_lines(report.adapter),
        f"  {report.method} of {', '.join(report.models)}"
        + "".join(f", {key}={_shortened(value)}" for key, value in report.settings.items()),
        f"  read {report.bytes_read / 1e6:,.1f} MB, wrote {report.bytes_written / 1e6:,.1f} MB "
        f"in {report.seconds:.1f} s, sha256 {report.sha256}",
        *(f"  warning: {warning}" for warning in report.warnings),
    ]
    return Outcome(dataclasses.asdict(report), "\n".join(lines))


def run_merge(
    method: Mapping[str, Any],
    base: Path | None,
    models: Sequence["ModelInput"],
    output: Path,
    progress: AbstractProgress,
    *,
    statistics: Sequence[Path] = (),
    post: Mapping[str, Any] | None = None,
    align: Mapping[str, Any] | None = None,
    dtype: Any = "same",
    shard_bytes: int | None = None,
    verify: bool = False,
    device: str = "auto",
    threads: int = 0,
    overwrite: bool = False,
    adapter_rank: int | None = None,
    adapter_rest: Any = "refuse",
    base_name: str | None = None,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> "MergeReport":
    """Merge by a configured method, with its progress shown and its warnings said.

    The processor is the device unless another is named: a merge is mostly reading and writing. With an
    `adapter_rank` the output is an adapter, which records its base by the name. The lineage also says what is
    `about`.
    """
    from ramekin.merge.array import device_of
    from ramekin.merge.extraction import merge_to_adapter
    from ramekin.merge.run import Walking, merge

    with reading(progress, f"{method['name']} of {len(models)} models") as on_read:
        where = device_of(merging_device(device))
        if adapter_rank is None:
            write = partial(
                merge, shard_bytes=shard_bytes, device=where, threads=threads or None, progress=on_read
            )
        else:
            write = partial(
                merge_to_adapter,
                rank=adapter_rank,
                rest=adapter_rest,
                base_name=base_name,
                walking=Walking(where, threads or None, progress=on_read),
            )
        report = write(
            method["name"],
            base=base,
            models=models,
            output=output,
            settings=method_settings(method),
            statistics=statistics,
            post=post,
            align=align,
            dtype=dtype,
            verify=verify,
            overwrite=overwrite,
            about=about,
        )
    for warning in report.warnings:
        progress.say(f"warning: {warning}")
    return report


def _shortened(value: object) -> str:
    """A setting for people; weights by layer would fill the screen."""
    said = str(value)
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


def plan_text(planned: "MergePlan") -> str:
    """A plan for people."""
    steps = {"post": planned.post, "align": planned.align}
    said = {**planned.settings, **{key: step["name"] for key, step in steps.items() if step is not None}}
    settings = ", ".join(f"{key}={value}" for key, value in said.items())
    return "\n".join(
        [
            f"{planned.method} of {len(planned.models)} models" + (f" ({settings})" if settings else ""),
            f"  base    {planned.base or 'none'}",
            *(f"  model   {name}" for name in planned.models),
            *(() if planned.output is None else (f"  output  {planned.output}",)),
            *_planned_adapter_lines(planned.adapter),
            f"  {planned.parameters:,} parameters in {planned.tensors} tensors, written as {planned.dtype}",
            *_tied_lines(planned),
            f"  reads {planned.bytes_read / 1e6:,.1f} MB in {planned.passes} pass(es), "
            f"writes {planned.bytes_written / 1e6:,.1f} MB, holds about {planned.peak_bytes / 1e6:,.1f} MB"
            + ("" if planned.bytes_free is None else f"; {planned.bytes_free / 1e9:,.1f} GB of disk free"),
            *(f"  warning: {warning}" for warning in planned.warnings),
        ]
    )


def _tied_lines(planned: "MergePlan") -> list[str]:
    """What is one tensor under several names."""
    found = []
    if planned.head == "embedding":
        found.append("  tied: the embedding is the head too, and is merged once")
    if planned.second_names:
        found.append(f"  the embedding is stored again as {', '.join(planned.second_names)}: merged once")
    return found


def _planned_adapter_lines(adapter: Mapping[str, Any] | None) -> list[str]:
    if adapter is None:
        return []
    how = "" if adapter["reads_the_base"] else ", without the base's weights"
    return [f"  an adapter of rank {adapter['rank']} at most, on {adapter['matrices']} matrices at most{how}"]


def _adapter_lines(adapter: Mapping[str, Any] | None) -> list[str]:
    """What an adapter leaves out of the merge, for people."""
    if adapter is None:
        return []
    residual = adapter["residual"]
    return [
        f"  an adapter of rank {adapter['rank']} at most, on {adapter['matrices']} matrices",
        f"  left out, as a share of the length of the change: {residual['whole']:.3g} of all, of a matrix "
        f"{residual['median']:.3g} (median) and {residual['worst']:.3g} ({residual['worst_tensor']})",
    ]


def _collects(config: MergeConfig) -> bool:
    """Whether the method collects what it needs while it merges.

    Raises:
        UsageError: tasks for a method that reads no rows, or statistics for one that collects its own.
    """
    on_the_way = collects_on_the_way(config)
    if config.data.tasks and not on_the_way:
        raise UsageError(
            f"{config.method['name']} reads no rows while it merges",
            got=f"tasks=[{','.join(config.data.tasks)}]",
            fix="leave out tasks; fisher and regmean take what ramekin merge statistics collected, and given "
            "weights are not learned",
        )
    if config.statistics and on_the_way:
        raise UsageError(
            f"{config.method['name']} collects its statistics while it merges",
            fix="leave out statistics, and name the task of each model: tasks=[…]",
        )
    return on_the_way


@final
@dataclasses.dataclass(frozen=True, slots=True)
class _FromRows:
    """What a method takes beside the models, with what was made of rows for this merge."""

    method: Mapping[str, Any]
    statistics: Sequence[Path]
    about: Mapping[str, Any]
    """What the lineage says of it."""


@contextlib.contextmanager
def _from_rows(
    config: MergeConfig, base: Path | None, models: Sequence["ModelInput"], progress: AbstractProgress
) -> Iterator[_FromRows]:
    """The method and its statistics, after what needs rows: statistics collected, or weights learned."""
    if not _collects(config):
        yield _FromRows(config.method, config.statistics, {})
    elif learns_on_the_way(config):
        from ramekin.recipes.merge_learned import learned_weights

        learned = learned_weights(config, base, models, _output(config), progress)
        yield _FromRows(learned.method, config.statistics, {"learned": learned.about})
    else:
        from ramekin.recipes.merge_propagated import propagated_statistics

        with propagated_statistics(config, base, models, _output(config), progress) as folders:
            yield _FromRows(config.method, folders, {})


def _output(config: MergeConfig) -> Path:
    if config.output is None:
        raise UsageError("a merge needs a place for its checkpoint", fix="add output=DIR")
    return config.output


def merge_inputs(
    config: AbstractModelsConfig, progress: AbstractProgress, *, may_lack_base: bool = False
) -> tuple[Path | None, list["ModelInput"]]:
    """The folders of the base and of the models that a configuration names.

    Args:
        config: which they are.
        progress: told when a base is being made.
        may_lack_base: whether adapters may be merged beside any base, without one.
    """
    from ramekin.merge.inputs import ModelInput

    places = places_of(config)
    base = locate(config.base, places, progress) if config.base is not None else None
    if base is None and may_lack_base:
        return None, [ModelInput(name, locate(name, places, progress)) for name in config.models]
    return base, [model_input(name, config.base, places, progress) for name in config.models]


def model_input(name: str, base: str | None, places: Places, progress: AbstractProgress) -> Any:
    """A model by name as what `merge` takes; an adapter with the folder of its base."""
    from ramekin.merge.inputs import ModelInput

    folder: Path = locate(name, places, progress)
    return ModelInput(name, folder, adapter_base(folder, base, places, progress, hashed=True))


def adapter_base(
    folder: Path, base: str | None, places: Places, progress: AbstractProgress, *, hashed: bool
) -> Path | None:
    """The folder of an adapter's base; None for a checkpoint.

    Args:
        folder: of a checkpoint or an adapter.
        base: the name of the base, where one is named.
        places: where names are looked up.
        progress: told when a base is being made.
        hashed: whether a base without a manifest is hashed to compare it with what the adapter records.

    Raises:
        WeightsError: the base is not found, or is not the one that the adapter was trained on.
    """
    from ramekin.weights import adapter_base as bases
    from ramekin.weights.adapter_header import read_recorded_base
    from ramekin.weights.layout import is_adapter
    from ramekin.weights.lineage import recorded_sha256, weights_sha256

    if not is_adapter(folder):
        return None
    return bases.locate_base(
        folder,
        read_recorded_base(folder),
        base=locate_base(folder, base, places, progress),
        hub_root=places.hub_root,
        hash_of=weights_sha256 if hashed else recorded_sha256,
    )
