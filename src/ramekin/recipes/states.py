"""The state of files and of weights, looked at from outside: whether they are what was read.

A file is known by its size and time of change, a small one that was written again by its hash, so that a
touched file is no other one; weights by their manifest. What is not there any more cannot be told to have
changed. Knows nothing of what the files are for.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

import ramekin
from ramekin.catalog import Catalog
from ramekin.errors import DataError, UsageError
from ramekin.files import sha256_file
from ramekin.recipes.places import Places
from ramekin.recipes.rows import rows_state

__all__ = [
    "InputFile",
    "changed_files",
    "file_state",
    "input_files",
    "kept_files",
    "task_files",
    "weights_state",
]

_BUILT_IN = Path(ramekin.__file__).parent
_HASHED_BYTES = 1 << 20
"""A file up to this size is known by its hash, too."""


@final
@dataclasses.dataclass(frozen=True, slots=True)
class InputFile:
    """A file or folder that was read, as it was."""

    path: str
    size: int
    """Of what was looked for and not found, -1."""
    changed_ns: int


def input_files(paths: Iterable[Path], *, looked_for: Iterable[Path] = ()) -> tuple[InputFile, ...]:
    """The present state of files and folders, each once.

    Args:
        paths: what was read.
        looked_for: what would have been read, or would have led to something else; it need not be there.

    Raises:
        DataError: one that was read is not there.
    """
    found = {}
    for path in dict.fromkeys(each.absolute() for each in paths):
        found[path] = file_state(str(path))
        if found[path].size < 0:
            raise DataError("a file that was read is missing", where=str(path))
    for path in (each.absolute() for each in looked_for):
        found.setdefault(path, file_state(str(path)))
    return tuple(found.values())


def file_state(path: str) -> InputFile:
    """The present state of a file or folder."""
    try:
        state = os.stat(path)  # noqa: PTH116 -- thousands of them, at every start
    except OSError:
        return InputFile(path, -1, 0)
    return InputFile(path, state.st_size, state.st_mtime_ns)


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


def weights_state(folder: Path) -> str:
    """What tells a folder's weights from others: their hash by the manifest, or that of sizes and times."""
    from ramekin.weights.lineage import read_manifest, weights_sha256

    if read_manifest(folder) is not None:
        return weights_sha256(folder)
    found = sorted(folder.glob("*.safetensors"))
    states = [dataclasses.astuple(each) for each in input_files((), looked_for=found)]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()


def _sha256(file: InputFile) -> str | None:
    """The hash of a small file that is still as it was."""
    is_same = file_state(file.path) == file
    return sha256_file(Path(file.path)) if is_same and file.size <= _HASHED_BYTES else None


def _is_changed(path: str, size: int, changed_ns: int, sha256: str | None) -> bool:
    now = file_state(path)
    if now.size < 0 or now == InputFile(path, size, changed_ns):
        return False
    return now.size != size or sha256 is None or sha256_file(Path(path)) != sha256
