"""Every kind of bad row in every format that can hold it: file, line or row, column, expected and got.

A case is a file whose third line (or row 2, from 0) is bad, where the error must point, and words of its
message. The same files are then read with bad rows skipped, set aside and not reached.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ramekin.errors import DataError
from ramekin.sources.local import read_file
from ramekin.sources.rows import BadRows

COLUMNS = {"text": "string", "label": "integer", "score": "number"}
GOOD = {"text": "NA", "label": 1, "score": 2.5}


class Case(NamedTuple):
    kind: str
    file: str
    content: bytes
    place: str
    words: str

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.file.rpartition('.')[2]}"


def jsonl(kind: str, line: str | bytes, place: str, words: str) -> Case:
    good = json.dumps(GOOD).encode() + b"\n"
    bad = line.encode() if isinstance(line, str) else line
    return Case(kind, "t.jsonl", good + good + bad + b"\n" + good, f":3{place}", words)


def json_field(kind: str, column: str, value: str, words: str) -> Case:
    parts = {name: json.dumps(part) for name, part in GOOD.items()} | {column: value}
    line = "{" + ", ".join(f'"{name}": {part}' for name, part in parts.items()) + "}"
    return jsonl(kind, line, f", column '{column}'", words)


def cells(kind: str, line: str | bytes, place: str, words: str) -> list[Case]:
    """The same cells as csv (given) and tsv."""
    made = []
    raw = line.encode() if isinstance(line, str) else line
    for extension, delimiter in (("csv", b","), ("tsv", b"\t")):
        rows = [b"text,label,score", b"NA,1,2.5", raw, b"NA,1,2.5"]
        content = b"\n".join(rows).replace(b",", delimiter) + b"\n"
        made.append(Case(kind, f"t.{extension}", content, f":3{place}", words))
    return made


def parquet(kind: str, column: str, value: Any, words: str, type_: pa.DataType | None = None) -> Case:
    types = {"text": pa.string(), "label": pa.int64(), "score": pa.float64()}
    types |= {column: type_ or types[column]}
    arrays = []
    for name, column_type in types.items():
        good = b"NA" if pa.types.is_binary(column_type) else GOOD[name]
        values = [good, good, value if name == column else good, good]
        arrays.append(pa.array(values, column_type))
    if pa.types.is_binary(
        types[column]
    ):  # bytes under the name of a string, as a careless writer leaves them
        place = list(types).index(column)
        arrays[place] = pa.StringArray.from_buffers(4, *arrays[place].buffers()[1:])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, names=list(types)), sink, row_group_size=2)
    content = sink.getvalue().to_pybytes()
    return Case(kind, "t.parquet", content, f"#row 2 (from 0), column '{column}'", words)


CASES = [
    jsonl(
        "syntax", '{"text": "a" "label": 1}', ":14", "not JSON: .*expected a JSON object, got Expecting ','"
    ),
    jsonl("truncated", '{"text": "a", "lab', ":15", "not JSON: .*Unterminated string"),
    jsonl("no-object", '["a", 1, 2.5]', "", "not a JSON object: .*got \\['a', 1, 2.5\\]"),
    jsonl("null", "null", "", "not a JSON object: .*got None"),
    jsonl("duplicate-key", '{"label": 0, "label": 1}', "", "not JSON: .*the key 'label' is given twice"),
    jsonl("nan", '{"text": "a", "label": 1, "score": NaN}', "", "not JSON: .*NaN is not JSON"),
    jsonl(
        "infinity", '{"text": "a", "label": 1, "score": -Infinity}', "", "not JSON: .*-Infinity is not JSON"
    ),
    jsonl("overflow", '{"text": "a", "label": 1, "score": 1e400}', "", "the number '1e400' is too large"),
    jsonl("blank", "", "", "a line is blank: .*expected a JSON object, got an empty line; fix: remove"),
    jsonl(
        "latin-1", '{"text": "é"}'.encode("latin-1"), "", "not UTF-8: .*byte 0xE9 at byte [0-9]+ of the file"
    ),
    jsonl("nul", b'{"text": "a\0b"}', ":12", "not JSON: .*Invalid control character"),
    jsonl("deep", "[" * 100_000, "", "nested too deeply"),
    jsonl("missing-field", '{"text": "a", "score": 1}', ", column 'label'", "the column 'label' is missing"),
    json_field("none", "text", "null", "a value is missing: .*expected a string, got null"),
    json_field("type-change", "text", "17", "wrong type: .*expected a string, got integer 17"),
    json_field("string-for-integer", "label", '"1"', "wrong type: .*expected an integer, got string '1'"),
    json_field("float-for-integer", "label", "1.0", "wrong type: .*expected an integer, got number 1.0"),
    json_field("boolean-for-integer", "label", "true", "wrong type: .*expected an integer, got boolean True"),
    json_field("object-for-number", "score", "{}", "wrong type: .*expected a number, got object {}"),
    json_field(
        "int64", "label", str(2**63), "too large: .*expected an integer of 64 bits, got 9223372036854775808"
    ),
    json_field("surrogate", "text", r'"\ud800"', "half a surrogate pair: .*character 1"),
    json_field("escaped-nul", "text", r'"a\u0000"', "a NUL character: .*NUL as character 2"),
    *cells("too-few", "a,1", "", r"too few cells: .*expected 3 \('text, label, score'\), got 2"),
    *cells("too-many", "a,1,2,3", "", r"too many cells: .*expected 3 \('text, label, score'\), got 4"),
    *cells("blank", "", "", "a line is blank: .*got an empty line"),
    *cells("nul", "a\0b,1,2", "", "a NUL character: .*NUL as character 2"),
    *cells("latin-1", "é,1,2".encode("latin-1"), "", "not UTF-8: .*byte 0xE9 at byte [0-9]+ of the file"),
    *cells("carriage-return", "a\rb,1,2", ":2", "a carriage return stands alone"),
    *cells("empty-integer", "a,,2", ", column 'label'", "cannot be read as .*expected an integer, got ''"),
    *cells("na-for-integer", "a,NA,2", ", column 'label'", "expected an integer, got 'NA'"),
    *cells("float-for-integer", "a,1.0,2", ", column 'label'", "expected an integer, got '1.0'"),
    *cells("boolean-for-integer", "a,True,2", ", column 'label'", "expected an integer, got 'True'"),
    *cells("spaces", "a, 1,2", ", column 'label'", "got ' 1'; fix: remove the spaces around the value"),
    *cells("int64", f"a,{2**63},2", ", column 'label'", "too large: .*got '9223372036854775808'"),
    *cells("nan", "a,1,nan", ", column 'score'", "expected a number, got 'nan'"),
    *cells("overflow", "a,1,1e400", ", column 'score'", "a number is not finite: .*got inf"),
    cells("stray-quote", '5" disk,1,2', ":2", "a quote stands inside an unquoted cell")[0],
    cells("after-quote", '"a"b,1,2', ":4", "text follows a closing quote")[0],
    parquet("none", "text", None, "a value is missing: .*expected a string, got null"),
    parquet("none", "label", None, "a value is missing: .*expected an integer, got null"),
    parquet("nan", "score", float("nan"), "a number is not finite: .*got nan"),
    parquet("infinity", "score", float("inf"), "a number is not finite: .*got inf"),
    parquet(
        "int64", "label", 2**63, "an integer is too large: .*expected an integer of 64 bits", pa.uint64()
    ),
    parquet("nul", "text", "a\0b", "a NUL character: .*NUL as character 2"),
    parquet("invalid-utf8", "text", b"caf\xe9", "not UTF-8: .*byte 0xE9 at byte 3 of the value", pa.binary()),
]


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def case(request, tmp_path):
    (tmp_path / request.param.file).write_bytes(request.param.content)
    return request.param


def test_the_error_points_at_the_row_and_says_what_was_expected(case, tmp_path):
    path = tmp_path / case.file
    with pytest.raises(DataError) as caught:
        read_file(path, COLUMNS)
    assert caught.value.where == f"{path}{case.place}"
    assert re.search(case.words, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_skipped_it_is_counted_and_the_others_are_read(case, tmp_path):
    found = read_file(tmp_path / case.file, COLUMNS, bad_rows=BadRows("skip"))
    good = 2 if case.file in ("t.csv", "t.tsv") else 3
    assert list(found.rows) == [GOOD] * good
    assert found.skipped == 1


def test_quarantined_it_is_kept_with_its_reason(case, tmp_path):
    aside = tmp_path / "aside.jsonl"
    read_file(tmp_path / case.file, COLUMNS, bad_rows=BadRows("quarantine", quarantine=aside))
    (entry,) = (json.loads(line) for line in aside.read_text("utf-8").splitlines())
    assert entry["where"] == f"{tmp_path / case.file}{case.place}"
    assert re.search(case.words, entry["reason"])
    assert isinstance(entry["row"], str)


def test_beyond_the_limit_it_is_not_reached(case, tmp_path):
    found = read_file(tmp_path / case.file, COLUMNS, limit=1)
    assert (list(found.rows), found.skipped) == ([GOOD], 0)


def test_the_kinds_are_many_in_each_format():
    kinds: Mapping[str, set[str]] = {}
    for case in CASES:
        kinds = {**kinds, case.file: kinds.get(case.file, set()) | {case.kind}}
    assert {file: len(found) for file, found in kinds.items()} == {
        "t.jsonl": 22,
        "t.csv": 16,
        "t.tsv": 14,
        "t.parquet": 6,
    }
