"""Cards: what is written is what was found, whatever the model wrote."""

import csv
import io
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import ResourceError
from ramekin.report.cards import FORMAT, PaperCards, cards_csv, cards_json, cards_markdown, write_cards
from ramekin.report.wording import clean
from ramekin.sources.papers import Paper
from ramekin.text.pairs import Pair, Pairs, Written, read_pairs

PAPER = Paper(
    "On Flans",
    "We bake 24 flans.",
    "Flans are good.",
    "flans.pdf",
    ("the title is guessed: it is the first line",),
)
NASTY = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    '"quoted", text',
    "#comment",
    "a,b;c\td",
    "two\nlines",
    "<b>bold</b>",
    "＝1",
)


def cards(*pairs: tuple[str, str], paper: Paper = PAPER) -> PaperCards:
    return PaperCards(paper, Pairs(tuple(Pair(q, a, -1.0, 4, 0.5) for q, a in pairs), len(pairs)))


def as_anki_reads(text: str) -> tuple[dict[str, str], list[list[str]]]:
    """The headers and notes of a text file by the rules of Anki's manual: leading `#key:value` lines, comments, rows."""
    headers = {}
    lines = text.split("\n")
    while lines and (match := re.fullmatch(r"#([a-z ]+):(.*)", lines[0])):
        headers[match[1]] = match[2]
        lines.pop(0)
    separator = {"Comma": ","}[headers["separator"]]
    # A line of data that began with # would be passed over.
    kept = "\n".join(line for line in lines if not line.startswith("#"))
    return headers, list(csv.reader(io.StringIO(kept), delimiter=separator, strict=True))


def test_anki_finds_its_headers_and_every_note() -> None:
    headers, notes = as_anki_reads(
        cards_csv([cards(("What is baked?", "24 flans"), ("Who, if any?", 'the "chef"'))])
    )
    assert headers == {
        "separator": "Comma",
        "html": "false",
        "columns": "Question,Answer,Paper,Support,Mean log-probability,Times",
    }
    assert [note[:3] for note in notes] == [
        ["What is baked?", "24 flans", "On Flans"],
        ["Who, if any?", 'the "chef"', "On Flans"],
    ]
    assert {len(note) for note in notes} == {len(headers["columns"].split(","))}
    assert [note[3:] for note in notes] == [["0.5000", "-0.2500", "1"]] * 2


@pytest.mark.parametrize("text", NASTY)
def test_no_cell_is_a_formula_a_comment_or_two_notes(text: str) -> None:
    _, notes = as_anki_reads(cards_csv([cards((text, text), paper=Paper(text, "", "", text))]))
    (note,) = notes
    for cell in note[:3]:
        assert cell[0] not in "=+-@\t\r＝" and cell.lstrip("'") == clean(text)
    assert note[0].startswith("'") == (clean(text)[0] in "=+-@＝")


def test_plain_numbers_stay_as_they_are() -> None:
    for text in ("-5", "+1.5", "-2,000", "−3 %"):
        _, ((_, answer, *_),) = as_anki_reads(cards_csv([cards(("How many?", text))]))
        assert answer == text


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=5))
def test_any_text_comes_back(pairs: list[tuple[str, str]]) -> None:
    _, notes = as_anki_reads(cards_csv([cards(*pairs)]))
    assert [[cell.removeprefix("'") for cell in note[:2]] for note in notes] == [
        [clean(q).removeprefix("'"), clean(a).removeprefix("'")] for q, a in pairs
    ]


def test_json_has_all_that_is_known() -> None:
    outputs = [
        Written("What is baked? [SEP] 24 flans", -6.0, 12),
        Written("what is baked? [SEP] zebras", -1.0, 9),
        Written("What?", -1.0, 2),
    ]
    pairs = read_pairs(outputs, PAPER.text)
    document = cards_json([PaperCards(PAPER, pairs)], settings={"model": "m", "n": 3})
    assert document["format"] == FORMAT and document["settings"] == {"model": "m", "n": 3}
    (paper,) = document["papers"]
    assert (paper["title"], paper["file"], paper["remarks"]) == (
        PAPER.title,
        PAPER.where,
        list(PAPER.remarks),
    )
    assert (paper["outputs"], paper["joined"], paper["shortened"]) == (3, 1, 0)
    assert paper["dropped"] == [{"reason": "no mark", "text": "What?"}]
    (pair,) = paper["pairs"]
    assert (pair["question"], pair["answer"], pair["log_prob"], pair["num_tokens"], pair["times"]) == (
        "What is baked?",
        "24 flans",
        -6.0,
        12,
        2,
    )
    assert pair["mean_log_prob"] == -0.5 and pair["support"] == 1.0
    assert pair["score"] == pytest.approx(0.5 * math.exp(-0.5) + 0.5)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_markdown_reads_well_and_runs_nothing() -> None:
    pairs = Pairs(
        (Pair("What is *baked*?", "<script>flans</script>", -2.0, 4, 0.25, 3),),
        5,
        num_joined=2,
        num_shortened=1,
    )
    text = cards_markdown(
        [PaperCards(PAPER, pairs), cards(paper=Paper("", "", "", "folder/other.pdf"))],
        settings={"model": "a_b*c"},
    )
    assert text.startswith("# Questions and answers\n\n- model: a_b\\*c\n\n## On Flans\n\n")
    assert (
        "flans.pdf: 1 pairs of 5 outputs, 2 joined with one that asks the same, 1 shortened to whole sentences."
        in text
    )
    assert "> the title is guessed: it is the first line." in text
    assert (
        "1. **What is \\*baked\\*?**\n\n   &lt;script&gt;flans&lt;/script&gt;\n\n"
        "   *support 0.25, log-probability -0.50 a token, written 3 times*\n" in text
    )
    assert "## other.pdf" in text and "folder/other.pdf: 0 pairs of 0 outputs." in text


def test_files_are_written_and_read_back(tmp_path: Path) -> None:
    several = [
        cards(("Was ist Käse?", "Käse")),
        cards(("Who?", "Tom"), paper=Paper("Two", "", "", "two.txt")),
    ]
    paths = write_cards(several, tmp_path / "made" / "here", settings={"seed": 1})
    assert [path.name for path in paths] == ["pairs.json", "pairs.md", "pairs.csv"]
    document = json.loads(paths[0].read_text(encoding="utf-8"))
    assert [paper["title"] for paper in document["papers"]] == ["On Flans", "Two"] and "Käse" in paths[
        0
    ].read_text("utf-8")
    assert paths[1].read_text("utf-8") == cards_markdown(several, settings={"seed": 1})
    assert len(as_anki_reads(paths[2].read_text("utf-8"))[1]) == 2
    assert sorted(each.name for each in paths[0].parent.iterdir()) == ["pairs.csv", "pairs.json", "pairs.md"]


def test_a_file_name_that_is_no_unicode_is_written(tmp_path: Path) -> None:
    paths = write_cards(
        [cards(("Who?", "Tom"), paper=Paper("", "", "", "fl\udcffans.pdf"))], tmp_path, name="cards"
    )
    assert json.loads(paths[0].read_text("ascii"))["papers"][0]["file"] == "fl\udcffans.pdf"
    assert "fl\ufffdans.pdf" in paths[1].read_text("utf-8") and "fl\ufffdans.pdf" in paths[2].read_text(
        "utf-8"
    )


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write"):
        write_cards([cards()], tmp_path / "file" / "folder")
