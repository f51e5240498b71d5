"""All that was written shows, and pieces make the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.tensors.tokenizer import decode, token_ids, train_tokenizer
from ramekin.tensors.written import TextStream, cut_at_stop, written_text


@pytest.fixture(scope="module")
def tokenizer():
    texts = ["the cat sat on a mat", "a fish ate the cat, and so on", "mats and cats", "on and on"] * 20
    return train_tokenizer(texts, vocab_size=70, num_sentinels=4)


def test_plain_text_comes_back(tokenizer):
    for text in ("the cat", "a fish ate the cat, and so on", ""):
        (ids,) = token_ids(tokenizer, [text])
        assert written_text(tokenizer, [*ids, 1]) == text == decode(tokenizer, [*ids, 1])


def test_unknown_characters_and_sentinels_show(tokenizer):
    (ids,) = token_ids(tokenizer, ["the {cat"])
    assert written_text(tokenizer, ids) == "the ⁇cat"
    assert decode(tokenizer, ids) == "the cat"
    sentinel = tokenizer.convert_tokens_to_ids("<extra_id_1>")
    assert written_text(tokenizer, [0, sentinel, *ids, 1]) == "<extra_id_1> the ⁇cat"
    assert written_text(tokenizer, [len(tokenizer) + 5]) == "⁇", "a token beyond the vocabulary"
    assert written_text(tokenizer, [0, 1]) == ""


@given(data=st.data())
def test_pieces_make_the_whole_however_it_is_cut(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=20))
    stops = data.draw(st.lists(st.sampled_from(["a", "at", "the c", "on and", ", ", "⁇"]), max_size=2))
    stream, pieces, place = TextStream(tokenizer, stops), [], 0
    while place < len(ids):
        size = data.draw(st.integers(1, 4))
        pieces.append(stream.add(ids[place : place + size]))
        place += size
        text = written_text(tokenizer, ids[:place])
        assert text.startswith("".join(pieces))
    pieces.append(stream.add([], is_last=True))
    whole = written_text(tokenizer, ids)
    cut = cut_at_stop(whole, stops)
    assert "".join(pieces) == (whole if cut is None else cut)


def test_the_beginning_of_a_stop_string_is_held_back(tokenizer):
    stream = TextStream(tokenizer, ["cat, and"])
    pieces = [stream.add([token]) for token in token_ids(tokenizer, ["the cat sat"])[0]]
    assert "".join(pieces) == "the cat sat"
    stream = TextStream(tokenizer, ["cat, and"])
    pieces = [stream.add([token]) for token in token_ids(tokenizer, ["the cat, and so"])[0]]
    assert "".join(pieces) == "the "


def test_the_first_stop_cuts():
    assert cut_at_stop("one two three", ["three", "two"]) == "one "
    assert cut_at_stop("one", ["two"]) is None
    assert cut_at_stop("one", []) is None
