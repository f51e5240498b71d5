"""BLEU against sacrebleu itself, with one reference, several, and different numbers of them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from ramekin.text.metrics import score_predictions

PIECES = ["the", "cat", "is", "on", "mat", "there", "It's", "mat.", "1,000", "a-b", "&quot;", "東京"]
texts = st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)


def theirs(predictions, targets, references=()):
    """Corpus BLEU by sacrebleu: streams of references, None where an example has no more."""
    golds = [
        list(dict.fromkeys([t, *r])) for t, r in zip(targets, references or [[]] * len(targets), strict=True)
    ]
    streams = [[gold[i] if i < len(gold) else None for gold in golds] for i in range(max(map(len, golds)))]
    return BLEU().corpus_score(predictions, streams).score / 100


@given(st.lists(st.tuples(texts, texts, st.lists(texts, max_size=3)), min_size=1, max_size=6))
@settings(max_examples=100)
def test_scores_are_sacrebleus(rows):
    predictions, targets, references = (list(column) for column in zip(*rows, strict=True))
    ours = score_predictions("bleu", predictions, targets, references=references)
    assert ours.value == pytest.approx(theirs(predictions, targets, references), abs=1e-12)


def test_by_hand():
    # the full stop is a word of its own; the second "the" has nothing left to match
    score = score_predictions("bleu", ["the cat sat on the mat."], ["the cat sat on a mat."])
    assert score.value == pytest.approx((6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25)
    short = score_predictions("bleu", ["the cat sat on"], ["the cat sat on the mat."])
    assert short.value == pytest.approx(math.exp(1 - 7 / 4))


def test_counts_are_added_up_before_anything_is_divided():
    predictions, targets = ["the cat sat on the mat", "dogs"], ["the cat sat on the mat", "birds"]
    score = score_predictions("bleu", predictions, targets)
    assert score.value == pytest.approx((6 / 7 * 5 / 5 * 4 / 4 * 3 / 3) ** 0.25)
    assert (score.chance, score.unparsable) == (0.0, 0)


def test_of_several_references_each_ngram_counts_and_the_closest_length():
    predictions, targets, references = ["a b c d e"], ["a b c x x x x x x"], [["y c d e"]]
    ours = score_predictions("bleu", predictions, targets, references=references).value
    assert ours == pytest.approx(theirs(predictions, targets, references))
    assert ours > theirs(predictions, targets)


def test_texts_too_short_for_bleu_are_said():
    score = score_predictions("bleu", ["red cat", "old dog"], ["red cat", "old dog"])
    assert (score.value, score.note) == (0.0, "no prediction has four words: bleu undefined, reported as 0")
