"""chrF2 against sacrebleu itself, with one reference, several, and different numbers of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF

from ramekin.text.metrics import score_predictions

texts = st.one_of(
    st.text(alphabet="abc \n.", max_size=14),
    st.lists(st.sampled_from(["the", "cat", "Katze", "東京", "é"]), max_size=5).map(" ".join),
)


def theirs(predictions, targets, references=()):
    golds = [
        list(dict.fromkeys([t, *r])) for t, r in zip(targets, references or [[]] * len(targets), strict=True)
    ]
    streams = [[gold[i] if i < len(gold) else None for gold in golds] for i in range(max(map(len, golds)))]
    return CHRF().corpus_score(predictions, streams).score / 100


@given(st.lists(st.tuples(texts, texts, st.lists(texts, max_size=3)), min_size=1, max_size=6))
@settings(max_examples=150)
def test_scores_are_sacrebleus(rows):
    predictions, targets, references = (list(column) for column in zip(*rows, strict=True))
    ours = score_predictions("chrf", predictions, targets, references=references)
    assert ours.value == pytest.approx(theirs(predictions, targets, references), abs=1e-9)


def test_by_hand():
    # abc / abd: 2 of 3 letters, 1 of 2 pairs, 0 of 1 triples; precision equals recall, so F2 is their mean
    score = score_predictions("chrf", ["a b c"], ["abd"])
    assert score.value == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    # ab / abcd: precision 1 in the two orders that both have, recall 2/4 and 1/3
    recall = (1 / 2 + 1 / 3) / 2
    assert score_predictions("chrf", ["ab"], ["abcd"]).value == pytest.approx(5 * recall / (4 + recall))


def test_each_example_counts_its_best_reference():
    one = score_predictions("chrf", ["Katze", "cat"], ["Hund", "cat"]).value
    two = score_predictions("chrf", ["Katze", "cat"], ["Hund", "cat"], references=[["Katze"], []])
    assert (two.value, one < 1, two.chance) == (1.0, True, 0.0)
