"""The saved states of a run: `state/step-000123/`, each whole or not there.

A state holds the trainable weights, the optimizer's memory and a small record (position, account, identity).
There is no random state in it: the order of examples and dropout are functions of the seed and the step.
Which state is the newest is computed, never stored; a damaged one is passed over for the one before.

    weights.safetensors     trainable parameters by name
    optimizer.safetensors   the optimizer's tensors, `parameter::entry`
    record.json             everything else
    manifest.json           {file: {size, sha256}}, written last

Where a run selects by a metric, `state/best-000123/` holds the weights of the best evaluation.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor

from ramekin import files
from ramekin.errors import WeightsError
from ramekin.train.optimizers import OptimizerState
from ramekin.weights.data import check_finite, read_tensors, write_tensors
from ramekin.weights.header import read_header

__all__ = [
    "Saved",
    "load_best",
    "load_newest",
    "put_back",
    "remove_unfinished",
    "save_best",
    "save_state",
    "state_folders",
]

_KEPT = 2
_NAME = re.compile(r"step-(\d{6,})")
_BEST = re.compile(r"best-(\d{6,})")
_ASIDE = re.compile(r"\.tmp-(step-\d{6,}|best-\d{6,})-old-\d+")
"""What `files.atomic_directory` calls a folder that it is about to replace."""
_WEIGHTS, _OPTIMIZER, _RECORD, _MANIFEST = (
    "weights.safetensors",
    "optimizer.safetensors",
    "record.json",
    "manifest.json",
)


@final
@dataclass(frozen=True, slots=True)
class Saved:
    """A state read back."""

    folder: Path
    weights: Mapping[str, Tensor]
    optimizer: OptimizerState
    record: Mapping[str, Any]
    passed_over: tuple[str, ...]
    """Newer states that are damaged, each with what is wrong with it."""


def save_state(
    root: Path,
    step: int,
    *,
    weights: Mapping[str, Tensor],
    optimizer: OptimizerState,
    record: Mapping[str, Any],
    best_step: int | None = None,
) -> Path:
    """Write a state, then remove all but the newest two, and the best weights that neither of them names.

    Raises:
        WeightsError: a weight is not finite; nothing is written.
        ResourceError: the disk is full; the states there are untouched.
    """
    _check_weights(weights, step)
    folder = root / f"step-{step:06d}"
    numbers = {**record, "best_step": best_step, "optimizer_numbers": dict(optimizer.numbers)}
    with files.atomic_directory(folder, is_own=True) as temporary:
        digests = {
            _WEIGHTS: write_tensors(temporary / _WEIGHTS, weights),
            _OPTIMIZER: write_tensors(temporary / _OPTIMIZER, optimizer.tensors),
            _RECORD: _write_record(temporary / _RECORD, numbers),
        }
        _write_manifest(temporary, digests)
    _rotate(root, folder)
    return folder


def save_best(root: Path, step: int, *, weights: Mapping[str, Tensor]) -> Path:
    """Write the weights after a step as the best so far: `best-000123/`, kept while a saved state names it.

    Raises:
        WeightsError: a weight is not finite; nothing is written.
        ResourceError: the disk is full; what is there is untouched.
    """
    _check_weights(weights, step)
    folder = root / f"best-{step:06d}"
    with files.atomic_directory(folder, is_own=True) as temporary:
        _write_manifest(temporary, {_WEIGHTS: write_tensors(temporary / _WEIGHTS, weights)})
    return folder


def load_best(root: Path, step: int) -> Mapping[str, Tensor]:
    """The weights that `save_best` wrote after a step.

    Raises:
        WeightsError: they are missing or damaged.
    """
    folder = root / f"best-{step:06d}"
    return _read_tensors(folder / _WEIGHTS, _read_manifest(folder / _MANIFEST, (_WEIGHTS,)))


def load_newest(root: Path) -> Saved | None:
    """The newest whole state, or None if there is none at all.

    Raises:
        WeightsError: there are states and every one is damaged.
    """
    damaged: list[str] = []
    for folder in reversed(state_folders(root)):
        try:
            return _read(folder, tuple(damaged))
        except WeightsError as error:
            damaged.append(str(error))
    if damaged:
        raise WeightsError(
            "no saved state of the run is whole",
            where="; ".join(damaged),
            fix="remove the run folder and start again",
        )
    return None


def state_folders(root: Path) -> list[Path]:
    """All state folders, oldest first, whole or not."""
    found = [path for path in root.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step_of)


def put_back(root: Path) -> None:
    """Put back what a process moved aside and was killed before it could replace. The caller holds the lock.

    A state is replaced by another of its step where a run that was stopped after its last step ends.
    """
    for aside in sorted(root.glob(".tmp-*")):
        found = _ASIDE.fullmatch(aside.name)
        if found and not (root / found[1]).exists():
            aside.rename(root / found[1])


def remove_unfinished(root: Path, *, newest: Path | None) -> None:
    """Remove what a killed process left, and damaged states after `newest`. The caller holds the lock."""
    for leftover in root.glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for folder in state_folders(root):
        if newest is None or _step_of(folder) > _step_of(newest):
            _remove(folder)


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _rotate(root: Path, newest: Path) -> None:
    older = [folder for folder in state_folders(root) if _step_of(folder) < _step_of(newest)]
    for folder in older[: len(older) - (_KEPT - 1)]:
        _remove(folder)
    named = {_best_step_of(folder) for folder in state_folders(root)}
    for folder in root.glob("best-*"):
        found = _BEST.fullmatch(folder.name)
        if found and int(found[1]) not in named:
            _remove(folder)


def _best_step_of(folder: Path) -> int | None:
    """The best step that a state names; a damaged one names none."""
    try:
        step: int | None = json.loads((folder / _RECORD).read_bytes())["best_step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return step


def _check_weights(weights: Mapping[str, Tensor], step: int) -> None:
    for name, tensor in weights.items():
        check_finite(
            tensor, where=f"{name} after step {step}", fix="lower the learning rate; nothing was saved"
        )


def _write_manifest(folder: Path, digests: Mapping[str, str]) -> None:
    manifest = {
        name: {"size": (folder / name).stat().st_size, "sha256": digest} for name, digest in digests.items()
    }
    _write_record(folder / _MANIFEST, manifest)


def _remove(folder: Path) -> None:
    # Renamed first: a state under its final name is never half removed.
    aside = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _write_record(path: Path, value: object) -> str:
    data = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _read(folder: Path, passed_over: tuple[str, ...]) -> Saved:
    """Read a state whole, checking every byte.

    Raises:
        WeightsError: something is missing or has changed; the message names the file.
    """
    manifest = _read_manifest(folder / _MANIFEST, (_WEIGHTS, _OPTIMIZER, _RECORD))
    record = json.loads(_checked_bytes(folder / _RECORD, manifest))
    weights = _read_tensors(folder / _WEIGHTS, manifest)
    memory = OptimizerState(_read_tensors(folder / _OPTIMIZER, manifest), record.pop("optimizer_numbers"))
    return Saved(folder, weights, memory, record, passed_over)


def _read_manifest(path: Path, names: Sequence[str]) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
        return {name: manifest[name] for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            "a saved state is incomplete", where=str(path), got="no manifest, or half of one"
        ) from error


def _checked_bytes(path: Path, manifest: Mapping[str, Any]) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError("a saved state is incomplete", where=str(path), got=error.strerror) from error
    _refuse_change(path, manifest, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return data


def _read_tensors(path: Path, manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    header = read_header(path)
    digest = hashlib.sha256()
    tensors = dict(read_tensors(path, header, digest))
    _refuse_change(path, manifest, size=header.file_size, sha256=digest.hexdigest())
    return tensors


def _refuse_change(path: Path, manifest: Mapping[str, Any], *, size: int, sha256: str) -> None:
    if manifest[path.name] != {"size": size, "sha256": sha256}:
        raise WeightsError("a saved state has changed since it was written", where=str(path))
