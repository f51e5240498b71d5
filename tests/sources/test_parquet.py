import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ramekin.errors import DataError
from ramekin.sources.parquet import parquet_rows
from ramekin.sources.rows import BadRow

COLUMNS = {"sentence": "string", "label": "integer"}


def sound(rows: int = 3, **settings) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"sentence": [f"row {row}" for row in range(rows)], "label": list(range(rows))})
    pq.write_table(table, sink, **settings)
    return sink.getvalue().to_pybytes()


def read(tmp_path, data: bytes, columns=COLUMNS):
    (tmp_path / "t.parquet").write_bytes(data)
    return list(parquet_rows(tmp_path / "t.parquet", columns))


def test_rows_in_order_over_batches_and_groups(tmp_path):
    found = read(tmp_path, sound(10_000, row_group_size=3000))
    assert found == [{"sentence": f"row {row}", "label": row} for row in range(10_000)]


def test_the_rows_of_a_later_batch_keep_their_numbers(tmp_path):
    table = pa.table(
        {"sentence": [None if row == 9000 else "a" for row in range(10_000)], "label": [1] * 10_000}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    (bad,) = [row for row in parquet_rows(tmp_path / "t.parquet", COLUMNS) if isinstance(row, BadRow)]
    assert bad.place == "#row 9000 (from 0)"


def test_dictionary_columns_are_plain_strings(tmp_path):
    table = pa.table({"sentence": pa.array(["a", "b", "a"]).dictionary_encode(), "label": [0, 1, 2]})
    pq.write_table(table, tmp_path / "t.parquet")
    assert [row["sentence"] for row in parquet_rows(tmp_path / "t.parquet", COLUMNS)] == ["a", "b", "a"]


def test_an_empty_file(tmp_path):
    with pytest.raises(DataError, match=r"the file is empty: .*t\.parquet"):
        read(tmp_path, b"")


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b'{"sentence": "a", "label": 1}\n', "what looks like JSON lines"),
        (b"sentence,label\n", "b'sent'"),
        (b"x", "b'x'"),
    ],
)
def test_no_parquet_at_all(tmp_path, data, got):
    with pytest.raises(DataError, match=r"the file is not parquet: .*begins with PAR1, got ") as caught:
        read(tmp_path, data)
    assert caught.value.got == got


def test_truncated_anywhere(tmp_path):
    data = sound()
    for size in {4, 5, 8, 11, 12, len(data) // 2, len(data) - 5, len(data) - 1}:
        with pytest.raises(
            DataError, match=r"the parquet file is truncated: .*t\.parquet: expected a file that ends"
        ):
            read(tmp_path, data[:size])


def test_a_damaged_footer(tmp_path):
    data = bytearray(sound())
    data[-8:-4] = b"\xff\xff\xff\x7f"
    with pytest.raises(DataError, match=r"the parquet file is damaged: .*t\.parquet: got "):
        read(tmp_path, bytes(data))


def test_a_damaged_page_is_noticed_where_the_writer_left_checksums(tmp_path):
    data = bytearray(sound(1000, write_page_checksum=True, compression="none", use_dictionary=False))
    at = bytes(data).index(b"row 500")
    data[at : at + 3] = b"cow"
    with pytest.raises(DataError, match=r"the parquet file is damaged: .*t\.parquet: got .*CRC"):
        read(tmp_path, bytes(data))


def test_the_message_is_one_line(tmp_path):
    data = bytearray(sound())
    data[-60:-8] = b"\x00" * 52
    with pytest.raises(DataError) as caught:
        read(tmp_path, bytes(data))
    assert "\n" not in str(caught.value)


def test_an_error_of_ours_is_not_taken_for_damage(tmp_path):
    with pytest.raises(DataError, match="the column 'premise' is missing"):
        read(tmp_path, sound(), {"premise": "string"})
