"""What a run read, as it was: the files of its mixture, tasks and rows, and a base in a folder.

It lies beside the weights of a finished run, so that the same command finds it done only while these are the
same. They are looked at from outside: by size and time of change, and small files that were written again by
their hash, so that a touched file is no other one. What is not there any more cannot be told to have changed.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ramekin
from ramekin.catalog import Catalog
from ramekin.errors import DataError, UsageError
from ramekin.files import sha256_file
from ramekin.recipes.mixtures.index import InputFile, input_files
from ramekin.recipes.places import Places
from ramekin.recipes.rows import rows_state
from ramekin.recipes.schema import TrainConfig

__all__ = [
    "INPUTS",
    "changed_files",
    "inputs_of",
    "inputs_text",
    "kept_files",
    "refuse_changed",
    "task_files",
    "weights_state",
]

INPUTS = "inputs.json"
_BUILT_IN = Path(ramekin.__file__).parent
_HASHED_BYTES = 1 << 20
"""A file up to this size is known by its hash, too."""


def inputs_of(config: TrainConfig, places: Places) -> tuple[Mapping[str, Any], tuple[InputFile, ...]]:
    """A run's base and the files of its tasks, as they are before it reads them; a mixture knows its own."""
    asked = [(name, config.split) for name in config.task_names]
    if config.is_evaluated:
        asked += [(name, config.eval_split) for name in config.evaluated_tasks]
    return _base_of(config.model, places), task_files(asked, places)


def inputs_text(base: Mapping[str, Any], files: Iterable[InputFile]) -> bytes:
    """What a finished run keeps of what it read."""
    return json.dumps({"base": base, "files": kept_files(files)}).encode()


def kept_files(files: Iterable[InputFile]) -> list[dict[str, Any]]:
    """What to keep of files that were read; folders, and what came with ramekin, are left out."""
    return [
        {**dataclasses.asdict(each), "sha256": _sha256(each)}
        for each in dict.fromkeys(files)
        if Path(each.path).is_file() and _BUILT_IN not in Path(each.path).parents
    ]


def changed_files(kept: Iterable[Mapping[str, Any]]) -> list[str]:
    """Those of the kept files that have changed since."""
    return [each["path"] for each in kept if _is_changed(**each)]


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


def weights_state(folder: Path) -> str:
    """What tells a folder's weights from others: their hash by the manifest, or that of sizes and times."""
    from ramekin.weights.lineage import read_manifest, weights_sha256

    if read_manifest(folder) is not None:
        return weights_sha256(folder)
    found = sorted(path for end in ("safetensors", "bin") for path in folder.glob(f"*.{end}"))
    states = [dataclasses.astuple(each) for each in input_files((), looked_for=found)]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()


def task_files(asked: Iterable[tuple[str, str]], places: Places) -> tuple[InputFile, ...]:
    """The files of tasks and of the splits that are asked for, as they are."""
    return input_files((), looked_for=_files_of(asked, places))


def _files_of(asked: Iterable[tuple[str, str]], places: Places) -> Iterator[Path]:
    catalog = Catalog(places.tasks_root)
    for name, split in asked:
        yield from catalog.files(name)
        with contextlib.suppress(DataError, UsageError):  # which reading it tells
            if (path := rows_state(catalog[name], split, places).file) is not None:
                yield path


def _base_of(model: str, places: Places) -> dict[str, Any]:
    """The base's folder with its weights' state; empty where it is not in one that was named."""
    from ramekin.weights.locate import local_folder

    folder = local_folder(model, hub_root=places.hub_root)
    return {} if folder is None else {"folder": str(folder.absolute()), "weights": weights_state(folder)}


def _sha256(file: InputFile) -> str | None:
    """The hash of a small file that is still as it was."""
    is_same = input_files((), looked_for=[Path(file.path)]) == (file,)
    return sha256_file(Path(file.path)) if is_same and file.size <= _HASHED_BYTES else None


def _is_changed(path: str, size: int, changed_ns: int, sha256: str | None) -> bool:
    (now,) = input_files((), looked_for=[Path(path)])
    if now.size < 0 or now == InputFile(path, size, changed_ns):
        return False
    return now.size != size or sha256 is None or sha256_file(Path(path)) != sha256
