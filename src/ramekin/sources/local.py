"""Records from files below a data root: finding a split's file, and reading it by its extension.

A data root holds `FOLDER/SPLIT.parquet`, `.jsonl`, `.csv` or `.tsv`, with the hub's folder, split and column
names. This module knows where files are; how each format is read is in the module of that name.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from ramekin.errors import MISSING_DATA, DataError, UsageError
from ramekin.files import sha256_file
from ramekin.registry import nearest
from ramekin.sources.delimited import csv_rows, tsv_rows
from ramekin.sources.jsonl import jsonl_rows
from ramekin.sources.parquet import parquet_rows
from ramekin.sources.rows import STRICT, BadRow, BadRows, Records, gather
from ramekin.text.example import Record
from ramekin.text.task import ColumnType

__all__ = ["EXTENSIONS", "find_split", "looked_in", "nearest_folder", "present_splits", "read_file"]

_Reader: TypeAlias = Callable[[Path, Mapping[str, ColumnType]], Iterator[Record | BadRow]]
_READERS: Mapping[str, _Reader] = {
    ".parquet": parquet_rows,
    ".jsonl": jsonl_rows,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
}
EXTENSIONS = tuple(_READERS)
"""The extensions of the files that can be read."""


def read_file(
    path: Path,
    columns: Mapping[str, ColumnType],
    *,
    limit: int | None = None,
    bad_rows: BadRows = STRICT,
) -> Records:
    """Read the rows of one file, its format told by its extension.

    Args:
        path: a `.parquet`, `.jsonl`, `.csv` or `.tsv` file.
        columns: the columns that must be there, with their types; others are kept as they are.
        limit: take the first so many good rows and look at none after them.
        bad_rows: what to do about rows that cannot be used.

    Raises:
        DataError: the file cannot be read, a column is missing, or a row is bad (see `BadRows`).
    """
    path = Path(path)
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise DataError(
            "files of this kind are not read",
            where=str(path),
            expected=", ".join(EXTENSIONS),
            got=path.suffix or "no extension",
            fix="convert it; JSON lines are named .jsonl" if path.suffix == ".json" else "convert it",
        )
    try:
        if not path.is_file():
            what = "there is a folder where a file should be" if path.is_dir() else "there is no such file"
            raise DataError(what, where=str(path))
        rows, skipped = gather(reader(path, columns), origin=str(path), limit=limit, bad_rows=bad_rows)
        return Records(rows, str(path), skipped, sha256_file(path))
    except OSError as error:
        raise DataError(
            "the file cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error


def find_split(data_root: Path, folder: str, split: str) -> Path | None:
    """The file of a split below a data root, or None when the root has no such folder.

    Raises:
        UsageError: the data root is no folder, or a name leads out of it.
        DataError: the folder has no file of that split, or two.
    """
    data_root = Path(data_root)
    if not data_root.is_dir():
        raise UsageError("the data root is not a folder", where=str(data_root), fix="correct data_root")
    parts = PurePosixPath(folder).parts
    if PurePosixPath(folder).is_absolute() or ".." in parts or PurePosixPath(split).name != split:
        raise UsageError(
            "a folder and split stay below the data root", got=f"{folder}/{split}", fix="use plain names"
        )
    place = data_root.joinpath(*parts)
    if not place.is_dir():
        return None
    place = _only_configuration(place)
    found = [place / f"{split}{extension}" for extension in EXTENSIONS]
    found = [path for path in found if path.exists()]
    if len(found) > 1:
        raise DataError(
            "a split is there in two formats",
            where=str(place),
            got=" and ".join(path.name for path in found),
            fix="keep one of them",
        )
    if not found:
        raise _no_split(place, split)
    return found[0]


def looked_in(data_root: Path, folder: str) -> tuple[Path, ...]:
    """The folders that decide which file `find_split` finds: a change of any of them may give another."""
    place = Path(data_root, folder)
    return tuple(dict.fromkeys((place, _only_configuration(place)))) if place.is_dir() else (place,)


def present_splits(data_root: Path, folder: str) -> tuple[str, ...]:
    """The splits that a folder below a data root has files of, sorted; none where there is no such folder.

    Raises:
        UsageError: the data root is no folder.
    """
    if not Path(data_root).is_dir():
        raise UsageError("the data root is not a folder", where=str(data_root), fix="correct data_root")
    place = Path(data_root, folder)
    return _splits_in(_only_configuration(place)) if place.is_dir() else ()


def _splits_in(place: Path) -> tuple[str, ...]:
    return tuple(sorted({path.stem for path in place.iterdir() if path.suffix in EXTENSIONS}))


def _only_configuration(place: Path) -> Path:
    """A data set's only configuration, whatever its name: the one folder where there is nothing else."""
    inside = [path for path in place.iterdir() if not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else place


def nearest_folder(data_root: Path, folder: str) -> str | None:
    """The folder as deep below a data root whose name is closest to one that is not there."""
    held = data_root.glob("/".join("*" for _ in PurePosixPath(folder).parts))
    return nearest(folder, sorted(path.relative_to(data_root).as_posix() for path in held if path.is_dir()))


def _no_split(place: Path, split: str) -> DataError:
    present = _splits_in(place)
    near = nearest(split, present)
    hint = f" (did you mean '{near}'?)" if near is not None else ""
    return DataError(
        f"there is no split '{split}'",
        where=str(place),
        expected=f"{split}{{{','.join(EXTENSIONS)}}}",
        got=(", ".join(present) or "no files of these kinds") + hint,
        fix="add the file, choose one of the splits, or leave data_root out",
        kind=MISSING_DATA,
    )
