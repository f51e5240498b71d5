import pyarrow as pa
import pytest

from ramekin.errors import DataError
from ramekin.sources.arrow import arrow_rows, check_schema
from ramekin.sources.rows import BadRow


def rows(table: pa.Table, columns, *, chunk: int | None = None):
    check_schema(table.schema, columns, where="t")
    return list(arrow_rows(table.to_batches(max_chunksize=chunk), columns, where="t"))


def column(values, type_=None, kind="any"):
    return [
        row if isinstance(row, BadRow) else row["c"] for row in rows(table_of(values, type_), {"c": kind})
    ]


def table_of(values, type_=None) -> pa.Table:
    return pa.table({"c": values if isinstance(values, pa.Array) else pa.array(values, type_)})


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        (pa.string(), "string"),
        (pa.large_string(), "string"),
        (pa.string_view(), "string"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
    ],
)
def test_every_kind_of_string(type_, kind):
    assert column(["NA", "", "naïve", "NA"], type_, kind) == ["NA", "", "naïve", "NA"]
    assert [isinstance(value, BadRow) for value in column(["a", "b\0", None], type_, kind)] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("type_", [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()])
def test_every_kind_of_integer(type_):
    assert column([0, 1, 127], type_, "integer") == [0, 1, 127]


@pytest.mark.parametrize("type_", [pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint64()])
def test_every_kind_of_number_becomes_a_float(type_):
    values = column([0, 2, 5], type_, "number")
    assert values == [0.0, 2.0, 5.0]
    assert {type(value) for value in values} == {float}


def test_numbers_stay_floats_beside_bad_ones():
    first, second, third = column([1, None, 2], pa.int64(), "number")
    assert (first, third, type(first), type(third)) == (1.0, 2.0, float, float)
    assert second.place == "#row 1 (from 0)"


def test_integers_that_a_float_cannot_hold():
    bad, good = column([2**53 + 1, 2**53], pa.int64(), "number")
    assert (bad.what, good) == ("a number cannot be held exactly", 2.0**53)


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.list_(pa.string()), [["a", None], []]),
        (pa.large_list(pa.int64()), [[1], []]),
        (pa.list_(pa.int64(), 1), [[1], [2]]),
    ],
)
def test_every_kind_of_list(type_, values):
    assert column(values, type_, "list") == values


def test_any_takes_structures_and_nothing():
    assert column([{"text": ["a"], "label": ["A"]}, None]) == [{"text": ["a"], "label": ["A"]}, None]


def test_a_column_of_nothing_but_nulls_says_so_by_row():
    assert [row.what for row in column([None, None], pa.null(), "string")] == ["a value is missing"] * 2


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        (pa.string(), "integer"),
        (pa.bool_(), "integer"),
        (pa.float64(), "integer"),
        (pa.int64(), "string"),
        (pa.binary(), "string"),
        (pa.bool_(), "number"),
        (pa.string(), "number"),
        (pa.decimal128(5, 2), "number"),
        (pa.int64(), "boolean"),
        (pa.string(), "list"),
        (pa.dictionary(pa.int32(), pa.string()), "integer"),
    ],
)
def test_wrong_types_are_told_from_the_schema(type_, kind):
    schema = pa.schema({"c": type_})
    with pytest.raises(DataError) as caught:
        check_schema(schema, {"c": kind}, where="t")
    assert str(caught.value) == (
        f"a column is of the wrong type: t#c: expected {kind}, got {type_}; "
        "fix: convert the column, or correct the task's columns"
    )


def test_a_missing_column_and_one_there_twice():
    with pytest.raises(DataError, match="the column 'label' is missing: t: .*did you mean 'lable'"):
        check_schema(pa.schema({"lable": pa.int64()}), {"label": "integer"}, where="t")
    with pytest.raises(DataError, match="a column is there twice: t: got 'a'"):
        check_schema(pa.schema([("a", pa.int64()), ("a", pa.int64())]), {}, where="t")


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_rows_are_counted_over_batches_and_the_good_stay_in_order(chunk):
    table = pa.table({"c": ["a", None, "b", "c", None], "extra": [0, 1, 2, 3, 4]})
    found = rows(table, {"c": "string"}, chunk=chunk)
    assert [row.place for row in found if isinstance(row, BadRow)] == ["#row 1 (from 0)", "#row 4 (from 0)"]
    assert [row for row in found if not isinstance(row, BadRow)] == [
        {"c": "a", "extra": 0},
        {"c": "b", "extra": 2},
        {"c": "c", "extra": 3},
    ]


def test_the_first_bad_column_of_a_row_is_named():
    table = pa.table({"a": pa.array([None], pa.string()), "b": pa.array([None], pa.string())})
    (bad,) = rows(table, {"b": "string", "a": "string"})
    assert bad.column == "b"
    assert bad.raw == "{'a': None, 'b': None}"


def not_utf8(*values: bytes) -> pa.Array:
    array = pa.array(values, pa.binary())
    return pa.StringArray.from_buffers(len(array), *array.buffers()[1:])


def test_texts_that_are_not_utf8():
    good, bad = column(not_utf8(b"caf\xc3\xa9", b"caf\xe9"), kind="string")
    assert (good, bad.got) == ("café", "byte 0xE9 at byte 3 of the value")


def test_texts_within_lists_that_are_not_utf8():
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2]), not_utf8(b"a", b"\xed\xa0\x80"))
    good, bad = column(lists, kind="list")
    assert (good, bad.what) == (["a"], "a text is not UTF-8")


def test_an_undeclared_column_that_python_cannot_hold():
    table = pa.table({"c": ["a"], "extra": not_utf8(b"\xff")})
    with pytest.raises(
        DataError, match=r"an undeclared column cannot be read: t#extra: got string: .*remove or"
    ):
        rows(table, {"c": "string"})
