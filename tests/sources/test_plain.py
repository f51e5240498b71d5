"""Lines are rows, blank ones are counted, and what is no text is named by its line."""

import pytest

from ramekin.errors import DataError
from ramekin.sources.plain import read_plain


def test_lines_keep_their_numbers(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n\n  \ntwo words \nthrée".encode())
    found = read_plain(path)
    assert [tuple(line) for line in found.lines] == [(1, "one"), (4, "two words"), (5, "thrée")]
    assert found.blank == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"one\ntw\xffo\n", r"a line is no text: .*a.txt:2: expected UTF-8 text, got byte 0xFF"),
        (b"one\nt\0o\n", r"a.txt:2: .*got a NUL"),
        (b"\xff\xfeo\0n\0", "UTF-16"),
        (b"\x1f\x8b\x08\x00" + b"x" * 20, "gzip"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, data, message):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_plain(tmp_path / "a.txt")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"the file cannot be read: .*none.txt"):
        read_plain(tmp_path / "none.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_plain(tmp_path)
