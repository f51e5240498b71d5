import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.sources import delimited, lines
from ramekin.sources.delimited import csv_rows, tsv_rows
from ramekin.sources.rows import BadRow

COLUMNS = {"sentence": "string", "label": "integer"}


def read(tmp_path, content: str | bytes, *, kind="csv", columns=COLUMNS):
    path = tmp_path / f"train.{kind}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list((csv_rows if kind == "csv" else tsv_rows)(path, columns))


def only_bad(rows) -> BadRow:
    (bad,) = [row for row in rows if isinstance(row, BadRow)]
    return bad


class TestCsv:
    def test_cells_are_read_by_their_declared_type_alone(self, tmp_path):
        rows = read(tmp_path, "sentence,label,idx,x\nNA,1,7,\nnull,0,08,1.0\n,2,None,true\n")
        assert rows == [
            {"sentence": "NA", "label": 1, "idx": "7", "x": ""},
            {"sentence": "null", "label": 0, "idx": "08", "x": "1.0"},
            {"sentence": "", "label": 2, "idx": "None", "x": "true"},
        ]

    def test_quoting(self, tmp_path):
        rows = read(tmp_path, 'sentence,label\n"a, ""b"" c","1"\n"",2\n"""",3\n"x\r\ny\nz",4\n')
        assert [row["sentence"] for row in rows] == ['a, "b" c', "", '"', "x\r\ny\nz"]
        assert [row["label"] for row in rows] == [1, 2, 3, 4]

    def test_crlf_mark_and_no_last_newline(self, tmp_path):
        assert read(tmp_path, b'\xef\xbb\xbf"sentence",label\r\na,1\r\nb,2') == [
            {"sentence": "a", "label": 1},
            {"sentence": "b", "label": 2},
        ]

    def test_a_header_over_two_lines(self, tmp_path):
        rows = read(tmp_path, 'sentence,label,"two\nlines"\na,1,x\na,b,x\n')
        assert rows[0]["two\nlines"] == "x"
        assert rows[1].place == ":4"

    def test_line_numbers_after_embedded_newlines(self, tmp_path):
        bad = only_bad(read(tmp_path, 'sentence,label\n"a\nb\nc",1\nd,x\n'))
        assert (bad.place, bad.column) == (":5", "label")

    def test_a_row_over_lines_is_named_by_its_first(self, tmp_path):
        bad = only_bad(read(tmp_path, 'sentence,label\nx,0\n"a\nb",one\n'))
        assert (bad.place, bad.column, bad.got) == (":3", "label", "'one'")
        assert bad.raw == '"a\nb",one'

    @pytest.mark.parametrize(
        ("line", "what", "place"),
        [
            ("a", "a row has too few cells", ":3"),
            ("a,1,2", "a row has too many cells", ":3"),
            ('5" disk,1', "a quote stands inside an unquoted cell", ":3:2"),
            ('5" x 6" disk,1', "a quote stands inside an unquoted cell", ":3:2"),
            ('a,1"', "a quote stands inside an unquoted cell", ":3:4"),
            (' "a",1', "a quote stands inside an unquoted cell", ":3:2"),
            ('"a" ,1', "text follows a closing quote", ":3:4"),
            ('"a"b",1', "text follows a closing quote", ":3:4"),
            ("a\rb,1", "a carriage return stands alone", ":3:2"),
            ("a\0b,1", "a row holds a NUL character", ":3"),
            ("", "a line is blank", ":3"),
        ],
    )
    def test_a_malformed_row_does_not_take_others_with_it(self, tmp_path, line, what, place):
        rows = read(tmp_path, f'sentence,label\nx,0\n{line}\n"y",1\n')
        assert rows[0] == {"sentence": "x", "label": 0}
        assert (rows[1].what, rows[1].place) == (what, place)
        assert rows[2:] == [{"sentence": "y", "label": 1}]

    def test_ragged_rows_say_how_many(self, tmp_path):
        bad = only_bad(read(tmp_path, "sentence,label\na,b,1\n"))
        assert str(bad.error("f.csv")) == (
            "a row has too many cells: f.csv:2: expected 2 ('sentence, label'), got 3; "
            "fix: put cells with commas, quotes or line ends in double quotes"
        )

    @pytest.mark.parametrize("rest", ["", "b,1\nc,2\n"])
    def test_a_quote_left_open(self, tmp_path, rest):
        count = 1 + rest.count("\n")
        with pytest.raises(DataError, match=rf"a quote is not closed: .*train\.csv:3: got {count} lines"):
            read(tmp_path, f'sentence,label\nx,1\n"a,1\n{rest}')

    def test_a_quote_left_open_that_another_row_closes_is_no_mere_bad_row(self, tmp_path):
        with pytest.raises(DataError, match=r"text follows a closing quote: .*:2: .*over 3 lines.*line 2"):
            read(tmp_path, 'sentence,label\n"a,1\nb,2\nc" d,3\n')
        with pytest.raises(DataError, match=r"a row has too few cells: .*:2: .*over 2 lines"):
            read(tmp_path, 'sentence,label\n"a,1\nb"\n')

    def test_invalid_utf8_in_the_second_line_of_a_row(self, tmp_path):
        bad = only_bad(read(tmp_path, b'sentence,label\n"a\nb\xe9",1\nc,2\n'))
        assert (bad.place, bad.got) == (":3", "byte 0xE9 at byte 19 of the file")

    def test_blank_lines_at_the_end_are_none(self, tmp_path):
        assert len(read(tmp_path, "sentence,label\na,1\n\n\r\n")) == 1

    def test_an_empty_cell_alone_is_quoted(self, tmp_path):
        rows = read(tmp_path, 'sentence\n""\n\na\n', columns={"sentence": "string"})
        assert rows[0] == {"sentence": ""}
        assert 'an empty cell is written ""' in rows[1].got

    def test_an_overlong_row(self, tmp_path, monkeypatch):
        monkeypatch.setattr(lines, "MAX_ROW_BYTES", 60)
        monkeypatch.setattr(delimited, "MAX_ROW_BYTES", 60)
        rows = read(tmp_path, "sentence,label\n" + "x" * 100 + ",1\nb,2\n")
        assert (rows[0].what, rows[0].place) == ("a row is too long", ":2")
        assert rows[1] == {"sentence": "b", "label": 2}
        with pytest.raises(DataError, match=r"a quote is not closed: .*:2"):
            read(tmp_path, 'sentence,label\n"' + "xxxxxxxxxx\n" * 100)

    def test_a_row_of_10_megabytes_is_read(self, tmp_path):
        long = 'a quotation of "thirty" signs\n' * 333_334
        quoted = long.replace('"', '""')
        assert read(tmp_path, f'sentence,label\n"{quoted}",1\n') == [{"sentence": long, "label": 1}]


class TestHeader:
    @pytest.mark.parametrize("kind", ["csv", "tsv"])
    @pytest.mark.parametrize(
        ("header", "message"),
        [
            ("sentence,label,", "the header has an empty name: .*:1: got column 3 of 3 without a name"),
            ("sentence,label,label", "the header has a name twice: .*:1: got 'label'"),
            ("Sentence,label", "the column 'sentence' is missing: .*:1: .*did you mean 'Sentence'"),
            ("sentence;label", "the cells seem to be separated by ';'"),
            ("a sentence,1", "the column 'sentence' is missing.*the first line must name the columns"),
            ("\0,label", "a row holds a NUL character: .*:1"),
        ],
    )
    def test_a_wrong_header_is_an_error(self, tmp_path, kind, header, message):
        if kind == "tsv":
            header = header.replace(",", "\t")
        with pytest.raises(DataError, match=message):
            read(tmp_path, f"{header}\na,1\n", kind=kind)

    def test_the_other_delimiter(self, tmp_path):
        with pytest.raises(DataError, match=r"separated by '\\t', not ','"):
            read(tmp_path, "sentence\tlabel\n")
        with pytest.raises(DataError, match=r"separated by ',', not '\\t'"):
            read(tmp_path, "sentence,label\n", kind="tsv")

    def test_a_blank_header(self, tmp_path):
        with pytest.raises(DataError, match="the header has an empty name"):
            read(tmp_path, "\nsentence,label\n")

    def test_nothing_but_a_header_yields_nothing(self, tmp_path):
        assert read(tmp_path, "sentence,label\n") == []


class TestTsv:
    def test_quotes_are_ordinary_characters(self, tmp_path):
        rows = read(tmp_path, 'sentence\tlabel\n"a\t1\nb "c" d"\t2\n""\t3\n', kind="tsv")
        assert [row["sentence"] for row in rows] == ['"a', 'b "c" d"', '""']

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("a", "a row has too few cells"),
            ("a\tb\t1", "a row has too many cells"),
            ("a\rb\t1", "a carriage return stands alone"),
            ("a\0b\t1", "a row holds a NUL character"),
            ("a\t", "a cell cannot be read as its column's type"),
            ("", "a line is blank"),
        ],
    )
    def test_bad_rows(self, tmp_path, line, what):
        rows = read(tmp_path, f"sentence\tlabel\nx\t0\n{line}\ny\t1\n", kind="tsv")
        assert (rows[1].what, rows[1].place.split(":")[1]) == (what, "3")
        assert rows[2] == {"sentence": "y", "label": 1}


cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(cells, cells), min_size=1))
@example([('"', "\r"), ("\n", ""), (",", '"\n"')])
def test_what_the_standard_writer_quotes_is_read_back(tmp_path_factory, table):
    """Python's csv writer, quoting everything, is the independent reference."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *table])
    rows = read(tmp_path_factory.mktemp("csv"), text.getvalue(), columns={"a": "string"})
    assert [(row["a"], row["b"]) for row in rows] == table


@given(st.text(st.sampled_from('a,"\n\r\t '), max_size=40))
def test_the_standard_strict_reader_agrees_on_whatever_is_accepted(tmp_path_factory, body):
    try:
        rows = read(tmp_path_factory.mktemp("csv"), "x,y\n" + body, columns={"x": "string"})
    except DataError:
        return
    if any(isinstance(row, BadRow) for row in rows):
        return
    expected = list(csv.reader(io.StringIO(body, newline=""), strict=True))
    assert [list(row.values()) for row in rows] == [cells for cells in expected if cells]
