"""Records from Arrow batches (parquet files and hub data sets), checked a whole column at once.

The declared type is held against the Arrow type first; only missing, non-finite and unsound values are then
looked for, and rows are counted from 0. This module knows neither files nor the hub.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ramekin.errors import DataError
from ramekin.sources.columns import Misfit, fit_value, refuse_missing
from ramekin.sources.rows import BadRow, show
from ramekin.text.example import Record
from ramekin.text.task import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_rows", "check_schema"]


def check_schema(schema: "pa.Schema", columns: Mapping[str, ColumnType], *, where: str) -> None:
    """Hold the declared columns against an Arrow schema.

    Raises:
        DataError: a column is missing, is there twice, or is of another type.
    """
    names: list[str] = list(schema.names)
    for name in names:
        if names.count(name) > 1:
            raise DataError("a column is there twice", where=where, got=show(name), fix="rename one")
    refuse_missing(columns, names, where=where, fix="rename the column, or correct the task's columns")
    for column, kind in columns.items():
        found = schema.field(column).type
        if not _fits(found, kind):
            raise DataError(
                "a column is of the wrong type",
                where=f"{where}#{column}",
                expected=kind,
                got=str(found),
                fix="convert the column, or correct the task's columns",
            )


def arrow_rows(
    batches: Iterable["pa.RecordBatch"], columns: Mapping[str, ColumnType], *, where: str
) -> Iterator[Record | BadRow]:
    """Yield the rows of batches that passed `check_schema`, in order, good and bad.

    Raises:
        DataError: an undeclared column holds what Python cannot.
    """
    first = 0
    for batch in batches:
        arrays = {name: batch.column(place) for place, name in enumerate(batch.schema.names)}
        bad: dict[int, Misfit] = {}
        for column, kind in columns.items():
            arrays[column], misfits = _fit_column(arrays[column], kind)
            for row, misfit in misfits.items():
                bad.setdefault(row, misfit._replace(column=column))
        good = _records(arrays, [row for row in range(batch.num_rows) if row not in bad], where)
        for row in range(batch.num_rows):
            yield _bad(bad[row], first + row, arrays, row) if row in bad else next(good)
        first += batch.num_rows


def _fits(found: "pa.DataType", kind: ColumnType) -> bool:
    from pyarrow import types

    if types.is_dictionary(found):
        found = found.value_type
    if kind == "any" or types.is_null(found):  # a column of nothing but nulls: each row says so itself
        return True
    checks: Mapping[ColumnType, tuple[Callable[[Any], bool], ...]] = {
        "string": (types.is_string, types.is_large_string, types.is_string_view),
        "integer": (types.is_integer,),
        "number": (types.is_integer, types.is_floating),
        "boolean": (types.is_boolean,),
        "list": (types.is_list, types.is_large_list, types.is_fixed_size_list),
    }
    return any(check(found) for check in checks[kind])


def _fit_column(array: "pa.Array", kind: ColumnType) -> tuple["pa.Array", dict[int, Misfit]]:
    """The column as its type has it, and the rows (within the batch) that do not fit."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not _suspicious(array, kind):
        return (array.cast(pa.float64()) if kind == "number" else array), {}
    misfits: dict[int, Misfit] = {}
    for row in range(len(array)):
        value = _value(array, row)
        if not isinstance(value, Misfit):
            value = fit_value(value, kind)
        if isinstance(value, Misfit):
            misfits[row] = value
    if kind == "number":
        array = pa.array(
            [None if row in misfits else float(array[row].as_py()) for row in range(len(array))], pa.float64()
        )
    return array, misfits


def _suspicious(array: "pa.Array", kind: ColumnType) -> bool:
    """Whether a column may hold a value that does not fit; if not, no value is looked at one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind in ("list", "any") or array.null_count:
        return True
    try:
        array.validate(full=True)
        if kind == "string":
            text = array.cast(pa.large_string())
            return bool(pc.any(pc.match_substring(text, "\0")).as_py())
        if kind == "integer":
            array.cast(pa.int64())
        if kind == "number":
            return not pc.all(pc.is_finite(array.cast(pa.float64()))).as_py()
    except pa.ArrowInvalid:
        return True
    return False


def _records(arrays: Mapping[str, "pa.Array"], rows: list[int], where: str) -> Iterator[Record]:
    """The records of some rows of a batch, all converted at once."""
    import pyarrow as pa

    names = list(arrays)
    columns = []
    for name, array in arrays.items():
        try:
            whole = len(rows) == len(array)
            columns.append(array.to_pylist() if whole else [array[row].as_py() for row in rows])
        except (ValueError, pa.ArrowException) as error:
            raise DataError(
                "an undeclared column cannot be read",
                where=f"{where}#{name}",
                got=f"{array.type}: {error}",
                fix="remove or convert the column",
            ) from error
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _value(array: "pa.Array", row: int) -> Any:
    """One value, or a `Misfit` if it holds a text that is not UTF-8."""
    try:
        return array[row].as_py()
    except UnicodeDecodeError as error:
        got = f"byte 0x{error.object[error.start]:02X} at byte {error.start} of the value"
        return Misfit(None, "a text is not UTF-8", "UTF-8 text", got, "write the file again from sound text")


def _bad(misfit: Misfit, row: int, arrays: Mapping[str, "pa.Array"], within: int) -> BadRow:
    values = {name: _value(array, within) for name, array in arrays.items()}
    raw = ", ".join(f"{show(name)}: {show(value, width=10_000)}" for name, value in values.items())
    return BadRow(
        misfit.what,
        f"#row {row} (from 0)",
        misfit.column,
        misfit.expected,
        misfit.got,
        misfit.fix,
        f"{{{raw}}}",
    )
