"""What a training read, as it was: the files of its mixture, tasks and rows, and a base in a folder.

It lies beside the weights of a finished run, so that the same command finds it done only while these are the
same.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ramekin.errors import UsageError
from ramekin.recipes.places import Places
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.states import InputFile, changed_files, kept_files, task_files, weights_state

__all__ = ["INPUTS", "inputs_of", "inputs_text", "refuse_changed"]

INPUTS = "inputs.json"


def inputs_of(config: TrainConfig, places: Places) -> tuple[Mapping[str, Any], tuple[InputFile, ...]]:
    """A run's base and the files of its tasks, as they are before it reads them; a mixture knows its own."""
    asked = [(name, config.split) for name in config.task_names]
    if config.is_evaluated:
        asked += [(name, config.eval_split) for name in config.evaluated_tasks]
    return _base_of(config.model, places), task_files(asked, places)


def inputs_text(base: Mapping[str, Any], files: Iterable[InputFile]) -> bytes:
    """What a finished run keeps of what it read."""
    return json.dumps({"base": base, "files": kept_files(files)}).encode()


def refuse_changed(output: Path) -> None:
    """Refuse to take a finished run for one that would read something else; an older version kept no record.

    Raises:
        UsageError: names what has changed since.
    """
    record = output / INPUTS
    if not record.is_file():
        return
    told = json.loads(record.read_bytes())
    changed = changed_files(told["files"])
    if told["base"] and Path(told["base"]["folder"]).is_dir():
        folder = Path(told["base"]["folder"])
        changed += [str(folder)] if weights_state(folder) != told["base"]["weights"] else []
    if changed:
        raise UsageError(
            "what the finished run in this folder read has changed since",
            where=str(output),
            got=", ".join(changed),
            fix="add overwrite=true to train anew, or choose another output",
        )


def _base_of(model: str, places: Places) -> dict[str, Any]:
    """The base's folder with its weights' state; empty where it is not in one that was named."""
    from ramekin.weights.locate import local_folder

    folder = local_folder(model, hub_root=places.hub_root)
    return {} if folder is None else {"folder": str(folder.absolute()), "weights": weights_state(folder)}
