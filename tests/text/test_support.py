"""Support against a reference that looks at every window by the book."""

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ramekin.text.support import MIN_WINDOW, is_number, support, word_tokens

TEXT = (
    "Rare words are hard for small translation models. Earlier work replaced them by a placeholder [12]. We train models "
    "of 20 million parameters and split rare words into syllables, which is 1.4 BLEU better than letters on 1,250 sentences. "
    + "The models are models of models. " * 30
    + "An oven of GPT-3 fame was heated to -5 degrees."
)
WORDS = (
    "flan",
    "oven",
    "syllable",
    "letter",
    "model",
    "split",
    "zebra",
    "the",
    "of",
    "12",
    "1.4",
    "not",
    "they",
)


def by_the_book(answer: str, text: str) -> float:
    """Every window of the text, its share reckoned from nothing; for texts of small words without endings."""
    empty = {"the", "of", "they"}
    asked = {word for word in re.findall(r"[\w.]+", answer) if word not in empty}
    tokens = re.findall(r"[\w.]+", text)
    terms = [token for token in tokens if token not in empty]
    if not asked:
        return 0.0
    worth = {term: math.log((len(terms) + 2) / (terms.count(term) + 1)) for term in asked}
    numbers = {term for term in asked if re.fullmatch(r"[\d.]+", term)}
    width = max(MIN_WINDOW, 2 * len(re.findall(r"[\w.]+", answer)))
    best = 0.0
    for start in range(max(1, len(tokens))):
        there = asked & set(tokens[start : start + width])
        share = sum(worth[term] for term in there) / sum(worth.values())
        best = max(best, share * (len(there & numbers) / len(numbers) if numbers else 1))
    return best


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.lists(st.sampled_from(WORDS), max_size=150))
def test_it_is_the_best_of_all_windows(answer: list[str], text: list[str]) -> None:
    assert support(" ".join(answer), " ".join(text)) == pytest.approx(
        by_the_book(" ".join(answer), " ".join(text))
    )


@given(st.data())
def test_what_stands_in_the_text_word_for_word_has_full_support(data: st.DataObject) -> None:
    words = TEXT.split()
    start = data.draw(st.integers(0, len(words) - 1))
    answer = " ".join(words[start : start + data.draw(st.integers(1, 40))])
    assume(word_tokens(answer) and support(answer, answer) > 0)
    assert support(answer, TEXT) == pytest.approx(1.0)


@given(st.permutations(["They", "split", "1250", "rare", "sentences", "into", "zebra", "syllables"]))
def test_the_order_of_an_answers_words_is_nothing(words: list[str]) -> None:
    assert support(" ".join(words), TEXT) == support(
        "They split 1250 rare sentences into zebra syllables", TEXT
    )


def test_words_may_differ_in_their_endings() -> None:
    for answer in (
        "splitting a rare word into a syllable",
        "Training a model",
        "It was replaced by placeholders.",
    ):
        assert support(answer, TEXT) == pytest.approx(1.0), answer


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("1.4", "4"), ("1.4 BLEU", "1.5 BLEU"), ("20 million", "2 million"), ("1,250", "250"), ("1250", "12"), ("-5 degrees", "5 degrees"),
     ("GPT-3", "GPT-4"), ("20", "20.0")],
)  # fmt: skip
def test_numbers_match_as_they_are_or_not_at_all(right: str, wrong: str) -> None:
    assert support(right, TEXT) == pytest.approx(1.0) and support(wrong, TEXT) == 0.0


def test_one_wrong_number_of_two_halves_what_is_left() -> None:
    assert 0 < support("20 million parameters and 1.5 BLEU", TEXT) < 0.5


def test_what_says_nothing_has_no_support() -> None:
    for answer in ("", "They do so.", "It is what it is", "?!", "[12]"):
        assert support(answer, TEXT) == 0.0
    assert support("rare words", "") == 0.0


def test_words_far_apart_do_not_add_up_and_common_ones_are_worth_less() -> None:
    assert support("Earlier degrees", TEXT) < 0.6
    assert support("models zebra", TEXT) < support("placeholder zebra", TEXT) < 0.5


def test_unlike_a_text_there_is_no_support() -> None:
    assert support("Zebras yawn quietly", TEXT) == 0.0
    assert not is_number("gpt") and is_number("-1.5")
