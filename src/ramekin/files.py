"""Files and folders that are either whole or not there: atomic writing, hashes, locks.

Everything ramekin writes goes through here: to a temporary sibling, synced, renamed. A folder under its
final name is therefore complete, and a killed process leaves nothing but a `.tmp-…` sibling, which the
next writer to the same place removes. This module knows nothing of what the files hold.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ramekin.errors import LockedError, RamekinError, ResourceError, UsageError

__all__ = [
    "RESULTS",
    "atomic_directory",
    "atomic_file",
    "file_lock",
    "folder_lock",
    "refuse_existing",
    "refuse_inputs",
    "remove_leftovers",
    "remove_old_leftovers",
    "scratch_directory",
    "sha256_file",
    "sync_directory",
    "write_bytes",
    "write_json",
    "write_text",
]

RESULTS = frozenset(
    {
        "adapter_config.json",
        "config.json",
        "config.yaml",
        "model.safetensors",
        "ramekin.json",
        "report.json",
        "statistics.json",
    }
)
"""Files of which a folder that was made by a run, or is a model, has one; no other folder is overwritten."""

_TEMPORARY = ".tmp-"
_LOCK = ".lock"
_SHOWN = 3  # names of files in a message
_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sha256_file(path: Path, *, chunk_bytes: int = 1 << 20) -> str:
    """The hexadecimal sha256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(chunk_bytes):
            digest.update(chunk)
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synced)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that becomes `path` when the block ends without an exception.

    Raises:
        ResourceError: the disk is full or the path cannot be written; the old file is untouched.
    """
    path = Path(path)
    temporary = _sibling(path, "file")
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: after a kill it has its old content or its new one.

    Raises:
        ResourceError: the disk is full or the path cannot be written; the old file is untouched.
    """
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, indented, with a final newline; NaN and infinity are refused."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise UsageError("a value cannot be written as JSON", where=str(path), got=str(error)) from error
    write_text(path, text + "\n")


def refuse_existing(output: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists, unless it may be overwritten or is an empty folder.

    A folder that is no result of a run, and no model, is not overwritten in any case, nor is the one that
    this process works in: who names the wrong folder would lose it.

    Raises:
        UsageError: the path exists and `overwrite` is false, or it is a folder of something else.
    """
    names = {each.name for each in output.iterdir()} if output.is_dir() else set()
    if not output.exists() or (output.is_dir() and not names):
        return
    if not overwrite:
        raise UsageError(
            "the output exists and is never overwritten unasked",
            where=str(output),
            fix="choose another output, or add overwrite=true",
        )
    if names and Path.cwd().is_relative_to(output.resolve()):
        raise _no_output(output)
    if names and names != {_LOCK} and not names & RESULTS:
        raise UsageError(
            "the output is a folder of something else, which is not overwritten",
            where=str(output),
            expected=f"one of {', '.join(sorted(RESULTS))} in it",
            got=", ".join(sorted(names)[:_SHOWN]) + (", …" if len(names) > _SHOWN else ""),
            fix="choose another output, or move that folder away",
        )


def refuse_inputs(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is or holds one of the inputs, which would go with what is replaced.

    Raises:
        UsageError: it is.
    """
    place = output.resolve()
    for each in inputs:
        found = each.resolve()
        if place == found or place in found.parents:
            raise UsageError(
                "the output is one of the inputs" if place == found else "the output holds one of the inputs",
                where=str(output),
                got=str(each),
                fix="choose another output",
            )


@contextlib.contextmanager
def atomic_directory(output: Path, *, overwrite: bool = False, is_own: bool = False) -> Iterator[Path]:
    """A temporary sibling folder that becomes `output` when the block ends without an exception.

    Every file in it is synced, then the folder, then it is renamed and its parent synced. With
    `overwrite`, an existing `output` is moved aside first and removed last; after a kill between the two
    renames the next writer puts it back.

    Args:
        output: the folder.
        overwrite: whether one that is there may be replaced, if it is a result of a run or a model.
        is_own: whether whatever is there may be replaced: it lies in a folder that the caller has made.

    Raises:
        UsageError: `output` exists and may not be replaced, or is a file.
        ResourceError: the disk is full or the place cannot be written.
    """
    output = _own_path(output)
    remove_leftovers(output)
    _refuse_replacing(output, overwrite=overwrite, is_own=is_own)
    with _disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = _sibling(output, "new")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            _sync_tree(temporary)
            # Made by another process in the meantime.
            _refuse_replacing(output, overwrite=overwrite, is_own=is_own)
            _put_in_place(temporary, output)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextlib.contextmanager
def scratch_directory(output: Path) -> Iterator[Path]:
    """A temporary sibling folder for what is needed on the way to `output`; it goes when the block ends.

    What a killed process leaves is removed by the next writer to the same place.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    output = _own_path(output)
    remove_leftovers(output)
    with _disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = _sibling(output, "scratch")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(output: Path) -> None:
    """Tidy what dead processes left beside `output`; a folder they had moved aside is put back first."""
    if not output.parent.is_dir():
        return
    pattern = re.compile(re.escape(f"{_TEMPORARY}{output.name}") + r"-(new|old|file|scratch)-(\d+)")
    found = [(p, m) for p in output.parent.iterdir() if (m := pattern.fullmatch(p.name))]
    for sibling, match in sorted(found, key=lambda each: each[1][1] != "old"):
        is_own = int(match[2]) == os.getpid()
        if match[1] == "scratch" if is_own else _is_alive(int(match[2])):
            continue
        if match[1] == "old" and not output.exists():
            sibling.replace(output)
            continue
        _remove(sibling)


def remove_old_leftovers(folder: Path, *, hours: float = 24) -> None:
    """Remove the unfinished files of dead processes from a folder of many files, in one look.

    Another machine's process cannot be asked whether it lives: what is younger is left.
    """
    pattern = re.compile(re.escape(_TEMPORARY) + r".+-file-(\d+)")
    with os.scandir(folder) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            if match is None or _is_alive(int(match[1])):
                continue
            with contextlib.suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > 3600 * hours:
                    Path(entry.path).unlink()


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock goes with the process, so it cannot become stale.

    Raises:
        LockedError: another process holds it; the message names its pid, host and start.
    """
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            holder = os.read(descriptor, 4096).decode("utf-8", "replace").strip()
            raise LockedError(
                "another process is writing to this folder",
                where=str(folder),
                got=holder or "a process that has not named itself yet",
                fix="wait for it to end, or choose another output",
            ) from error
        started = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()} since {started}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a file for this process while it is read and then written; another's turn is waited for.

    For a moment, not for a run: who waits is told nothing. Only those who ask for the lock heed it, and it
    goes with the process. The file need not exist; its folder is made.

    Raises:
        ResourceError: the lock cannot be made beside the file.
    """
    # Not on the file itself: writing puts a new file under its name, and the lock would stay with the old.
    beside = path.parent / f"{_TEMPORARY}{path.name}-lock"
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _open_locked(beside)
    with lock:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # left there, it is what a killed process leaves
                beside.unlink()


def _open_locked(path: Path) -> BinaryIO:
    """A file that nobody else has locked, open and locked, and still the one under its name."""
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            # One that its last holder has unlinked keeps nobody out: who comes now makes another.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()


def _own_path(output: Path) -> Path:
    """A folder's path by its own name, behind links, so that it can be renamed.

    Raises:
        UsageError: it is the root, or the folder that this process works in.
    """
    place = Path(output).resolve()
    if not place.name or place == Path.cwd():
        raise _no_output(place)
    return place


def _no_output(place: Path) -> UsageError:
    return UsageError("the output cannot be this folder", where=str(place), fix="name one inside it")


def _refuse_replacing(output: Path, *, overwrite: bool, is_own: bool) -> None:
    """Refuse to put a folder in the place of a file, or of a folder that may not go."""
    if output.is_file():
        raise UsageError(
            "the output is to be a folder, and a file is there",
            where=str(output),
            fix="choose another output",
        )
    if not is_own:
        refuse_existing(output, overwrite=overwrite)


def _sibling(output: Path, what: str) -> Path:
    """The temporary name of this process beside `output`."""
    return output.with_name(f"{_TEMPORARY}{output.name}-{what}-{os.getpid()}")


def _put_in_place(temporary: Path, output: Path) -> None:
    """Rename `temporary` to `output`; an existing `output` is moved aside, and back if that fails."""
    if not output.exists():
        temporary.replace(output)
        sync_directory(output.parent)
        return
    aside = _sibling(output, "old")
    output.replace(aside)
    try:
        temporary.replace(output)
    except BaseException:
        aside.replace(output)
        raise
    sync_directory(output.parent)
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with (Path(parent) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_directory(Path(parent))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about `path` into ours, with the fix."""
    try:
        yield
    except RamekinError:
        raise
    except OSError as error:
        fix = "free some space" if error.errno in _OUT_OF_SPACE else "choose a folder that can be written"
        raise ResourceError(
            "cannot write", where=str(path), got=error.strerror or str(error), fix=fix
        ) from error
