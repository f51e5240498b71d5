"""The recipe behind `ramekin merge`: models by name, a method, a checkpoint folder out."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramekin.errors import UsageError
from ramekin.recipes.models import locate, locate_base
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, places_of
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.schema import AbstractModelsConfig, MergeConfig

if TYPE_CHECKING:
    from ramekin.merge.inputs import ModelInput
    from ramekin.merge.plan import MergePlan
    from ramekin.merge.run import MergeReport

__all__ = [
    "adapter_base",
    "execute",
    "merge_inputs",
    "method_settings",
    "model_input",
    "plan",
    "plan_text",
    "run_merge",
]


def plan(config: MergeConfig) -> Outcome:
    """What would be read and written, from the headers alone; an unfit pair of models is found here."""
    from ramekin.merge.plan import plan_merge

    base, models = merge_inputs(config, SilentProgress())
    planned = plan_merge(
        config.method["name"],
        base=base,
        models=models,
        output=_output(config),
        settings=method_settings(config.method),
        post=config.post,
        dtype=config.dtype,
        overwrite=config.overwrite,
    )
    return Outcome(dataclasses.asdict(planned), plan_text(planned))


def execute(config: MergeConfig, progress: AbstractProgress) -> Outcome:
    """Merge and write the checkpoint."""
    base, models = merge_inputs(config, progress)
    report = run_merge(
        config.method,
        base,
        models,
        _output(config),
        progress,
        post=config.post,
        dtype=config.dtype,
        shard_bytes=config.shard_bytes,
        verify=config.verify,
        device=config.device,
        threads=config.threads,
        overwrite=config.overwrite,
    )
    lines = [
        f"{report.output}: {report.parameters:,} parameters in {report.tensors} tensors, {report.dtype}",
        f"  {report.method} of {', '.join(report.models)}"
        + "".join(f", {key}={value}" for key, value in report.settings.items()),
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
    post: Mapping[str, Any] | None = None,
    dtype: Any = "same",
    shard_bytes: int | None = None,
    verify: bool = False,
    device: str = "auto",
    threads: int = 0,
    overwrite: bool = False,
) -> "MergeReport":
    """Merge by a configured method, with its progress shown and its warnings said.

    The processor is the device unless another is named: a merge is mostly reading and writing.
    """
    from ramekin.merge.array import device_of
    from ramekin.merge.run import merge

    with progress.stage(f"{method['name']} of {len(models)} models", total=100) as stage:
        shown = 0.0

        def on_read(done: int, total: int) -> None:
            nonlocal shown
            percent = 100 * done / max(1, total)
            stage.advance(percent - shown, f"{done / 1e6:,.0f} MB read")
            shown = percent

        report = merge(
            method["name"],
            base=base,
            models=models,
            output=output,
            settings=method_settings(method),
            post=post,
            dtype=dtype,
            shard_bytes=shard_bytes,
            verify=verify,
            device=device_of("cpu" if device == "auto" else device),
            threads=threads or None,
            overwrite=overwrite,
            progress=on_read,
        )
    for warning in report.warnings:
        progress.say(f"warning: {warning}")
    return report


def method_settings(method: Mapping[str, Any]) -> dict[str, Any]:
    """A configured method without its name."""
    return {key: value for key, value in method.items() if key != "name"}


def plan_text(planned: "MergePlan") -> str:
    """A plan for people."""
    said = {**planned.settings, **({} if planned.post is None else {"post": planned.post["name"]})}
    settings = ", ".join(f"{key}={value}" for key, value in said.items())
    return "\n".join(
        [
            f"{planned.method} of {len(planned.models)} models" + (f" ({settings})" if settings else ""),
            f"  base    {planned.base}",
            *(f"  model   {name}" for name in planned.models),
            *(f"  output  {place}" for place in planned.outputs),
            f"  {planned.parameters:,} parameters in {planned.tensors} tensors, written as {planned.dtype}",
            f"  reads {planned.bytes_read / 1e6:,.1f} MB in {planned.passes} pass(es), "
            f"writes {planned.bytes_written / 1e6:,.1f} MB, holds about {planned.peak_bytes / 1e6:,.1f} MB",
            *(f"  warning: {warning}" for warning in planned.warnings),
        ]
    )


def _output(config: MergeConfig) -> Path:
    if config.output is None:
        raise UsageError("a merge needs a place for its checkpoint", fix="add output=DIR")
    return config.output


def merge_inputs(
    config: AbstractModelsConfig, progress: AbstractProgress
) -> tuple[Path | None, list["ModelInput"]]:
    """The folders of the base and of the models that a configuration names."""
    places = places_of(config)
    base = locate(config.base, places, progress) if config.base is not None else None
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
