"""The records of a task's split, wherever they are: the synthetic world, a data root, or the hub.

This module knows the order in which places are looked in; each place is read by its own module.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from ramekin.errors import MISSING_DATA, DataError, UsageError
from ramekin.registry import unknown_name
from ramekin.sources.columns import Misfit, fit_record
from ramekin.sources.local import (
    EXTENSIONS,
    find_split,
    looked_in,
    nearest_folder,
    present_splits,
    read_file,
)
from ramekin.sources.rows import STRICT, BadRows, Records, gather
from ramekin.text.task import ColumnType, Source

__all__ = [
    "BadRows",
    "DataState",
    "Records",
    "data_folders",
    "data_state",
    "read_records",
    "split_part",
    "splits_at_hand",
]


def read_records(
    source: Source,
    split: str,
    *,
    columns: Mapping[str, ColumnType],
    data_root: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    bad_rows: BadRows = STRICT,
) -> Records:
    """Read the rows of one split of a task.

    A task of the synthetic world is generated. Otherwise a data root that has the task's folder is read
    (a split missing there is an error: rows of two editions are never mixed silently); and only when it has
    no such folder, or none is given, the hub is asked. Labels are not judged here: the -1 of a hub test split
    is an integer like any other.

    Args:
        source: where the task's records are.
        split: by our name, such as `validation`.
        columns: the columns that must be there, with their types; others are kept as they are.
        data_root: a folder of files with the hub's names, `FOLDER/SPLIT.parquet|jsonl|csv|tsv`.
        limit: take only the first so many good rows; of the synthetic world, make so many.
        seed: of the synthetic world; files and hub do not depend on it.
        bad_rows: what to do about rows that cannot be used.

    Raises:
        UsageError: the split is unknown to the task.
        DataError: the records cannot be found or read, or a row is bad (see `BadRows`).
    """
    theirs, part = split_part(_split_of(source, split))
    if part is not None:
        whole = dataclasses.replace(source, splits={split: theirs})
        records = read_records(
            whole, split, columns=columns, data_root=data_root, seed=seed, bad_rows=bad_rows
        )
        rows = records.rows[part][:limit]
        return dataclasses.replace(records, rows=rows, origin=f"{records.origin}{_shown(part)}")
    if source.world is not None:
        return _read_world(source, split, theirs, columns, limit, seed)
    if source.file is not None:
        from ramekin.sources.instances import read_instances

        return read_instances(Path(source.file), source.form, theirs, limit=limit, bad_rows=bad_rows)
    folder = _folder(source)
    path = None if data_root is None else find_split(data_root, folder, theirs)
    if path is not None:
        return read_file(path, columns, limit=limit, bad_rows=bad_rows)
    if source.hub is None:
        raise _nowhere(data_root, folder, theirs, source.obtain)

    from ramekin.sources.hub import read_hub

    return read_hub(
        source.hub,
        source.name,
        theirs,
        columns=columns,
        obtain=source.obtain,
        revision=source.revision,
        expected_file=_looked_for(data_root, folder, theirs) + _near(data_root, folder),
        limit=limit,
        bad_rows=bad_rows,
    )


@final
@dataclasses.dataclass(frozen=True)
class DataState:
    """What can be known of a split's data without reading it: equal values, equal rows."""

    told: Mapping[str, Any]
    """JSON values: a file with its size and time of change, a hub id and revision, or a world and seed."""
    file: Path | None
    """The file, where there is one."""


def data_state(source: Source, split: str, *, data_root: Path | None, seed: int = 0) -> DataState:
    """Where `read_records` would read a split, and in which state it is.

    Raises:
        UsageError: the split is unknown to the task.
        DataError: the file is missing.
    """
    theirs, part = split_part(_split_of(source, split))
    if source.world is not None:
        rows = source.rows.get(split, source.rows.get(theirs))
        return DataState({"world": source.world, "split": theirs, "rows": rows, "seed": seed}, None)
    folder = None if source.file is not None else _folder(source)
    path = Path(source.file) if source.file is not None else None
    if data_root is not None and folder is not None:
        path = find_split(data_root, folder, theirs)
    told: dict[str, Any] = {"split": theirs, "part": None if part is None else _shown(part)}
    if path is None:
        if source.hub is None:
            assert folder is not None
            raise _nowhere(data_root, folder, theirs, source.obtain)
        return DataState({**told, "hub": source.hub, "name": source.name, "revision": source.revision}, None)
    try:
        state = path.stat()
    except OSError as error:
        raise DataError("the task's records cannot be read", where=str(path), got=error.strerror) from error
    where = {"file": str(path.resolve()), "size": state.st_size, "changed_ns": state.st_mtime_ns}
    return DataState({**told, **where}, path)


def data_folders(source: Source, data_root: Path | None) -> tuple[Path, ...]:
    """The folders below a data root that a source's files are looked for in, there or not."""
    if data_root is None or source.world is not None or source.file is not None:
        return ()
    return looked_in(data_root, _folder(source))


def splits_at_hand(source: Source, data_root: Path | None) -> tuple[str, ...]:
    """The splits that can be read without the hub, by our names; the files' own where the task names none.

    Raises:
        UsageError: the data root is no folder.
    """
    if source.world is not None or source.file is not None:
        return tuple(source.splits)
    present = () if data_root is None else present_splits(data_root, _folder(source))
    if not source.splits:
        return present
    return tuple(ours for ours, theirs in source.splits.items() if split_part(theirs)[0] in present)


def _split_of(source: Source, split: str) -> str:
    """The source's name of a split; its own names are known too."""
    if not source.has_split(split):
        raise UsageError(unknown_name("split", split, source.splits))
    return source.splits.get(split, split)


_PART = re.compile(r"(?P<name>[^\[\]]+)\[(?P<start>-?\d+)?:(?P<stop>-?\d+)?\]")


def split_part(split: str) -> tuple[str, slice | None]:
    """A split's name and which part of it is meant; None: all of it.

    >>> split_part("train[-200:]"), split_part("train")
    (('train', slice(-200, None, None)), ('train', None))
    """
    found = _PART.fullmatch(split)
    if found is None:
        return split, None
    start, stop = (None if found[key] is None else int(found[key]) for key in ("start", "stop"))
    return found["name"], slice(start, stop)


def _shown(part: slice) -> str:
    start, stop = ("" if bound is None else bound for bound in (part.start, part.stop))
    return f"[{start}:{stop}]"


def _folder(source: Source) -> str:
    if source.local is not None:
        return source.local
    if source.hub is not None:
        return f"{source.hub}/{source.name}" if source.name is not None else source.hub
    raise DataError("the task's source names no place", expected="one of hub, local and world")


def _read_world(
    source: Source,
    split: str,
    theirs: str,
    columns: Mapping[str, ColumnType],
    limit: int | None,
    seed: int,
) -> Records:
    from ramekin.sources.world import generate

    assert source.world is not None
    ours = split if split in source.rows else theirs
    if ours not in source.rows:
        raise UsageError(unknown_name("split", split, source.rows))
    origin = f"world seed={seed}"
    fitted = []
    count = source.rows[ours] if limit is None else limit  # the world has as many as are asked for
    for row in generate(source.world, theirs, n=count, seed=seed):
        record = fit_record(row, columns)
        if isinstance(record, Misfit):
            raise DataError(
                record.what,
                where=f"{origin} {source.world}/{theirs}, column '{record.column}'",
                expected=record.expected,
                got=record.got,
                fix="correct the task's columns",
            )
        fitted.append(record)
    rows, _ = gather(fitted, origin=origin, limit=limit, bad_rows=STRICT)
    return Records(rows, origin, 0, None)


def _looked_for(data_root: Path | None, folder: str, split: str) -> str:
    root = "DIR" if data_root is None else str(data_root)
    return f"{root}/{folder}/{split}{{{','.join(EXTENSIONS)}}}"


def _nowhere(data_root: Path | None, folder: str, split: str, obtain: str) -> DataError:
    expected = _looked_for(data_root, folder, split)
    if data_root is None:
        return DataError(
            "the task's records are not on the hub",
            expected=expected,
            fix=f"give data_root=DIR with that file; {obtain}"
            if obtain
            else "give data_root=DIR with that file",
            kind=MISSING_DATA,
        )
    return DataError(
        "the data root has no such folder",
        where=str(data_root),
        expected=expected,
        got=f"no folder '{folder}'{_near(data_root, folder)}",
        fix=f"add the file there, or correct data_root; {obtain}"
        if obtain
        else "add the file there, or correct data_root",
        kind=MISSING_DATA,
    )


def _near(data_root: Path | None, folder: str) -> str:
    near = nearest_folder(data_root, folder) if data_root is not None else None
    return f" (the nearest folder there is '{near}')" if near is not None else ""
