"""The recipe behind `ramekin merge inspect`: the deltas of models as tables, files and pictures."""

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramekin.files import write_text
from ramekin.recipes.inspection_report import cosines, inspection_report, tensor_rows
from ramekin.recipes.merge import model_input
from ramekin.recipes.merge_inspect_schema import InspectConfig
from ramekin.recipes.models import locate
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import merging_device, places_of
from ramekin.recipes.progress import AbstractProgress, SilentProgress, reading
from ramekin.recipes.results import machine, report_text
from ramekin.recipes.runs import command_line, run_folder
from ramekin.report.values import CheckpointFact, RunFacts
from ramekin.report.write import write_report

if TYPE_CHECKING:
    from ramekin.merge.inputs import ModelInput
    from ramekin.merge.inspection.inspect import Inspection, InspectionPlan

__all__ = ["FORMAT", "document", "execute", "plan"]

FORMAT = "ramekin.inspection/1"


def plan(config: InspectConfig) -> Outcome:
    """What would be read, from the headers alone; an unfit pair of models is found here."""
    from ramekin.merge.inspection.inspect import plan_inspection

    base, models = _inputs(config, SilentProgress())
    planned = plan_inspection(
        base=base, models=models, density=config.density, rank=config.rank, with_spectra=config.spectra
    )
    values = {**dataclasses.asdict(planned), "output": _text(config.output)}
    return Outcome(values, _plan_text(planned, config))


def execute(config: InspectConfig, progress: AbstractProgress) -> Outcome:
    """Inspect, and write what was found where there is an output."""
    if config.output is None:
        return _inspected(config, None, progress)
    with run_folder(config.output, config) as folder:
        return _inspected(config, folder, progress)


def document(found: "Inspection") -> dict[str, Any]:
    """All that was measured and what stands out, as JSON values.

    Pairs of models are listed in the order in which their figures stand; what cannot be said is null.
    """
    from ramekin.merge.inspection.figures import pairs_of
    from ramekin.merge.inspection.readings import readings

    pairs = pairs_of(len(found.labels))
    return {
        "format": FORMAT,
        "readings": list(readings(found)),
        "pairs": [[found.labels[one], found.labels[other]] for one, other in pairs],
        "cosines": cosines(found),
        **found.to_json(),
    }


def _inspected(config: InspectConfig, folder: Path | None, progress: AbstractProgress) -> Outcome:
    from ramekin.merge.array import device_of
    from ramekin.merge.inspection.inspect import inspect_models

    started = datetime.now(UTC).isoformat(timespec="seconds")
    base, models = _inputs(config, progress)
    with reading(progress, f"inspect {len(models)} models") as on_read:
        found = inspect_models(
            base=base,
            models=models,
            density=config.density,
            rank=config.rank,
            with_spectra=config.spectra,
            device=device_of(merging_device(config.device)),
            threads=config.threads or None,
            progress=on_read,
        )
    for warning in found.warnings:
        progress.say(f"warning: {warning}")
    values = document(found)
    facts = RunFacts(warnings=found.warnings)
    if folder is not None:
        facts = _facts(config, base, models, found, started)
    report = inspection_report(found, config.base, facts)
    if folder is None:
        return Outcome(values, report_text(report))
    write_text(folder / "inspection.json", json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(folder / "tensors.csv", _csv(tensor_rows(found)))
    write_report(report, folder)
    return Outcome({"output": str(folder), **values}, f"{report_text(report)}\nwritten to {folder}")


def _inputs(config: InspectConfig, progress: AbstractProgress) -> tuple[Path, "list[ModelInput]"]:
    places = places_of(config)
    base: Path = locate(config.base, places, progress)
    return base, [model_input(name, config.base, places, progress) for name in config.models]


def _facts(
    config: InspectConfig, base: Path, models: "Sequence[ModelInput]", found: "Inspection", started: str
) -> RunFacts:
    from ramekin.weights.lineage import current_versions, read_lineage, weights_sha256

    def fact(name: str, folder: Path, parents: tuple[str, ...]) -> CheckpointFact:
        lineage = read_lineage(folder)
        operation = lineage.operation if lineage is not None else ""
        return CheckpointFact(name, operation, parents, sha256=weights_sha256(folder))

    return RunFacts(
        command=command_line(),
        seed=None,
        started=started,
        machine=machine(),
        parameters=found.whole.elements,
        versions=current_versions(),
        checkpoints=(
            fact(config.base, base, ()),
            *(fact(model.name, model.folder, (config.base,)) for model in models),
        ),
        warnings=found.warnings,
    )


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _plan_text(planned: "InspectionPlan", config: InspectConfig) -> str:
    matrices = (
        f"the singular values of {planned.matrices} matrices a model"
        if config.spectra
        else "no singular values"
    )
    return "\n".join(
        [
            f"inspect {len(planned.models)} models (density={config.density:g}, rank={config.rank})",
            f"  base    {planned.base}",
            *(f"  model   {name}" for name in planned.models),
            *([] if config.output is None else [f"  output  {config.output}"]),
            f"  {planned.parameters:,} parameters in {planned.tensors} tensors, {matrices}",
            f"  reads {planned.bytes_read / 1e6:,.1f} MB in {planned.passes} pass(es)"
            + (" and one over the matrices" if planned.matrices else "")
            + f", holds about {planned.peak_bytes / 1e6:,.1f} MB",
            *(f"  warning: {warning}" for warning in planned.warnings),
        ]
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
