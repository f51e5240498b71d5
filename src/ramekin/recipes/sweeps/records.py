"""The record of a finished point: what was asked, what came of it, and its report.

A point is its record: the folder of the point may be moved away, and the table of the sweep stays whole. What
was asked is the whole configuration and the weights of the models that it names, so that a point of other
settings, or of a model that has been trained anew, is never taken for this one; nor is a training or an
evaluation whose data have changed since.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ramekin.catalog import Catalog
from ramekin.errors import UsageError
from ramekin.files import write_json
from ramekin.recipes.evaluate_schema import EvaluateConfig, suite_of
from ramekin.recipes.places import places_of
from ramekin.recipes.runs import FREE_KEYS
from ramekin.recipes.schema import FuseConfig
from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.recipes.states import changed_files, input_files, kept_files, task_files, weights_state
from ramekin.recipes.sweeps.jobs import PointJob, composed
from ramekin.recipes.training.folders import FREE_OF_TRAINING
from ramekin.recipes.training.inputs import refuse_changed
from ramekin.recipes.trial_schema import TrialConfig
from ramekin.registry import dotted
from ramekin.report.document import from_json, to_json
from ramekin.report.values import Report
from ramekin.text.suite import suite_entries
from ramekin.weights.locate import local_folder

__all__ = ["PointRecord", "files_read", "has_begun", "read_record", "write_begun", "write_record"]

_SHOWN = 4
_CONFIGS = ("config.json", "adapter_config.json")


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
        UsageError: another point of the same name is there, or what it read or made has changed since.
    """
    if not job.record.is_file() or composed(job).overwrite:
        return None
    told = json.loads(job.record.read_text(encoding="utf-8"))
    if not {"asked", "values"} <= told.keys():
        return None  # begun, or of an older version: it is carried out again, or found done by its verb
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
    if job.verb == "train":
        refuse_changed(job.output)
        _refuse_other_weights(job, told.get("weights"))
    if changed := changed_files(told.get("files", ())):
        raise UsageError(
            "what a finished point read has changed since",
            where=str(job.record),
            got=", ".join(changed),
            fix="add overwrite=true to carry it out anew, or choose another output",
        )
    return PointRecord(told["values"], None if told["report"] is None else from_json(told["report"]))


def files_read(config: AbstractVerbConfig) -> Sequence[Mapping[str, Any]]:
    """The files of what is about to be scored, as they are; a training keeps those of its own."""
    others: list[Path] = []
    match config:
        case EvaluateConfig():
            asked = list(_splits_of(config))
            others = [Path(config.suite)] if config.suite is not None else []
        case TrialConfig():
            asked = [(name, config.split) for name in config.task_names]
        case FuseConfig():
            asked = [(name, config.taskpool.split) for name in config.taskpool.tasks]
        case _:
            return ()
    return kept_files((*task_files(asked, places_of(config)), *input_files((), looked_for=others)))


def _splits_of(config: EvaluateConfig) -> Iterator[tuple[str, str]]:
    """The tasks of an evaluation with every split that it may read rows or exemplars of."""
    catalog = Catalog(config.tasks_root)
    for entry in suite_entries(suite_of(config)):
        settings = entry.settings
        yield from ((entry.task, split) for split in settings.splits_of(catalog[entry.task]))
        if settings.shots and settings.exemplars == "split":
            yield entry.task, settings.exemplar_split


def write_record(
    job: PointJob, values: Mapping[str, Any], *, files: Sequence[Mapping[str, Any]] = ()
) -> PointRecord:
    """Record that a point is finished, with the report that its verb left and the files that it read."""
    path = job.output / "report.json"
    report = from_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    told: dict[str, Any] = {"asked": _asked(job), "values": values}
    told["report"] = None if report is None else to_json(report)
    if files:
        told["files"] = list(files)
    if job.verb == "train" and job.output.is_dir():
        told["weights"] = weights_state(job.output)
    write_json(job.record, told)
    return PointRecord(values, report)


def _refuse_other_weights(job: PointJob, recorded: str | None) -> None:
    """Refuse a folder in which another model was put since; an older version kept no record of it.

    Raises:
        UsageError: its weights are not those that the point found.
    """
    if recorded is not None and job.output.is_dir() and weights_state(job.output) != recorded:
        raise UsageError(
            "the folder holds another model than the point trained",
            where=str(job.output),
            fix="move it away, or choose another output, or add overwrite=true",
        )


def write_begun(job: PointJob) -> None:
    """Record that a point is begun: what then is in its folder is its own."""
    write_json(job.record, {"asked": _asked(job)})


def has_begun(job: PointJob) -> bool:
    """Whether this very point was begun here."""
    if not job.record.is_file():
        return False
    told = json.loads(job.record.read_text(encoding="utf-8"))
    return bool(told.get("asked") == json.loads(json.dumps(_asked(job))))


def _asked(job: PointJob) -> dict[str, Any]:
    """All that decides what a point finds, as JSON values by dotted keys; where it lies does not."""
    settings = dotted(composed(job).model_dump(mode="json", exclude={"output", *FREE_KEYS}))
    if job.verb == "train":
        settings = {key: value for key, value in settings.items() if key not in FREE_OF_TRAINING}
    if job.trained is not None:
        settings["model"] = _asked(job.trained)
    return {"verb": job.verb, **settings, "weights": dict(_weights(settings.values(), settings["hub_root"]))}


def _weights(values: Iterable[Any], hub_root: str | None) -> Iterator[tuple[str, str]]:
    """The checkpoints on this machine that settings name, with what tells the weights of each from others."""
    for value in values:
        if isinstance(value, Mapping):
            yield from _weights(value.values(), hub_root)
        elif isinstance(value, list):
            yield from _weights(value, hub_root)
        elif isinstance(value, str) and value:
            folder = local_folder(value, hub_root=None if hub_root is None else Path(hub_root))
            if folder is not None and any((folder / name).is_file() for name in _CONFIGS):
                yield value, weights_state(folder)


def _settings(values: Mapping[str, Any], keys: list[str]) -> str:
    shown = ", ".join(f"{key}={values.get(key)}" for key in keys[:_SHOWN])
    return f"{shown}, and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else shown
