import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.sources import lines
from ramekin.sources.lines import NotText, decode, read_lines, without_end


def write(tmp_path, data: bytes):
    path = tmp_path / "f.jsonl"
    path.write_bytes(data)
    return path


def test_numbers_offsets_and_ends(tmp_path):
    got = list(read_lines(write(tmp_path, b"a\r\nbc\n\nd")))
    assert [(x.number, x.offset, x.data) for x in got] == [
        (1, 0, b"a\r\n"),
        (2, 3, b"bc\n"),
        (3, 6, b"\n"),
        (4, 7, b"d"),
    ]


def test_a_utf8_mark_is_removed_at_the_start_only(tmp_path):
    got = list(read_lines(write(tmp_path, b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")))
    assert [(x.offset, x.data) for x in got] == [(3, b"a\n"), (5, b"\xef\xbb\xbfb\n")]


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path, data):
    with pytest.raises(DataError, match=r"the file is empty: .*f\.jsonl"):
        list(read_lines(write(tmp_path, data)))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("{}".encode("utf-16"), "UTF-16 text"),
        ("{}".encode("utf-16-be"), "what looks like UTF-16 text"),
        ('{"a": 1}'.encode("utf-16-le"), "what looks like UTF-16 text"),
        ("{}".encode("utf-32"), "UTF-32 text"),
        (b"PAR1....", "a parquet file"),
        (b"\x1f\x8b\x08...", "a gzip archive"),
        (b"PK\x03\x04...", "a zip archive"),
        (b"\x28\xb5\x2f\xfd...", "a zstd archive"),
    ],
)
def test_what_is_no_utf8_text(tmp_path, data, kind):
    with pytest.raises(DataError, match=f"the file is not UTF-8 text: .*f.jsonl: got {kind}; fix: "):
        list(read_lines(write(tmp_path, data)))


def test_an_overlong_line_is_cut_and_the_next_is_right(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 8)
    for long in (b"x" * 9 + b"\n", b"x" * 3_000_000 + b"\n"):
        first, second = read_lines(write(tmp_path, long + b"ok\n"))
        assert first.cut
        assert len(first.data) == 9
        assert (second.number, second.offset, second.data, second.cut) == (2, len(long), b"ok\n", False)


def test_decode_names_the_byte():
    assert decode("é".encode(), 0) == "é"
    assert decode(b"a\nb\xe9", 100) == NotText(1, "byte 0xE9 at byte 103 of the file")


@given(st.binary(max_size=80).filter(lambda data: not data.startswith(b"\xef\xbb\xbf")))
def test_lines_join_to_the_file(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("lines"), data)
    try:
        got = list(read_lines(path))
    except DataError:
        return
    assert b"".join(x.data for x in got) == data


def test_line_ends():
    assert [without_end(data) for data in (b"a\n", b"a\r\n", b"a", b"a\r", b"\n")] == [
        b"a",
        b"a",
        b"a",
        b"a\r",
        b"",
    ]
