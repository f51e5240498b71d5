"""Ligatures, hyphens and unseen characters, against what a person would write."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.sources.papers.letters import flow, ligatures_of_codes, plain_text, words_of


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("e\ufb03cient \ufb02ow of o\ufb00 \ufb01gures", "efficient flow of off figures"),
        ("a\u00a0b\u2003c\t d", "a b c d"),
        ("soft\u00adhyphen and so\u00ad\nft", "softhyphen and so-\nft"),
        ("one\r\ntwo\rthree\u2028four\x0cfive", "one\ntwo\nthree\nfour\nfive"),
        ("\ufeffA\u200b\u202eB\x00\x07", "AB"),
        ("\ud835\udc00 and \ud835", "\U0001d400 and \ufffd"),
        ("non\u2011breaking \u2212 1 – 2", "non-breaking \u2212 1 – 2"),
        ("²³ stay, as does ½", "²³ stay, as does ½"),
    ],
)
def test_plain_text(raw: str, plain: str) -> None:
    assert plain_text(raw) == plain


@given(st.text())
def test_plain_text_is_plain_and_stays_so(text: str) -> None:
    plain = plain_text(text)
    assert plain_text(plain) == plain == plain.encode("utf-8").decode("utf-8")
    assert not re.search(r"[^\S\n]{2}|\r|[\u0000-\u0008\u200b-\u200f]", plain)


def test_codes_of_bitmap_fonts_are_ligatures_between_small_letters_alone() -> None:
    assert (
        ligatures_of_codes("di\x0berent, \x0cnding, a\x0eliate, \x1dow, o\x1b")
        == "different, finding, affiliate, flow, off"
    )
    assert ligatures_of_codes("A\x0c\nB \x0cIntroduction") == "A\x0c\nB \x0cIntroduction"


@pytest.mark.parametrize(
    ("lines", "known", "text"),
    [
        (["Trans-", "formers learn."], set(), "Transformers learn."),
        (["state-of-the-", "art"], set(), "state-of-the-art"),
        (["self-", "attention"], {"self-attention"}, "self-attention"),
        (["self-", "attention"], {"self", "attention"}, "self-attention"),
        (["with-", "outer"], {"with", "outer", "without"}, "with-outer"),
        (["under-", "stand"], {"under", "stand", "understand"}, "understand"),
        (["GPT-", "3 and Encoder-", "Decoder"], set(), "GPT-3 and Encoder-Decoder"),
        (["pages 3-", "5"], set(), "pages 3- 5"),
        (["a dash -", "here"], set(), "a dash - here"),
        (["two", "", " lines "], set(), "two lines"),
        ([], set(), ""),
    ],
)
def test_flow(lines: list[str], known: set[str], text: str) -> None:
    assert flow(lines, known=known) == text


WORDS = st.lists(st.text(st.characters(categories=["Ll"]), min_size=2, max_size=9), min_size=1, max_size=30)


@given(WORDS, st.data())
def test_a_text_whose_words_are_broken_flows_back(words: list[str], data: st.DataObject) -> None:
    """Each word stands whole in the text, too, as a document repeats its words; then every break is undone."""
    lines, line = [], ""
    for word in words:
        at = data.draw(st.integers(0, len(word)))
        if 0 < at < len(word):
            lines.append(f"{line} {word[:at]}-".strip())
            line = word[at:]
        else:
            line = f"{line} {word}".strip()
    assert flow([*lines, line], known=frozenset(words)) == " ".join(words)


def test_words_are_whole_words() -> None:
    assert words_of(["Self-attention in trans-", "", "formers. The trans-"]) == {
        "self-attention",
        "in",
        "the",
    }
