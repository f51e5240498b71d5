"""A run's folder: fresh, or the unfinished one of the very same configuration, and held by one process.

A run folder has `config.yaml` from its first moment and `report.json` from its last: what has the one and
not the other is unfinished, and the same command goes on with it.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import yaml

from ramekin.errors import DataError, UsageError
from ramekin.files import folder_lock, refuse_existing, write_text
from ramekin.recipes.settings import AbstractVerbConfig

__all__ = ["FREE_KEYS", "command_line", "config_text", "fresh_folder", "run_folder"]

_CONFIG = "config.yaml"
_FINISHED = "report.json"
FREE_KEYS = frozenset({"overwrite", "threads", "workers", "cluster", "in_memory"})
"""Keys that do not change what a run computes, so that a run may continue with another value."""


def command_line() -> str:
    """The command as the user gave it, for reports."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return " ".join(f"'{word}'" if " " in word else word for word in words)


def config_text(config: AbstractVerbConfig) -> str:
    """The resolved configuration as YAML; `--config` reads it back."""
    values = {k: v for k, v in config.model_dump(mode="json").items() if k not in FREE_KEYS}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def fresh_folder(verb: str) -> Path:
    """A folder of today below `outputs/` that no other run has."""
    now = datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S")
    return Path("outputs") / verb / f"{now}_{os.getpid()}"


@contextlib.contextmanager
def run_folder(folder: Path, config: AbstractVerbConfig) -> Iterator[Path]:
    """Hold a run's folder: a new one, or an unfinished one of the same configuration.

    A run that is refused before it has made anything leaves no configuration, so that the corrected one may
    have the folder.

    Raises:
        UsageError: the folder holds something else, or a finished run and `overwrite` is false.
        LockedError: another process holds it.
    """
    text = config_text(config)
    if folder.exists() and config.overwrite:
        refuse_existing(folder, overwrite=True)
        with folder_lock(folder):
            shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()) and not _continues(folder, text):
        refuse_existing(folder, overwrite=False)
    with folder_lock(folder):
        if not (folder / _CONFIG).exists():
            write_text(folder / _CONFIG, text)
        try:
            yield folder
        except (DataError, UsageError):
            if {path.name for path in folder.iterdir()} <= {_CONFIG, ".lock"}:
                (folder / _CONFIG).unlink(missing_ok=True)
            raise


def _continues(folder: Path, text: str) -> bool:
    """Whether a folder is an unfinished run of this configuration (or holds nothing but a lock)."""
    names = {path.name for path in folder.iterdir()}
    if names == {".lock"}:
        return True
    if _CONFIG not in names or _FINISHED in names:
        return False
    if (folder / _CONFIG).read_text(encoding="utf-8") != text:
        raise UsageError(
            "the folder holds an unfinished run of another configuration",
            where=str(folder / _CONFIG),
            fix="choose another output, repeat that run's command, or add overwrite=true",
        )
    return True
