"""Text told in pieces: they join to the decoded text, and end before the first stop string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.infer.ctranslate_text import GrowingText
from ramekin.tensors.tokenizer import decode, load_tokenizer, token_ids


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


def grown(tokenizer, ids, stop=(), **more):
    """The pieces, the text, and how many tokens were taken before it stopped."""
    text, pieces = GrowingText(tokenizer, stop, **more), []
    for token in ids:
        pieces.append(text.add(token))
        if text.is_stopped:
            break
    count = len(pieces)
    pieces.append(text.finish())
    assert "".join(pieces) == text.text
    return pieces, text, count


@given(st.lists(st.integers(0, 255), min_size=1, max_size=30))
def test_pieces_join_to_what_decode_says(tokenizer, ids):
    pieces, text, _ = grown(tokenizer, ids)
    assert text.text == decode(tokenizer, ids) and not text.is_stopped
    told = ""
    for count, piece in enumerate(pieces[:-1], start=1):
        told += piece
        assert decode(tokenizer, ids[:count]).startswith(told)


@given(st.lists(st.integers(3, 255), min_size=1, max_size=30), st.lists(st.text("aeist ", min_size=1, max_size=3), min_size=1, max_size=3))  # fmt: skip
def test_it_ends_before_the_first_stop_string(tokenizer, ids, stop):
    _, text, count = grown(tokenizer, ids, stop)
    whole = decode(tokenizer, ids)
    found = [place for each in stop if (place := whole.find(each)) >= 0]
    assert text.is_stopped == bool(found)
    if not found:
        assert text.text == whole
        return
    seen = decode(tokenizer, ids[:count])
    assert text.text == seen[: min(seen.index(each) for each in stop if each in seen)]
    assert not any(each in decode(tokenizer, ids[: count - 1]) for each in stop)
    assert not any(each in text.text for each in stop)


def test_what_could_begin_a_stop_string_is_held_back(tokenizer):
    (ids,) = token_ids(tokenizer, ["the film sat on the mat"])
    pieces, text, _ = grown(tokenizer, ids, ["film sat on a"])
    assert text.text == decode(tokenizer, ids)
    told = ""
    for count, piece in enumerate(pieces[:-1], start=1):
        told += piece
        assert not told.endswith("film") and (told.count("film") == 0 or "film sat on t" in decode(tokenizer, ids[:count]))  # fmt: skip


def test_nothing_is_told_on_the_way_where_nobody_listens(tokenizer):
    (ids,) = token_ids(tokenizer, ["the film sat"])
    pieces, text, _ = grown(tokenizer, ids, is_told=False)
    assert pieces[:-1] == [""] * len(ids) and pieces[-1] == text.text == decode(tokenizer, ids)


def test_sentinels_and_specials_have_no_text(tokenizer):
    sentinel = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    (ids,) = token_ids(tokenizer, ["the film"])
    _, text, _ = grown(tokenizer, [0, sentinel, *ids, sentinel, 2, *ids, 1])
    assert text.text == decode(tokenizer, [*ids, *ids])


def test_bytes_of_a_character_wait_for_the_rest():
    """A vocabulary with bytes, as mT5's: a character may take several tokens."""

    names = {3: b"a", 4: b"\xe2", 5: b"\x82", 6: b"\xac"}

    class Backend:
        def decode(self, ids, skip_special_tokens):
            return b"".join(names[token] for token in ids).decode("utf-8", "replace")

    class Tokenizer:
        backend_tokenizer = Backend()

    pieces, text, _ = grown(Tokenizer(), [3, 4, 5, 6, 3])
    assert pieces == ["a", "", "", "\N{EURO SIGN}", "a", ""]
    assert text.text == "a\N{EURO SIGN}a"
