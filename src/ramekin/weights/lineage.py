"""Where a checkpoint came from, and the manifest of its files: `ramekin.json`.

    {"format": 1, "lineage": {kind, operation, base, parents, settings, seed, versions},
     "files": {name: {"size": bytes, "sha256": hex}}}

A folder with a `ramekin.json` holds exactly the files the manifest lists, byte for byte. This module knows
files and hashes; it opens no tensors.
"""

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, cast, final

from ramekin.errors import UsageError, WeightsError
from ramekin.files import sha256_file, write_bytes, write_json
from ramekin.weights.layout import ADAPTER_WEIGHTS, is_adapter, open_layout, read_json

__all__ = [
    "MANIFEST",
    "FileRecord",
    "Lineage",
    "Manifest",
    "Parent",
    "add_files",
    "current_versions",
    "read_lineage",
    "read_manifest",
    "recorded_sha256",
    "weight_files",
    "weights_sha256",
    "write_manifest",
]

MANIFEST = "ramekin.json"
_FORMAT = 1


@final
@dataclass(frozen=True, slots=True)
class Parent:
    """A checkpoint that another was made from."""

    name: str
    """The hub id or the folder's own name as the user gave it."""
    sha256: str | None = None
    """`weights_sha256` of it, when it was computed."""
    role: str = "model"
    """What it was used as: `base` or `model`."""


def current_versions() -> dict[str, str]:
    """The versions that decide what a run computes: python, ramekin, torch, transformers and their kin."""
    return dict(_versions())


@final
@dataclass(frozen=True, slots=True)
class Lineage:
    """How a checkpoint came to be."""

    kind: Literal["dense", "adapter", "export"]
    """Whole weights, an adapter to be opened on its base, or a model in another program's format."""
    operation: str
    """What made it, such as `finetune` or `merge/ties_merging`."""
    base: str | None = None
    """The name of the checkpoint it is a change of."""
    parents: tuple[Parent, ...] = ()
    """Everything it was computed from."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the operation; JSON values only."""
    seed: int | None = None
    """The seed of the operation, if it draws at random."""
    versions: Mapping[str, str] = field(default_factory=current_versions)
    """The libraries it was made with."""


@final
@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a manifest."""

    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""


@final
@dataclass(frozen=True, slots=True)
class Manifest:
    """What `ramekin.json` says."""

    lineage: Lineage
    """Where the checkpoint came from."""
    files: Mapping[str, FileRecord]
    """Every other file of the folder."""


def add_files(folder: Path, extra_files: Mapping[str, bytes]) -> None:
    """Write further files beside the checkpoint's own.

    Raises:
        ValueError: a name leads elsewhere, or is one of the checkpoint's own files.
    """
    for name, content in extra_files.items():
        if Path(name).name != name or name == MANIFEST or (folder / name).exists():
            raise ValueError(f"an extra file needs a plain name of its own, got {name!r}")
        write_bytes(folder / name, content)


def write_manifest(
    folder: Path, lineage: Lineage, *, known_sha256: Mapping[str, str] | None = None
) -> Manifest:
    """Write `ramekin.json` over the files that a folder holds now.

    Args:
        folder: the checkpoint; still under its temporary name when it is being made.
        lineage: where it came from.
        known_sha256: hashes computed while files were written, so that they are not read again.

    Raises:
        UsageError: the lineage's settings are not JSON values.
    """
    folder, known = Path(folder), known_sha256 or {}
    files = {
        path.name: FileRecord(path.stat().st_size, known.get(path.name) or sha256_file(path))
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST
    }
    listed = {name: asdict(record) for name, record in files.items()}
    content = {"format": _FORMAT, "lineage": asdict(lineage), "files": listed}
    try:
        write_json(folder / MANIFEST, content)
    except TypeError as error:
        raise UsageError(
            "the settings of a lineage are not all JSON values", where=lineage.operation, got=str(error)
        ) from error
    return Manifest(lineage, files)


def read_manifest(folder: Path) -> Manifest | None:
    """Read `ramekin.json`; None when the folder has none, as one from the hub.

    Raises:
        WeightsError: the file is damaged or of a later format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        return None
    raw = read_json(path)
    if raw.get("format") != _FORMAT:
        raise WeightsError(
            "the checkpoint's manifest has another format",
            where=f"{path}#format",
            expected=str(_FORMAT),
            got=repr(raw.get("format"))[:40],
            fix="update ramekin",
            kind="unlike-manifest",
        )
    try:
        return Manifest(_lineage_of(raw["lineage"]), _files_of(raw["files"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            "the checkpoint's manifest is damaged",
            where=str(path),
            got=repr(error)[:120],
            kind="unlike-manifest",
            fix="copy, download or make the checkpoint again",
        ) from error


def read_lineage(folder: Path) -> Lineage | None:
    """Where a checkpoint came from; None when the folder has no `ramekin.json`."""
    manifest = read_manifest(folder)
    return None if manifest is None else manifest.lineage


def weights_sha256(folder: Path) -> str:
    """One hash for the weights of a checkpoint or an adapter: the file's, or of its shards' hashes in order.

    Taken from where it is known (`recorded_sha256`), else computed by reading the weights.
    """
    hashes = [known or sha256_file(path) for path, known in _recorded(Path(folder))]
    return _joined(hashes)


def recorded_sha256(folder: Path) -> str | None:
    """`weights_sha256` as far as it is known without reading the weights, else None.

    From the manifest, or of a checkpoint from the hub from its cache, where files are links to what their
    hash names.
    """
    files = _recorded(Path(folder))
    hashes = [known for _, known in files if known is not None]
    return _joined(hashes) if len(hashes) == len(files) else None


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights of a checkpoint or an adapter, in order.

    Raises:
        WeightsError: there are none, or a header or the shard index is damaged.
    """
    folder = Path(folder)
    names = [ADAPTER_WEIGHTS] if is_adapter(folder) else sorted(open_layout(folder).headers)
    return tuple(folder / name for name in names)


def _recorded(folder: Path) -> list[tuple[Path, str | None]]:
    """The files that hold the weights, each with the hash that the manifest records of it."""
    manifest = read_manifest(folder)
    listed = {} if manifest is None else manifest.files
    return [
        (path, listed[path.name].sha256 if path.name in listed else _sha256_in_cache(path))
        for path in weight_files(folder)
    ]


def _sha256_in_cache(path: Path) -> str | None:
    """The hash by which the hub's cache names a large file."""
    target = path.readlink() if path.is_symlink() else path
    is_hash = target.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", target.name)
    return target.name if is_hash else None


def _joined(hashes: Sequence[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _lineage_of(raw: Any) -> Lineage:
    if raw["kind"] not in ("dense", "adapter", "export"):
        raise ValueError(f"kind {raw['kind']!r}")
    return Lineage(
        kind=raw["kind"],
        operation=str(raw["operation"]),
        base=raw["base"],
        parents=tuple(Parent(parent["name"], parent["sha256"], parent["role"]) for parent in raw["parents"]),
        settings=dict(raw["settings"]),
        seed=raw["seed"],
        versions=dict(raw["versions"]),
    )


def _files_of(raw: Any) -> dict[str, FileRecord]:
    files = {name: FileRecord(entry["size"], entry["sha256"]) for name, entry in raw.items()}
    for name, record in files.items():
        if Path(name).name != name or name == MANIFEST:
            raise ValueError(f"file name {name!r}")
        if type(record.size) is not int or not isinstance(record.sha256, str):
            raise ValueError(f"entry of {name!r}")
    return cast("dict[str, FileRecord]", files)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for package in ("ramekin", "torch", "transformers", "tokenizers", "safetensors", "peft"):
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            found.append((package, "not installed"))
    return tuple(found)
