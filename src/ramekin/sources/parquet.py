"""Records from parquet files: the schema first, then the rows batch by batch.

This module knows how a parquet file can be damaged; what the columns may hold is `arrow`'s business.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ramekin.errors import DataError
from ramekin.sources.arrow import arrow_rows, check_schema
from ramekin.sources.rows import BadRow
from ramekin.text.example import Record
from ramekin.text.task import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["parquet_rows"]

_MAGIC = b"PAR1"
_BATCH_ROWS = 4096


def parquet_rows(path: Path, columns: Mapping[str, ColumnType]) -> Iterator[Record | BadRow]:
    """Yield the rows of a parquet file in order, good and bad, a batch ahead at most.

    Raises:
        DataError: the file is no parquet, is damaged, or its columns are not those declared.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_ends(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            check_schema(file.schema_arrow, columns, where=str(path))
            yield from arrow_rows(_batches(file), columns, where=str(path))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: names in a damaged footer
        raise DataError(
            "the parquet file is damaged",
            where=str(path),
            got=str(error).split("\n")[0],
            fix="fetch or write the file again",
        ) from error


def _batches(file: "pa.parquet.ParquetFile") -> Iterator["pa.RecordBatch"]:
    promised: int = file.metadata.num_rows
    met = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        met += batch.num_rows
        yield batch
    if met != promised:
        raise OSError(f"{met} rows where the footer says {promised}")


def _check_ends(path: Path) -> None:
    """Tell a truncated file from one that never was parquet; pyarrow's message is the same for both."""
    size = path.stat().st_size
    if size == 0:
        raise DataError("the file is empty", where=str(path), expected="a parquet file")
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if head != _MAGIC:
        text = "what looks like JSON lines" if head.lstrip()[:1] == b"{" else repr(head)
        raise DataError(
            "the file is not parquet",
            where=str(path),
            expected="a file that begins with PAR1",
            got=text,
            fix="give it the extension of what it is: .jsonl, .csv or .tsv",
        )
    if tail != _MAGIC or size < 12:
        raise DataError(
            "the parquet file is truncated",
            where=str(path),
            expected="a file that ends with PAR1",
            got=f"{size} bytes ending in {tail!r}",
            fix="fetch or write the file again",
        )
