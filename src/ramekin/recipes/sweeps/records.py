"""The record of a finished point: what was asked, what came of it, and its report.

A point is its record: the folder of the point may be moved away, and the table of the sweep stays whole. What
was asked is the whole configuration and the weights of the models that it names, so that a point of other
settings, or of a model that has been trained anew, is never taken for this one.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ramekin.errors import UsageError
from ramekin.files import write_json
from ramekin.recipes.runs import FREE_KEYS
from ramekin.recipes.sweeps.jobs import PointJob, composed
from ramekin.registry import dotted
from ramekin.report.document import from_json, to_json
from ramekin.report.values import Report

__all__ = ["PointRecord", "read_record", "write_record"]

_SHOWN = 4


@final
@dataclass(frozen=True)
class PointRecord:
    """What a finished point found."""

    values: Mapping[str, Any]
    """What its verb handed back."""
    report: Report | None
    """None of a verb that writes none."""


def read_record(job: PointJob) -> PointRecord | None:
    """What a finished point found; None if it is not finished, or is to be made anew.

    Raises:
        UsageError: another point of the same name is there.
    """
    if not job.record.is_file() or composed(job).overwrite:
        return None
    told = json.loads(job.record.read_text(encoding="utf-8"))
    if "asked" not in told:
        return None  # as older versions wrote them: the point is carried out again, or found done by its verb
    there, here = dotted(told["asked"]), dotted(_asked(job))
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if keys:
        raise UsageError(
            "the folder holds a point of another sweep",
            where=str(job.record),
            expected=_settings(here, keys),
            got=_settings(there, keys),
            fix="choose another output, or add overwrite=true",
        )
    return PointRecord(told["values"], None if told["report"] is None else from_json(told["report"]))


def write_record(job: PointJob, values: Mapping[str, Any]) -> PointRecord:
    """Record that a point is finished, with the report that its verb left."""
    path = job.output / "report.json"
    report = from_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    told = {"asked": _asked(job), "values": values, "report": None if report is None else to_json(report)}
    write_json(job.record, told)
    return PointRecord(values, report)


def _asked(job: PointJob) -> dict[str, Any]:
    """All that decides what a point finds, as JSON values; where it lies does not."""
    settings = composed(job).model_dump(mode="json", exclude={"output", *FREE_KEYS})
    if job.trained is not None:
        settings["model"] = _asked(job.trained)
    return {"verb": job.verb, **settings, "weights": dict(_weights(settings))}


def _weights(settings: Any) -> Iterator[tuple[str, str]]:
    """The checkpoint folders that settings name, with the hash of each one's weights."""
    from ramekin.weights.lineage import weights_sha256

    if isinstance(settings, Mapping):
        settings = list(settings.values())
    if isinstance(settings, list):
        for each in settings:
            yield from _weights(each)
    elif isinstance(settings, str) and any(
        (Path(settings) / name).is_file() for name in ("config.json", "adapter_config.json")
    ):
        yield settings, weights_sha256(Path(settings))


def _settings(values: Mapping[str, Any], keys: list[str]) -> str:
    shown = ", ".join(f"{key}={values.get(key)}" for key in keys[:_SHOWN])
    return f"{shown}, and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else shown
