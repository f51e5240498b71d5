"""A whole merge checked before it happens, and everything that is found: what `ramekin merge check` shows.

From headers, configurations and manifests alone; neither torch nor any weight is loaded, and no base is
hashed. `plan` raises from the same findings. This module knows no tables.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from ramekin.errors import RamekinError
from ramekin.merge.check_method import check_method, check_settings
from ramekin.merge.delta_space import open_without_base
from ramekin.merge.examine import examine
from ramekin.merge.findings import Finding, errors_of, finding_of
from ramekin.merge.inputs import ModelInput
from ramekin.merge.method import Method
from ramekin.merge.plan import Dtype, parse_merge, used_models
from ramekin.merge.statistics import check_statistics_count, opened_statistics
from ramekin.merge.stream import NamedReader
from ramekin.weights.lineage import recorded_sha256
from ramekin.weights.reading import CheckpointReader

__all__ = ["Preflight", "preflight"]


@final
@dataclass(frozen=True, slots=True)
class Preflight:
    """What was compared, and what was found."""

    method: str | None
    base: str | None
    """The base's folder."""
    models: tuple[str, ...]
    """The names of the models, in order."""
    tensors: int
    """The number of tensors of the base, or of the first model that could be opened."""
    parameters: int
    """Their elements."""
    dtypes: tuple[str, ...]
    """Their dtypes."""
    findings: tuple[Finding, ...]
    """Errors first, then warnings, then notices; of each, in the order of a merge."""
    seconds: float

    @property
    def exit_code(self) -> int:
        """That of a merge: of its first error's class, 0 where there is none."""
        errors = errors_of(self.findings)
        return errors[0].error.exit_code if errors else 0

    def count(self, severity: str) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """JSON values."""
        counts = {f"{each}s": self.count(each) for each in ("error", "warning", "notice")}
        facts = {key: value for key, value in asdict(self).items() if key != "findings"}
        listed = [finding.to_json() for finding in self.findings]
        return {**counts, "exit_code": self.exit_code, **facts, "findings": listed}


def preflight(
    method: str | None,
    *,
    base: Path | None,
    models: Sequence[ModelInput],
    settings: Mapping[str, object] | None = None,
    post: Mapping[str, object] | None = None,
    statistics: Sequence[Path] | None = (),
    align: Mapping[str, object] | None = None,
    dtype: Dtype = "same",
    without_base: bool = False,
    before: Sequence[Finding] = (),
    unopened: Sequence[str] = (),
) -> Preflight:
    """Check a merge from headers and configurations; see `run.merge` for the arguments.

    An adapter that recorded the hash of its base is compared with the base's manifest; a base without one is
    not hashed here, as that takes as long as reading it.

    Args:
        method: a name in `METHODS`; None checks what every method asks of its models.
        base: the checkpoint the models were tuned from.
        models: checkpoints and adapters.
        settings: the method's.
        post: a step after it.
        statistics: of methods with data; None where they are yet to be collected.
        align: the space in which matrices are merged.
        dtype: what the output is to be written in.
        without_base: whether adapters may be merged beside any base, where none is given; then one fault is
            found at a time.
        before: what was found before the models had folders.
        unopened: the names of models that have none.

    Raises:
        UsageError: no such method or step, or settings that cannot be with any models.
    """
    started = time.monotonic()
    findings = list(before)
    if without_base and method is not None and base is None:
        return _beside_any_base(method, models, settings or {}, post, align, dtype, findings, started)
    chosen = parsed = None
    if method is not None:
        chosen, parsed, step = parse_merge(method, settings or {}, post, align, dtype)
        models = used_models(chosen, base, models)
        labels = [model.label for model in models]
        named = [*labels, *(unopened if chosen.uses_models else ())]
        of_method = check_method(chosen, parsed, step, named, has_base=base is not None)
        findings += of_method
    examined = examine(
        base,
        models,
        needs_base=None if chosen is None else chosen.needs_base,
        hash_of=recorded_sha256,
        dtype=dtype,
    )
    findings += examined.findings
    reference = examined.reference
    if chosen is not None and reference is not None and not unopened and not _of_settings(findings):
        findings += check_settings(chosen, parsed, reference.names, labels)
    if chosen is not None and not errors_of(findings):
        findings += _of_statistics(chosen, base, models, statistics)
    order = ("error", "warning", "notice")
    return Preflight(
        method=method,
        base=None if base is None else str(base),
        models=tuple(model.name for model in models),
        tensors=0 if reference is None else len(reference.names),
        parameters=0
        if reference is None
        else sum(reference.layout.info(name).numel for name in reference.names),
        dtypes=() if reference is None else tuple(sorted(set(reference.dtypes.values()))),
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.severity))),
        seconds=time.monotonic() - started,
    )


def _of_statistics(
    method: Method[Any], base: Path | None, models: Sequence[ModelInput], folders: Sequence[Path] | None
) -> Iterator[Finding]:
    """What is wrong with the statistics; of models without a manifest their number alone is looked at."""
    try:
        if folders is not None:
            check_statistics_count(method, len(folders), len(models))
        known = [model.folder for model in models]
        if method.statistics is not None and folders and all(map(recorded_sha256, known)):
            first = base or known[0]
            with (
                CheckpointReader(first) as reader,
                opened_statistics(method, base, models, folders, NamedReader(str(first), reader)),
            ):
                pass
    except RamekinError as error:
        yield finding_of(error, models=[model.label for model in models], otherwise="statistics")


def _beside_any_base(
    method: str,
    models: Sequence[ModelInput],
    settings: Mapping[str, object],
    post: Mapping[str, object] | None,
    align: Mapping[str, object] | None,
    dtype: Dtype,
    before: Sequence[Finding],
    started: float,
) -> Preflight:
    """Adapters that are merged into an adapter without their base: they are all that there is to read."""
    findings, shapes = list(before), []
    labels = tuple(model.label for model in models)
    try:
        with open_without_base(
            method, models=models, settings=settings, post=post, align=align, dtype=dtype
        ) as (opened, _, _):
            shapes = [planned.numel for planned in opened.tensors.values()]
            for text in opened.plan.warnings:
                said = Finding(kind="adapter-base-unknown", what=text, models=labels, severity="warning")
                findings.append(said)
    except RamekinError as error:
        findings.append(finding_of(error, models=labels, otherwise="adapter-parts"))
    return Preflight(
        method=method,
        base=None,
        models=tuple(model.name for model in models),
        tensors=len(shapes),
        parameters=sum(shapes),
        dtypes=("F32",),
        findings=tuple(findings),
        seconds=time.monotonic() - started,
    )


def _of_settings(findings: Sequence[Finding]) -> bool:
    return any(each.kind in ("values-per-model", "weights-sum-to-zero", "setting") for each in findings)
