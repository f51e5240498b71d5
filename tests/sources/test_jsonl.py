import pytest

from ramekin.errors import DataError
from ramekin.sources import lines
from ramekin.sources.jsonl import jsonl_rows
from ramekin.sources.rows import BadRow

COLUMNS = {"sentence": "string", "label": "integer"}
GOOD = '{"sentence": "NA", "label": 1}\n'


def read(tmp_path, content: str | bytes):
    path = tmp_path / "train.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(jsonl_rows(path, COLUMNS))


def only_bad(rows) -> BadRow:
    (bad,) = [row for row in rows if isinstance(row, BadRow)]
    return bad


def test_strings_stay_strings(tmp_path):
    rows = read(tmp_path, GOOD + '{"sentence": "null", "label": 0, "extra": {"a": [null]}}')
    assert rows == [{"sentence": "NA", "label": 1}, {"sentence": "null", "label": 0, "extra": {"a": [None]}}]


def test_crlf_byte_order_mark_and_no_last_newline(tmp_path):
    assert (
        len(read(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode() + GOOD.strip().encode()))
        == 2
    )


def test_unicode_line_separators_do_not_end_a_line(tmp_path):
    assert read(tmp_path, '{"sentence": "a\u2028b\x85c", "label": 1}\n')[0]["sentence"] == "a\u2028b\x85c"


def test_escaped_pairs_of_surrogates_are_text(tmp_path):
    assert read(tmp_path, r'{"sentence": "\ud83d\ude00", "label": 1}')[0]["sentence"] == "😀"


def test_blank_lines_at_the_end_are_none(tmp_path):
    assert len(read(tmp_path, GOOD + "\n \r\n\n")) == 1


def test_blank_lines_elsewhere_are_bad_rows(tmp_path):
    rows = read(tmp_path, GOOD + "\n  \n" + GOOD)
    assert [row.place for row in rows if isinstance(row, BadRow)] == [":2", ":3"]
    assert rows[1].what == "a line is blank"


def test_reading_goes_on_after_each_kind_of_bad_row(tmp_path):
    kinds = [b"{", b'{"sentence": 1, "label": 1}', b"[1]", b"\xff", b'{"label": 1}', b"", b"null"]
    rows = read(tmp_path, b"".join(kind + b"\n" + GOOD.encode() for kind in kinds))
    assert [isinstance(row, BadRow) for row in rows] == [True, False] * len(kinds)
    assert [row.place.split(":")[1] for row in rows[::2]] == [
        str(2 * place + 1) for place in range(len(kinds))
    ]


def test_the_character_of_a_syntax_error(tmp_path):
    bad = only_bad(read(tmp_path, GOOD + '{"sentence": "a" "label": 1}\n'))
    assert str(bad.error("train.jsonl")) == (
        "a line is not JSON: train.jsonl:2:18: expected a JSON object, "
        "got Expecting ',' delimiter at '\"label\": 1}'; fix: correct the line"
    )


@pytest.mark.parametrize("content", ["[\n", '{\n  "sentence": "a",\n  "label": 1\n}\n'])
def test_a_json_document_is_told_to_become_lines(tmp_path, content):
    assert read(tmp_path, content)[0].fix == "write one JSON object a line"


def test_invalid_utf8_names_the_byte(tmp_path):
    bad = only_bad(read(tmp_path, GOOD.encode() + '{"sentence": "café", "label": 1}'.encode("latin-1")))
    assert bad.place == ":2"
    assert bad.got == f"byte 0xE9 at byte {len(GOOD) + 17} of the file"
    assert bad.raw == '{"sentence": "caf\\xe9", "label": 1}'


def test_a_row_of_10_megabytes_is_read(tmp_path):
    long = "x" * 10_000_000
    assert read(tmp_path, f'{{"sentence": "{long}", "label": 1}}\n' + GOOD)[0]["sentence"] == long


def test_an_overlong_row_is_bad_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 50)
    rows = read(tmp_path, '{"sentence": "' + "x" * 100 + '", "label": 1}\n' + GOOD)
    assert (rows[0].what, rows[0].place) == ("a row is too long", ":1")
    assert rows[1] == {"sentence": "NA", "label": 1}


def test_an_empty_file(tmp_path):
    with pytest.raises(DataError, match="the file is empty"):
        read(tmp_path, "")
