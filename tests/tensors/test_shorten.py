"""What a prompt that is too long loses: the ends of its longest fields, and nothing else while that suffices."""

from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.tensors.shorten import kept_lengths, shortened, token_fields
from ramekin.tensors.tokenizer import load_tokenizer, token_ids, token_offsets, train_tokenizer

TOKENIZER = Path(__file__).parents[2].parent / "shared" / "tokenizer"


def one_by_one(lengths: list[int], room: int) -> list[int]:
    """The rule by the book: the longest loses a token, until all fit; see `kept_lengths` for equals."""
    kept = list(lengths)
    while sum(kept) > max(room, 0):
        _, _, longest = max((kept[place], lengths[place], place) for place in range(len(kept)))
        kept[longest] -= 1
    return kept


class TestKeptLengths:
    @given(st.lists(st.integers(0, 30), max_size=6), st.integers(-3, 120))
    def test_the_longest_loses_a_token_until_all_fit(self, lengths: list[int], room: int) -> None:
        assert kept_lengths(lengths, room) == one_by_one(lengths, room)

    def test_a_question_beside_a_passage_is_whole(self) -> None:
        assert kept_lengths([12, 900], 500) == [12, 488]
        assert kept_lengths([900, 12], 13) == [6, 7]


prompts = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 9)), max_size=40
)  # a token's field, and the token


class TestShortened:
    @given(prompts, st.integers(0, 45))
    def test_its_length_what_stays_and_twice(self, prompt, room: int) -> None:
        in_field = [field for field, _ in prompt]
        ids = list(enumerate(each for _, each in prompt))  # each unlike all others
        found = list(shortened(ids, in_field, room))
        fixed = [each for each, field in zip(ids, in_field, strict=True) if field is None]
        assert len(found) == min(len(ids), max(room, len(fixed)))
        assert [each for each in found if in_field[each[0]] is None] == fixed
        assert found == sorted(found)
        for field in range(4):
            whole = [each for each in ids if in_field[each[0]] == field]
            rest = [each for each in found if in_field[each[0]] == field]
            assert rest == whole[: len(rest)], "a field loses its end"
        again = shortened(found, [in_field[place] for place, _ in found], room)
        assert list(again) == found

    @given(prompts, st.integers(0, 45))
    def test_no_field_is_cut_that_is_shorter_than_one_that_is_left(self, prompt, room: int) -> None:
        in_field = [field for field, _ in prompt]
        found = shortened(range(len(prompt)), in_field, room)
        before = [in_field.count(field) for field in range(4)]
        after = [sum(in_field[place] == field for place in found) for field in range(4)]
        longest = max(after)
        assert all(then == now or now >= longest - 1 for then, now in zip(before, after, strict=True))

    def test_without_fields_nothing_can_be_left_out(self) -> None:
        assert shortened("abc", [None] * 3, 2) == ["a", "b", "c"]


class TestTokenFields:
    def test_a_token_across_the_border_is_the_instructions(self) -> None:
        assert token_fields("a fog.", [(0, 1), (1, 5), (5, 6)], [(2, 5)]) == [None, 0, None]
        assert token_fields("a fog.", [(0, 1), (1, 6)], [(2, 5)]) == [None, None]

    def test_the_start_of_a_word_goes_with_it(self) -> None:
        """A token for the space alone: before a field's word it is the field's, after the field it is not."""
        text, fields = "say é é?", [(4, 7)]
        offsets = [(0, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)]
        assert token_fields(text, offsets, fields) == [None, 0, 0, 0, 0, None]
        assert token_fields("a b c", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)], [(2, 4)]) == [
            None, 0, 0, None, None,
        ]  # fmt: skip

    def test_white_space_alone_at_the_end_is_nobodys(self) -> None:
        assert token_fields("a ", [(0, 1), (1, 2)], [(0, 2)]) == [0, None]


SMALL = train_tokenizer(
    ["the passage says that it is wet", "question answer fog rain 1 2 ⁄ é"] * 9, vocab_size=70
)
WORDS = st.lists(
    st.sampled_from(
        ["passage", "question", "it", "is", "fog", "rain", "½", "ﬁne", "ⅷ", "été", "ñ", "が", "ｶﾞ", "ﷺ", "Ａｂｃ", "山", "👩\u200d👩\u200d👧", "\x01", "\x7f", "\u200b", "\xa0", "…", "quote", "“it”", "\n"]
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


@lru_cache(maxsize=1)
def t5():
    return load_tokenizer(TOKENIZER)


@pytest.fixture(scope="module", params=["trained", "t5"])
def tokenizer(request):
    if request.param == "t5" and not TOKENIZER.is_dir():
        pytest.skip("needs ../shared/tokenizer")
    return SMALL if request.param == "trained" else t5()


def in_pieces(tokenizer, parts: list[str], field: int) -> tuple[list[str], list[str]]:
    """The pieces of a prompt whose parts are words with a space between, in that part and outside it."""
    text = " ".join(parts)
    start = sum(len(part) + 1 for part in parts[:field])
    ranges = [(start, start + len(parts[field]))]
    places = token_fields(text, token_offsets(tokenizer, text), ranges)
    ids = token_ids(tokenizer, [text])[0]
    pieces = [(tokenizer.convert_ids_to_tokens(each), place) for each, place in zip(ids, places, strict=True)]
    inside = [piece for piece, place in pieces if place == 0]
    return inside, [piece for piece, place in pieces if place is None]


class TestRealTokens:
    """Where `token_offsets` says a token comes from, though the normaliser changes what stands before it."""

    @given(WORDS, WORDS, WORDS)
    def test_a_fields_tokens_are_the_tokens_of_its_text(self, tokenizer, before, words, after) -> None:
        parts = [" ".join(each) for each in (before, words, after)]
        inside, outside = in_pieces(tokenizer, parts, 1)
        alone = [tokenizer.convert_ids_to_tokens(ids) for ids in token_ids(tokenizer, parts)]
        assert inside == alone[1]
        assert outside == alone[0] + alone[2]

    def test_behind_a_character_that_vanishes_at_the_beginning(self, tokenizer) -> None:
        for text in (
            "\x7f\x01 fog rain",
            "fog\x01 rain",
            "<extra_id_0>\x01\x08 fog <extra_id_1> \x1arain",
        ):
            offsets = token_offsets(tokenizer, text)
            (ids,) = token_ids(tokenizer, [text])
            assert len(offsets) == len(ids) and offsets[-1][1] == len(text)
            for word in ("fog", "rain"):
                start = text.index(word)
                within = token_fields(text, offsets, [(start, start + len(word))])
                pieces = [each for each, place in zip(ids, within, strict=True) if place == 0]
                assert pieces == token_ids(tokenizer, [word])[0], (text, word)

    def test_one_character_of_several_tokens(self, tokenizer) -> None:
        text = "it is ½ wet"
        offsets = token_offsets(tokenizer, text)
        assert sum((start, end) == (6, 7) for start, end in offsets) >= 2
