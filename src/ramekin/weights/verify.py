"""Whether a checkpoint folder is whole: against its manifest, or, without one, by its structure.

With a `ramekin.json`: exactly its files, their sizes, then their sha256. Without: the headers against the
files' sizes, the shard index against the shards. This module loads no model.
"""

from collections.abc import Iterable
from pathlib import Path

from ramekin.errors import WeightsError
from ramekin.files import sha256_file
from ramekin.weights.header import read_header
from ramekin.weights.layout import adapter_weights, is_adapter, open_layout
from ramekin.weights.lineage import MANIFEST, FileRecord, Manifest, read_manifest

__all__ = ["check_digest", "check_files", "verify_checkpoint", "verify_small_files"]

_AGAIN = "copy, download or make the checkpoint again"
_HARMLESS = (".md",)  # a card or a licence may be added to a finished checkpoint


def verify_checkpoint(folder: Path, *, hashes: bool = True) -> None:
    """Check that a checkpoint or adapter folder is whole and unchanged.

    Args:
        folder: the checkpoint.
        hashes: also read every file and compare its sha256 (only where there is a manifest).

    Raises:
        WeightsError: a file is missing, foreign, of another size, damaged or malformed; the message names
            it, and the tensor where the header tells.
    """
    folder = Path(folder)
    manifest = _check_structure(folder)
    if manifest is not None and hashes:
        for name in manifest.files:
            check_digest(folder, name, sha256_file(folder / name), manifest)


def verify_small_files(folder: Path) -> Manifest | None:
    """As `verify_checkpoint`, but the weights' hashes are left to whoever reads the weights.

    Returns:
        The manifest, whose weight files remain to be checked with `check_digest`; None without one.
    """
    folder = Path(folder)
    manifest = _check_structure(folder)
    if manifest is not None:
        for name in manifest.files:
            if not name.endswith(".safetensors"):
                check_digest(folder, name, sha256_file(folder / name), manifest)
    return manifest


def check_digest(folder: Path, name: str, sha256: str, manifest: Manifest) -> None:
    """Compare a file's computed hash with the manifest's.

    Raises:
        WeightsError: they differ: the file was changed or damaged.
    """
    recorded = manifest.files.get(name)
    if recorded is None:
        raise _foreign(folder, name)
    if recorded.sha256 != sha256:
        raise WeightsError(
            "a file of the checkpoint was changed or damaged",
            where=str(folder / name),
            expected=f"sha256 {recorded.sha256[:16]}…",
            got=f"{sha256[:16]}…",
            fix=_AGAIN,
            kind="unlike-manifest",
        )


def _check_structure(folder: Path) -> Manifest | None:
    """Files present, sizes right, headers sound; no tensor data is read."""
    if not folder.is_dir():
        raise WeightsError(
            "there is no such checkpoint folder",
            where=str(folder),
            kind="no-folder",
            fix="name a folder that is there",
        )
    manifest = check_files(folder)
    if is_adapter(folder):
        read_header(adapter_weights(folder))
    else:
        open_layout(folder)
    return manifest


def check_files(folder: Path) -> Manifest | None:
    """Compare the names and sizes of a folder's files with its manifest, if it has one; returns that.

    Raises:
        WeightsError: a file is missing, foreign or of another size, or the manifest is damaged.
    """
    manifest = read_manifest(folder)
    if manifest is not None:
        _check_files(folder, manifest)
    return manifest


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, record in manifest.files.items():
        _check_size(folder / name, record)
    for name in _names(folder):
        if name not in manifest.files:
            raise _foreign(folder, name)


def _check_size(path: Path, record: FileRecord) -> None:
    if not path.is_file():
        raise WeightsError(
            "a file of the checkpoint is missing",
            where=str(path),
            expected=f"{record.size} bytes, as {MANIFEST} says",
            fix=_AGAIN,
            kind="unlike-manifest",
        )
    size = path.stat().st_size
    if size == record.size:
        return
    if path.suffix == ".safetensors":
        read_header(path)  # names the tensor at which a truncated file ends
    raise WeightsError(
        "a file of the checkpoint has another size",
        where=str(path),
        expected=f"{record.size} bytes, as {MANIFEST} says",
        got=str(size),
        fix=_AGAIN,
        kind="unlike-manifest",
    )


def _names(folder: Path) -> Iterable[str]:
    """What lies in the folder, without the manifest, hidden files and cards."""
    names = sorted(path.name for path in folder.iterdir())
    return [n for n in names if n != MANIFEST and not n.startswith(".") and not n.endswith(_HARMLESS)]


def _foreign(folder: Path, name: str) -> WeightsError:
    return WeightsError(
        "a file in the checkpoint folder is not in its manifest",
        where=str(folder / name),
        fix="move it elsewhere; a checkpoint holds what its manifest lists",
        kind="unlike-manifest",
    )
