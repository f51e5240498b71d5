"""Any list of records is equal after a trip through each format that can hold it."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.sources.local import read_file

COLUMNS = {"text": "string", "label": "integer", "score": "number", "flag": "boolean", "parts": "list"}

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.sampled_from(
    ["NA", "null", "None", "", "nan", "1", "true", '"', "a,b", "a\r\nb", "\ufeff"]
)
records = st.lists(
    st.fixed_dictionaries(
        {
            "text": text,
            "label": st.integers(-(2**63), 2**63 - 1),
            "score": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
            "flag": st.booleans(),
            "parts": st.lists(text, max_size=3),
        }
    ),
    min_size=1,
    max_size=8,
)


def read(path):
    found = read_file(path, COLUMNS)
    assert found.skipped == 0
    return list(found.rows)


def cells(record):
    return [
        value if isinstance(value, str) else json.dumps(value)
        for value in (record[column] for column in COLUMNS)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trips")


@given(records, st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_jsonl(folder, table, ascii_only, end):
    body = "".join(json.dumps(record, ensure_ascii=ascii_only) + end for record in table)
    (folder / "t.jsonl").write_bytes(body.encode())
    assert read(folder / "t.jsonl") == table


@given(records, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_csv(folder, table, end, quoting):
    if quoting == csv.QUOTE_MINIMAL and end == "\n":
        # Before 3.13 Python's writer leaves a lone carriage return without quotes then: no reader's to mend.
        table = [record | {"text": record["text"].replace("\r", "")} for record in table]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=quoting)
    writer.writerows([list(COLUMNS), *map(cells, table)])
    (folder / "t.csv").write_bytes(out.getvalue().encode())
    assert read(folder / "t.csv") == table


@given(records)
def test_tsv(folder, table):
    table = [record | {"text": "".join(c for c in record["text"] if c not in "\t\r\n")} for record in table]
    body = "".join("\t".join(row) + "\n" for row in [list(COLUMNS), *map(cells, table)])
    (folder / "t.tsv").write_bytes(body.encode())
    assert read(folder / "t.tsv") == table


@given(records, st.integers(1, 4))
def test_parquet(folder, table, rows_a_group):
    schema = pa.schema(
        {"text": pa.string(), "label": pa.int64(), "score": pa.float64(), "flag": pa.bool_()}
        | {"parts": pa.list_(pa.string())}
    )
    floats = [record | {"score": float(record["score"])} for record in table]
    pq.write_table(pa.Table.from_pylist(floats, schema), folder / "t.parquet", row_group_size=rows_a_group)
    assert read(folder / "t.parquet") == table
