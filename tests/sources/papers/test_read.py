"""Papers in text, Markdown and JSON files, and every way in which a file can be wrong."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ramekin.errors import DataError
from ramekin.sources.papers import Limits, read_paper
from ramekin.sources.papers.read import EXTENSIONS
from ramekin.sources.papers.sections import MAX_SECTION_CHARS

SEED = Path(__file__).parents[4] / "shared" / "seeds" / "003_9f8d843e824c40fe.txt"
ABSTRACT, FIRST, SECOND = "We bake flans.", "Flans are good [3].", "Nobody knows why."
TEXT = f"On Flans\n\nAbstract\n{ABSTRACT}\n\nIntroduction\n{FIRST}\n\n{SECOND}\n\nRelated Work\nNone."


def put(folder: Path, content: Any, name: str = "paper.json") -> Path:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


class TestText:
    def test_a_text_with_headings(self, tmp_path: Path) -> None:
        paper = read_paper(put(tmp_path, TEXT, "paper.txt"))
        assert (paper.title, paper.abstract, paper.introduction) == (
            "On Flans",
            ABSTRACT,
            f"{FIRST} {SECOND}",
        )
        assert paper.remarks == ("the title is guessed: it is the first line",)

    def test_a_path_may_be_a_string_and_an_extension_in_capitals(self, tmp_path: Path) -> None:
        assert (
            read_paper(str(put(tmp_path, "\ufeff" + TEXT.replace("\n", "\r\n"), "P.TXT"))).abstract
            == ABSTRACT
        )

    @pytest.mark.parametrize(
        "text",
        [
            f"# On Flans\n\n## Abstract\n\n{ABSTRACT}\n\n## 1. introduction\n\n{FIRST}\n\n### Why\n\n{SECOND}\n\n## Ovens\n\nOld.",
            f"On Flans\n========\n\nAbstract\n--------\n{ABSTRACT}\n\nIntroduction\n------------\n{FIRST}\n{SECOND}\n\nOvens\n-----\nOld.",
            f"# On Flans #\n\n**Abstract.** {ABSTRACT}\n\n**1 Introduction**\n\n{FIRST}\n{SECOND}\n\n**2 Ovens**\n\nOld.",
        ],
    )
    def test_markdown(self, tmp_path: Path, text: str) -> None:
        paper = read_paper(put(tmp_path, text, "paper.md"))
        assert (paper.title, paper.abstract, paper.introduction) == (
            "On Flans",
            ABSTRACT,
            f"{FIRST} {SECOND}",
        )
        assert ("1 heading within the introduction left out" in paper.remarks) == ("### Why" in text)

    def test_items_and_code_of_markdown_stay(self, tmp_path: Path) -> None:
        text = (
            f"# F\n## Abstract\n{ABSTRACT}\n## Introduction\n* One.\n\n```\n# no heading\n```\n## Ovens\nOld."
        )
        assert read_paper(put(tmp_path, text, "paper.md")).introduction == "* One. # no heading"

    def test_the_prompt_of_the_published_model(self, tmp_path: Path) -> None:
        prompt = f"Generate Question, Answer pair correspond to the following research paper. [Abstract] {ABSTRACT} [Introduction] {FIRST} {SECOND} Question, Answer:"
        paper = read_paper(put(tmp_path, prompt, "prompt.txt"))
        assert (paper.title, paper.abstract, paper.introduction) == ("", ABSTRACT, f"{FIRST} {SECOND}")

    @pytest.mark.skipif(not SEED.is_file(), reason="needs the shared folder")
    def test_the_published_prompts_are_read_whole(self, tmp_path: Path) -> None:
        page = SEED.read_text(encoding="utf-8")
        prompts = re.findall(
            r"\[Abstract\] (.+?) \[Introduction\] (.+?) Question, Answer: example_title", page
        )
        assert len(prompts) == 5
        for abstract, introduction in prompts:
            text = f"[Abstract] {abstract} [Introduction] {introduction} Question, Answer:"
            paper = read_paper(put(tmp_path, text, "prompt.txt"))
            # Contributions that are counted on the same line, and "(Tc≥400 K" with it, are no headings.
            assert (paper.abstract, paper.introduction) == (abstract, introduction)

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "the file is empty: .*got 0 bytes"),
            (b" \n\n ", "the file is empty: .*nothing but white space"),
            (b"Abstract\nWe b\xe9ke.", r"not UTF-8 text: .*paper.txt:2: .*got byte 0xE9 at byte 13 .*iconv"),
            ("Abstract".encode("utf-16"), "not UTF-8 text: .*UTF-16"),
            (b"PK\x03\x04zip", "not UTF-8 text: .*a zip archive"),
            (b"Abstract\nIntro\x00duction", "not UTF-8 text: .*:2: .*a zero byte"),
            (b"%PDF-1.5\nxyz", "not UTF-8 text: .*got a PDF; fix: name it .pdf"),
            (
                b"On Flans\nFlans are good.",
                "no abstract is found .*: expected a heading 'Abstract'.*got text that begins 'On Flans'",
            ),
            (b"Abstract\nWe bake.\nThe end.", "no introduction is found .*; fix: give a .json file"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, content: bytes, told: str) -> None:
        with pytest.raises(DataError, match=told):
            read_paper(put(tmp_path, content, "paper.txt"))

    @pytest.mark.parametrize(
        "text",
        [
            "a-\n" * 50_000, "a-" * 112_000, "\n" * 150_000, "A\n" * 112_000, "# a" + "#" * 150_000 + "x", "**" * 112_000,
            "1 Introduction\n" * 15_000, "1 Introduction\n2 Ovens\n" * 10_000, "Abstract\n" * 25_000, "." * 150_000,
            "\u00ad " * 75_000, "(" * 150_000, "[Abstract] " * 20_000, "1 " * 112_000, "Of Flans.\n\n" * 20_000,
        ],
        ids=lambda text: text[:12].strip(),
    )  # fmt: skip
    @pytest.mark.parametrize("extension", [".txt", ".md"])
    def test_a_hostile_text_takes_no_longer_than_another(
        self, tmp_path: Path, text: str, extension: str
    ) -> None:
        """Were any step's time quadratic, this would not end today."""
        content = f"T\n{text}\nAbstract\n{text}\nIntroduction\n{text}"
        try:
            paper = read_paper(
                put(tmp_path, content, f"paper{extension}"), limits=Limits(max_text_chars=1_900_000)
            )
            assert len(paper.text) <= 2 * MAX_SECTION_CHARS + 2
        except DataError as error:
            assert error.fix and error.expected

    def test_a_long_text_is_looked_at_as_far_as_the_limit(self, tmp_path: Path) -> None:
        long = put(tmp_path, TEXT + "\nmore" * 9000, "paper.txt")
        assert "characters were looked at" not in str(
            read_paper(long, limits=Limits(max_text_chars=500)).remarks
        )
        cut = read_paper(long, limits=Limits(max_text_chars=TEXT.index("Nobody")))
        assert cut.introduction == FIRST and "only the first 69 characters were looked at" in cut.remarks


PARAGRAPHS = {"heading": "Introduction", "paragraphs": [FIRST, SECOND]}
FORMS: dict[str, Any] = {
    "texts": {"abstract": ABSTRACT, "introduction": f"{FIRST}\n\n{SECOND}"},
    "paragraphs": {"abstract": [ABSTRACT], "introduction": [FIRST, SECOND]},
    "sections": {"abstract": ABSTRACT, "sections": [PARAGRAPHS, {"heading": "Ovens", "paragraphs": ["Old."]}]},
    "titled sections": {"abstract": ABSTRACT, "sections": [{"title": "1 Introduction", "text": f"{FIRST} {SECOND}"}]},
    "named sections": {"abstract_text": [ABSTRACT], "section_names": ["introduction", "ovens"], "sections": [[FIRST, SECOND], ["Old."]]},
    "qasper": {"abstract": ABSTRACT, "full_text": {"section_name": ["Introduction", "Ovens"], "paragraphs": [[FIRST, SECOND], ["Old."]]}},
    "qasper list": {"abstract": ABSTRACT, "full_text": [{"section_name": "Introduction", "paragraphs": [FIRST, SECOND]}, {"section_name": None, "paragraphs": []}]},
    "qasper below": {"abstract": ABSTRACT, "full_text": {"section_name": ["Introduction", "Introduction ::: Aims", "Ovens"], "paragraphs": [[FIRST], [SECOND], ["Old."]]}},
    "s2orc": {"abstract": [{"text": ABSTRACT}], "body_text": [{"section": "Introduction", "text": FIRST}, {"section": "Introduction", "text": SECOND}, {"section": "Ovens", "text": "Old."}]},
    "s2orc parse": {"pdf_parse": {"abstract": [{"text": ABSTRACT}], "body_text": [{"section": "1 Introduction", "text": FIRST}, {"section": "1.1 Aims", "text": SECOND}]}},
    "a heading taken along": {"abstract": f"Abstract. {ABSTRACT}", "introduction": [FIRST, SECOND]},
    "an empty introduction": {"abstract": ABSTRACT, "introduction": "", "sections": [PARAGRAPHS]},
}  # fmt: skip


class TestJSON:
    @pytest.mark.parametrize("name", FORMS)
    def test_forms(self, tmp_path: Path, name: str) -> None:
        paper = read_paper(put(tmp_path, {"title": "On  Flans", **FORMS[name]}))
        assert (paper.title, paper.abstract, paper.introduction) == (
            "On Flans",
            ABSTRACT,
            f"{FIRST} {SECOND}",
        )
        assert paper.remarks == ()

    def test_a_first_section_without_a_name_is_guessed_to_be_it(self, tmp_path: Path) -> None:
        paper = read_paper(
            put(
                tmp_path,
                {"abstract": ABSTRACT, "sections": [{"text": FIRST}, {"title": "Ovens", "text": "Old."}]},
            )
        )
        assert paper.introduction == FIRST and "guessed" in paper.remarks[0] and paper.title == ""

    def test_an_abstract_that_begins_with_the_word_keeps_it(self, tmp_path: Path) -> None:
        text = "Abstract Meaning Representation is a language."
        assert read_paper(put(tmp_path, {"abstract": text, "introduction": FIRST})).abstract == text

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ('{"abstract": "We', r"the file is not JSON: .*paper.json:1: .*Unterminated string"),
            ('{\n"abstract": NaN}', "not JSON: .*paper.json.*NaN is not JSON"),
            ('{"abstract": "a", "abstract": "b"}', "the key 'abstract' is given twice"),
            ("[" * 100_000, "not JSON: .*nested too deeply"),
            ('{"a": 1}\n{"a": 2}', r"not JSON: .*paper.json:2: .*one paper a file"),
            ("[1, 2]", "no object: .*got a list of 2; fix: write each paper to a file of its own"),
            ("{}", "no abstract: .*got an empty object"),
            ({"title": "x", "introduction": "y"}, "no abstract: .*the keys title, introduction"),
            ({"abstract": "", "introduction": "y"}, "no abstract"),
            ({"abstract": 7}, "holds what cannot be read: .*key 'abstract': expected a text or a list of paragraphs, got 7"),
            ({"abstract": [["a"]]}, r"key 'abstract': .*got \['a'\]"),
            ({"abstract": "a"}, "no introduction: .*got the keys abstract; fix: add a key 'introduction'"),
            ({"abstract": "a", "sections": [{"heading": "Ovens", "text": "b"}]}, "no introduction: .*got 'Ovens'"),
            ({"abstract": "a", "sections": "b"}, "key 'sections': expected a list of sections, got 'b'"),
            ({"abstract": "a", "sections": ["b"]}, "expected an object a section, got 'b'"),
            ({"abstract": "a", "sections": [{"heading": 7, "text": "b"}]}, "a text as the name of a section, got 7"),
            ({"abstract": "a", "full_text": {"section_name": ["x"], "paragraphs": []}}, "as many names as sections, 0, got 1 names"),
            ({"abstract": "a", "full_text": {"section_name": 7, "paragraphs": [[]]}}, "as many names as sections, 1, got 7"),
            (b'{"abstract": "\xff"}', "not UTF-8 text: .*byte 0xFF"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, tmp_path: Path, content: Any, told: str) -> None:
        with pytest.raises(DataError, match=told):
            read_paper(put(tmp_path, content))


class TestFiles:
    def test_what_is_no_paper(self, tmp_path: Path) -> None:
        for name, told in (
            ("a.docx", "expected .pdf, .txt, .md, .json, got .docx"),
            ("a.jso", "did you mean .json"),
            ("a", "got no extension"),
        ):
            with pytest.raises(DataError, match=f"files of this kind are not read: .*{told}"):
                read_paper(put(tmp_path, "x", name))
        with pytest.raises(DataError, match="no such file"):
            read_paper(tmp_path / "none.pdf")
        (tmp_path / "folder.pdf").mkdir()
        with pytest.raises(DataError, match="a paper is a file: .*got a folder"):
            read_paper(tmp_path / "folder.pdf")

    @pytest.mark.parametrize("extension", EXTENSIONS)
    def test_what_never_ends_and_what_is_too_large_is_not_opened(
        self, tmp_path: Path, extension: str
    ) -> None:
        os.mkfifo(tmp_path / f"pipe{extension}")
        with pytest.raises(DataError, match="got a device or a pipe"):
            read_paper(tmp_path / f"pipe{extension}")
        (tmp_path / f"zero{extension}").symlink_to("/dev/zero")
        with pytest.raises(DataError, match="got a device or a pipe"):
            read_paper(tmp_path / f"zero{extension}")
        with (tmp_path / f"large{extension}").open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(
            DataError, match="too large for a paper: .*at most 67,108,864 bytes, got 1,099,511,627,776 bytes"
        ):
            read_paper(tmp_path / f"large{extension}")

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read anything")
    def test_a_file_that_may_not_be_read(self, tmp_path: Path) -> None:
        path = put(tmp_path, TEXT, "paper.txt")
        path.chmod(0)
        with pytest.raises(DataError, match="cannot be read: .*Permission denied"):
            read_paper(path)
