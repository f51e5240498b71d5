"""The world's plain text."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.sources.world import corpus


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(0, 30), st.integers(0, 30))
def test_a_shorter_corpus_begins_the_longer(seed: int, n: int, more: int) -> None:
    assert corpus(n + more, seed=seed)[:n] == corpus(n, seed=seed)


def test_texts_are_sentences() -> None:
    texts = corpus(2000, seed=0)
    assert all(text.endswith(" .") and len(text.split()) >= 4 for text in texts)
    assert len(set(texts)) > 1500


def test_the_second_wording_is_another() -> None:
    for text in corpus(500, seed=1):
        if " . that is to say " in text:
            first, second = text.removesuffix(" .").split(" . that is to say ")
            assert first != second


def test_seeds_give_other_texts() -> None:
    assert corpus(20, seed=0) != corpus(20, seed=1)
