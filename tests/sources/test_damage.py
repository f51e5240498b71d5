"""Files damaged at random: records, or one of our errors on one line; never another exception."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ramekin.errors import DataError
from ramekin.sources.local import read_file
from ramekin.sources.rows import BadRows

COLUMNS = {"text": "string", "label": "integer", "parts": "list"}
ROWS = [{"text": f'some "quoted" text é {row}', "label": row, "parts": ["a", str(row)]} for row in range(20)]
INSERTS = [b'"', b"\n", b"\0", b",", b"\t", b"\r", b"\xff", b"{", b"\\ud800", b"\xff\xfe"]


def sound(extension: str) -> bytes:
    if extension == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=8)
        return sink.getvalue().to_pybytes()
    if extension == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    if extension == "csv":
        lines = (f'"a ""{row}"",\n b",{row},"[""é""]"\n' for row in range(20))
        return ("text,label,parts\n" + "".join(lines)).encode()
    return ("text\tlabel\tparts\n" + "".join(f'a "{row}\t{row}\t["é"]\n' for row in range(20))).encode()


def damaged(data: bytes, rng: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made))
        match rng.randrange(5):
            case 0:
                made[at] = rng.randrange(256)
            case 1:
                del made[at : at + rng.randint(1, 20)]
            case 2:
                made[at:at] = rng.choice(INSERTS)
            case 3:
                del made[max(1, at) :]
            case 4:
                made[at:at] = made[max(0, at - 50) : at]
        made = made or bytearray(b"x")
    return bytes(made)


@pytest.mark.parametrize("extension", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("number", [100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_files(tmp_path, extension, number):
    data, rng = sound(extension), random.Random(number)
    path = tmp_path / f"t.{extension}"
    errors = 0
    for _ in range(number):
        path.write_bytes(damaged(data, rng))
        for action in ("error", "skip"):
            try:
                found = read_file(path, COLUMNS, bad_rows=BadRows(action))
            except DataError as error:
                errors += 1
                assert str(path) in str(error)
                assert "\n" not in str(error)
            else:
                assert all(type(row["label"]) is int and type(row["parts"]) is list for row in found.rows)
    assert errors > number / 4
