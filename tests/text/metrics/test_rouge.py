"""ROUGE against rouge-score itself, a hand count, and what it cannot read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from ramekin.text.metrics import score_predictions

NAMES = ["rouge1", "rouge2", "rougeL"]
PIECES = [
    "The",
    "police",
    "killed",
    "kills",
    "the",
    "gunman",
    "gunmen,",
    "state-of-the-art",
    "U.S.",
    "café",
    "東京",
    "ß",
    "x\ty",
    "\u2003",
    "42",
]
texts = st.lists(st.sampled_from(PIECES), max_size=10).map(" ".join)
peer = RougeScorer(NAMES, use_stemmer=True)


@given(st.lists(st.tuples(texts, texts, st.lists(texts, max_size=2)), min_size=1, max_size=5))
@settings(max_examples=60)
def test_scores_are_rouge_scores_with_its_stemmer(rows):
    predictions, targets, references = (list(column) for column in zip(*rows, strict=True))
    theirs = [peer.score_multi([t, *r], p) for p, t, r in rows]
    for name in NAMES:
        ours = score_predictions(name, predictions, targets, references=references)
        assert ours.value == pytest.approx(sum(each[name].fmeasure for each in theirs) / len(rows), abs=1e-12)


@given(st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=100)
def test_any_text_has_rouge_scores_tokens(prediction, target):
    for name in NAMES:
        ours = score_predictions(name, [prediction], [target]).value
        assert ours == peer.score(target, prediction)[name].fmeasure


def test_the_example_of_the_paper():
    # Lin 2004: S2 keeps the order of "police ... the gunman"; the stemmer makes kill of killed
    target, predictions = "police killed the gunman", ["police kill the gunman", "the gunman kill police"]
    words, order = (score_predictions(name, predictions, [target] * 2).value for name in ("rouge1", "rougeL"))
    assert words == 1.0
    assert order == pytest.approx((1.0 + 0.5) / 2)


def test_a_script_that_rouge_does_not_read_is_said():
    score = score_predictions("rougeL", ["東京", "rain"], ["東京", "rain"])
    assert (score.value, score.chance) == (0.5, 0.0)
    assert score.note == "1 of 2 targets have no letter or digit that ROUGE reads"


def test_chance_is_the_mean_over_the_options():
    score = score_predictions("rouge1", ["red cat"], ["red cat"], options=["red cat", "red dog"])
    assert score.chance == pytest.approx((1 + 0.5) / 2)
