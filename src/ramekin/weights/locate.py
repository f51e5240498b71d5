"""From a checkpoint's name to the folder that holds it: local, under `hub_root`, or from the hub.

Only safetensors, JSON and tokenizer files are ever fetched. This module opens no weights.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ramekin.errors import WeightsError
from ramekin.registry import nearest
from ramekin.weights.layout import ADAPTER_WEIGHTS, INDEX, WEIGHTS, open_layout

__all__ = ["is_hub_name", "local_folder", "locate_checkpoint"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_WEIGHTS = ["*.safetensors"]
_TEXTS = ["*.json", "*.model", "*.txt"]
_TOKENIZERS = ("tokenizer.json", "spiece.model")
_UNWANTED = ["*/*"]  # exports for other frameworks lie in sub-folders
_TIMEOUT_SECONDS = 10.0


def is_hub_name(name: str) -> bool:
    """Whether a name could be a repository of the hub (`org/name`, or an old `name`) and is no folder."""
    return _HUB_NAME.fullmatch(name) is not None and ".." not in name and not Path(name).exists()


def locate_checkpoint(
    name: str | Path, *, hub_root: Path | None = None, revision: str | None = None, weights: bool = True
) -> Path:
    """Find the folder of a checkpoint or an adapter.

    An existing folder of that name is taken; then `hub_root/<name>`; then the hub, its local cache first.

    Args:
        name: a folder, or a hub id such as `google/flan-t5-base`.
        hub_root: a folder of checkpoints named by hub id.
        revision: the hub's branch, tag or commit; the default branch when None.
        weights: whether they are wanted; a vocabulary alone is a megabyte to fetch, not tens of thousands.

    Raises:
        WeightsError: there is no such folder and the hub cannot give it; the message names the repository
            and both remedies, and the nearest name under `hub_root`.
    """
    found = local_folder(name, hub_root=hub_root)
    if found is not None:
        return found
    text, folder = str(name), Path(name).expanduser()
    if folder.exists():
        raise WeightsError(
            "a checkpoint is a folder", where=text, got="a file", fix="name the folder it is in"
        )
    if not (isinstance(name, str) and is_hub_name(text)):
        raise WeightsError(
            "there is no such checkpoint folder", where=text, fix=_suggestion(folder, hub_root)
        )
    return _from_hub(text, hub_root=hub_root, revision=revision, weights=weights)


def local_folder(name: str | Path, *, hub_root: Path | None = None) -> Path | None:
    """The folder of a checkpoint on this machine, the hub's cache aside; None if there is none."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    is_id = isinstance(name, str) and is_hub_name(name) and not folder.exists()
    below = Path(hub_root) / name if hub_root is not None and is_id else None
    return below if below is not None and below.is_dir() else None


def _suggestion(folder: Path, hub_root: Path | None) -> str | None:
    beside = folder.parent
    names = [path.name for path in beside.iterdir() if path.is_dir()] if beside.is_dir() else []
    near = nearest(folder.name, names) if folder.name else None
    return f"did you mean '{beside / near}'?" if near else _near_under(str(folder), hub_root)


def _near_under(name: str, hub_root: Path | None) -> str | None:
    if hub_root is None or not Path(hub_root).is_dir():
        return None
    near = nearest(name, _entries(Path(hub_root)))
    return f"did you mean '{near}', which is under {hub_root}?" if near else None


def _entries(hub_root: Path) -> Iterator[str]:
    """The names under a hub root: `name` and `org/name`, whatever holds a JSON file."""
    for path in sorted(hub_root.iterdir()):
        if path.is_dir():
            inner = [entry for entry in sorted(path.iterdir()) if entry.is_dir()]
            yield from (f"{path.name}/{entry.name}" for entry in inner) if inner else (path.name,)


def _from_hub(name: str, *, hub_root: Path | None, revision: str | None, weights: bool) -> Path:
    cached = _cached(name, revision, weights)
    if cached is not None:
        return cached
    fetched = _fetch(name, revision, weights)
    if isinstance(fetched, Path):
        if not weights or any((fetched / file).exists() for file in (WEIGHTS, INDEX, ADAPTER_WEIGHTS)):
            return fetched
        raise WeightsError(
            "the repository holds no safetensors weights, and pickled ones are not opened",
            where=_repository(name, revision),
            fix="use a revision that has model.safetensors, or convert it where you trust it",
        )
    near = _suggestion(Path(name), hub_root)
    remedy = f"give it as a folder with hub_root=DIR holding DIR/{name}, or allow network access to the hub"
    raise WeightsError(
        "cannot get a checkpoint: it is not a local folder"
        + (f", not under hub_root {hub_root}" if hub_root is not None else "")
        + ", and the hub did not give it",
        where=_repository(name, revision),
        got=fetched,
        fix=f"{near} Or {remedy}" if near else remedy,
    )


def _repository(name: str, revision: str | None) -> str:
    return f"https://huggingface.co/{name}" + (f" at revision {revision}" if revision else "")


def _cached(name: str, revision: str | None, weights: bool) -> Path | None:
    """The snapshot in the hub's local cache, if its weights are all there, or its tokenizer is."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if not weights:
            return folder if any((folder / file).exists() for file in _TOKENIZERS) else None
        if not (folder / ADAPTER_WEIGHTS).exists():
            open_layout(folder)
    except (LocalEntryNotFoundError, WeightsError):
        return None
    return folder


def _fetch(name: str, revision: str | None, weights: bool) -> Path | str:
    """Download a snapshot; the reason in a few words when the hub does not give it.

    The first question has a time limit of its own: `snapshot_download` asks the same one without any, and
    would wait for ever on a network that drops packets.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().repo_info(name, revision=revision, timeout=_TIMEOUT_SECONDS)
        return Path(
            snapshot_download(
                name,
                revision=info.sha,
                allow_patterns=[*_WEIGHTS, *_TEXTS] if weights else _TEXTS,
                ignore_patterns=_UNWANTED,
                etag_timeout=_TIMEOUT_SECONDS,
            )
        )
    except Exception as error:  # its own, its HTTP library's and the system's: there is no snapshot
        said = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {said[0]}"[:200]
