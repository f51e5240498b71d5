"""The recipe behind `ramekin merge check`: models by name, everything that stands in the way of a merge."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramekin.errors import RamekinError, UsageError
from ramekin.recipes.merge import adapter_base
from ramekin.recipes.merge_check_schema import CheckConfig
from ramekin.recipes.merge_schema import method_settings
from ramekin.recipes.models import locate
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import places_of
from ramekin.recipes.progress import AbstractProgress

if TYPE_CHECKING:
    from ramekin.merge.findings import Finding
    from ramekin.merge.preflight import Preflight

__all__ = ["FORMAT", "check"]

FORMAT = "ramekin.merge-check/1"
_TENSORS = 3


def check(config: CheckConfig, progress: AbstractProgress) -> tuple[Outcome, int]:
    """Everything that headers tell of a merge, and the exit code of the merge: 0 where nothing stops it.

    A model that is not found is a finding, too, and the others are checked.
    """
    from ramekin.merge.findings import finding_of
    from ramekin.merge.inputs import ModelInput
    from ramekin.merge.plan import check_output
    from ramekin.merge.preflight import preflight

    places = places_of(config)
    before: list[Finding] = []
    base: Path | None = None
    try:
        base = None if config.base is None else locate(config.base, places, progress)
    except RamekinError as error:
        before.append(finding_of(error, models=(f"the base ({config.base})",), otherwise="not-found"))
    models: list[ModelInput] = []
    missing: list[str] = []
    for name in config.models:
        try:
            folder = locate(name, places, progress)
        except RamekinError as error:
            before.append(finding_of(error, models=(f"'{name}'",), otherwise="not-found"))
            missing.append(f"'{name}'")
            continue
        own = None
        if base is not None or config.adapter_rank is None:  # else it is merged beside any base
            try:
                own = adapter_base(
                    folder, config.base if base is not None else None, places, progress, hashed=False
                )
            except RamekinError as error:
                before.append(finding_of(error, models=(f"'{name}' ({folder})",), otherwise="not-found"))
                missing.append(f"'{name}'")
                continue
        models.append(ModelInput(name, folder, own))
    if config.output is not None:
        try:
            check_output(config.output, base, models, overwrite=config.overwrite)
        except RamekinError as error:
            before.append(finding_of(error, models=(), otherwise="output"))
    method = config.method
    before += _without_rows(config)
    found = preflight(
        None if method is None else method["name"],
        base=base,
        models=models,
        settings=None if method is None else method_settings(method),
        without_base=config.adapter_rank is not None,
        **_steps(config),
        before=before,
        unopened=missing,
    )
    return Outcome({"format": FORMAT, **found.to_json()}, _text(found)), found.exit_code


def _without_rows(config: CheckConfig) -> list["Finding"]:
    """What stands in the way of a method that reads rows of each model's task while it merges."""
    from ramekin.merge.findings import finding_of
    from ramekin.recipes.adaptation_rows import reads_rows, refuse_lacking_tasks

    if config.method is None or not reads_rows(config.method):
        return []
    try:
        refuse_lacking_tasks(config.method["name"], config.data.tasks, config.models)
    except UsageError as error:
        return [finding_of(error, models=(), otherwise="setting")]
    return []


def _steps(config: CheckConfig) -> dict[str, Any]:
    """What is done beside the method; statistics that the merge itself would collect are none yet."""
    from ramekin.merge.methods import find_method

    later = config.method is not None and find_method(config.method["name"]).statistics == "propagated_gram"
    return {**config.steps, **({"statistics": None} if later else {})}


def _text(found: "Preflight") -> str:
    """The findings for people: a block each, the numbers first."""
    counts = [
        _counted(found.count(each), each) for each in ("error", "warning", "notice") if found.count(each)
    ]
    return "\n\n".join(
        [f"{', '.join(counts) or 'nothing found'}: {_compared(found)}", *map(_block, found.findings)]
    )


def _compared(found: "Preflight") -> str:
    """What was compared, in a line."""
    whose = "its" if len(found.models) == 1 else "their"
    models = _counted(len(found.models), "model") + ("" if found.base is None else f" and {whose} base")
    method = f" for {found.method}" if found.method is not None else ""
    tensors = f"{found.tensors} tensors of {found.parameters:,} parameters, {', '.join(found.dtypes)}"
    return f"{models}{method}, {tensors}; headers read in {found.seconds:.2f} s"


def _block(finding: "Finding") -> str:
    lines = [f"{finding.severity}: {finding.what} [{finding.kind}]"]
    told = (
        ("models", "; ".join(finding.models)),
        ("where", finding.where),
        ("tensors", _listed(finding.tensors) if len(finding.tensors) > 1 else None),
        ("expected", finding.expected),
        ("got", finding.got),
        ("fix", finding.fix),
    )
    return "\n".join([*lines, *(f"  {key:<9} {value}" for key, value in told if value)])


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _TENSORS else ""
    return ", ".join(names[:_TENSORS]) + more


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
