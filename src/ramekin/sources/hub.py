"""Records from the Hugging Face hub or its cache on this machine, through `datasets`.

No code of a data set is run, and a machine without network learns so in seconds: the hub is asked for a sign
of life first, because `datasets` and `huggingface_hub` between them try again for half a minute. `datasets`
prepares every split of a configuration in its cache; only the one asked for is read from there. This module
knows nothing of data roots; it is told which file would have done.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramekin.errors import MISSING_DATA, DataError
from ramekin.sources.arrow import arrow_rows, check_schema
from ramekin.sources.rows import STRICT, BadRows, Records, gather
from ramekin.text.task import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CONVERTED", "converted_files", "read_hub"]

CONVERTED = "refs/convert/parquet"
"""The branch on which the hub keeps its own parquet conversion of data sets that have a loading script."""

_BATCH_ROWS = 4096
_PROBE_SECONDS = 5.0
_COMMIT = re.compile(r"[0-9a-f]{40}")


def read_hub(
    hub: str,
    name: str | None,
    split: str,
    *,
    columns: Mapping[str, ColumnType],
    expected_file: str,
    obtain: str = "",
    revision: str | None = None,
    limit: int | None = None,
    bad_rows: BadRows = STRICT,
) -> Records:
    """Read the rows of one split of a hub data set; labels of hub classes are their plain integers.

    Args:
        hub: the data set's path, such as `nyu-mll/glue`.
        name: the configuration's name, such as `rte`, or None for the only one.
        split: the hub's name of the split.
        columns: the columns that must be there, with their types; others are kept as they are.
        expected_file: the file below a data root that would have served instead, for errors.
        obtain: how else to come by the records, for errors.
        revision: a commit or tag to pin, or None for the newest.
        limit: take only the first so many good rows.
        bad_rows: what to do about rows that cannot be used.

    Raises:
        DataError: the data set cannot be reached or has no such configuration, split or revision, its
            columns are not those declared, or a row is bad.
    """
    label = hub if name is None else f"{hub}/{name}"
    where = f"{label}, split '{split}'" + (f", revision '{revision}'" if revision else "")
    remedies = f"give data_root=DIR with the file {expected_file}, or a network (or a cached copy)"
    if obtain:
        remedies = f"{remedies}; {obtain}"
    if Path(hub).exists():
        # `datasets` would read the folder instead, whatever is in it.
        raise DataError(
            "a local path has the name of the hub data set and would be read instead of it",
            where=where,
            got=str(Path(hub).resolve()),
            fix="run from another folder, or give data_root=DIR",
        )
    unreachable = _reach()
    dataset = _load(hub, name, split, revision, unreachable, where=where, remedies=remedies)
    commit = _commit(dataset)
    _check_revision(revision, commit, unreachable, where=where, remedies=remedies)
    origin = f"{label}@{_revision(revision, commit)}/{split}"
    check_schema(dataset.data.schema, columns, where=origin)
    stream = arrow_rows(_batches(dataset), columns, where=origin)
    rows, skipped = gather(stream, origin=origin, limit=limit, bad_rows=bad_rows)
    return Records(rows, origin, skipped, None)


def _load(
    hub: str,
    name: str | None,
    split: str,
    revision: str | None,
    unreachable: str | None,
    *,
    where: str,
    remedies: str,
) -> Any:
    import datasets

    try:
        with contextlib.nullcontext() if unreachable is None else _offline():
            if revision == CONVERTED:
                files = converted_files(hub, name, split)
                return datasets.load_dataset("parquet", data_files={split: files}, split=split)
            return datasets.load_dataset(hub, name, split=split, revision=revision)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        what = "the data set cannot be read from the hub"
        if unreachable is not None:
            what = "the hub cannot be reached, and the local cache does not have the data set"
            cached = "nothing in the cache" if isinstance(error, ConnectionError) else reason
            reason = f"{unreachable}; {cached}"
        raise DataError(what, where=where, got=reason, fix=remedies, kind=MISSING_DATA) from error


def converted_files(hub: str, name: str | None, split: str) -> str:
    """The files of one split in the hub's own parquet conversion of a data set.

    `load_dataset(hub, name, revision=…)` takes the whole branch for one configuration called `default`, and
    reads a folder such as `challenge_train_sample` into `train`; so the files are named.
    """
    branch = CONVERTED.replace("/", "%2F")
    return f"hf://datasets/{hub}@{branch}/{name or '*'}/{split}/*.parquet"


def _check_revision(
    asked: str | None, commit: str | None, unreachable: str | None, *, where: str, remedies: str
) -> None:
    """Refuse a cached copy that is not, or may not be, the pinned revision.

    Without network `datasets` takes the newest copy in its cache, whatever revision was asked for.
    """
    if asked is None or asked in (commit, CONVERTED):
        return
    if unreachable is not None or (commit is not None and _COMMIT.fullmatch(asked)):
        raise DataError(
            "the cached copy of the data set is of another revision, or of one that cannot be told",
            where=where,
            expected=asked,
            got=commit or "unknown",
            fix=f"pin the commit itself, or {remedies}",
        )


def _reach() -> str | None:
    """None when the hub answers anything at all, else why it cannot be asked.

    The session is the hub client's own, so that proxies and certificates are those of the real requests.
    """
    from datasets import config
    from huggingface_hub import constants, get_session

    if config.HF_HUB_OFFLINE or constants.HF_HUB_OFFLINE:
        return "offline mode is set (HF_HUB_OFFLINE or HF_DATASETS_OFFLINE)"
    try:
        get_session().head(constants.ENDPOINT, timeout=_PROBE_SECONDS)
    except Exception as error:  # whichever HTTP client this version of the hub library is built on
        return f"no answer from {constants.ENDPOINT}: {error or type(error).__name__}"
    return None


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Have `datasets` look into its cache alone; both libraries keep a flag of their own."""
    from datasets import config
    from huggingface_hub import constants

    saved = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = saved


def _batches(dataset: Any) -> Iterator["pa.RecordBatch"]:
    for table in dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS):
        yield from table.combine_chunks().to_batches()


def _commit(dataset: Any) -> str | None:
    """The commit that `datasets` read: the folder of its cache is named by it."""
    for file in dataset.cache_files:
        for folder in Path(file["filename"]).parts:
            if _COMMIT.fullmatch(folder):
                return folder
    return None


def _revision(asked: str | None, commit: str | None) -> str:
    if asked is None or asked == commit:
        return commit or "unknown revision"
    return f"{asked} ({commit})" if commit else asked
