"""SQuAD's rule: the official script's cases and code, chance, and what the rule leaves nothing of."""

import re
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.text.metrics import score_predictions
from ramekin.text.metrics.squad import normalised
from ramekin.text.score import wilson_interval

PIECES = [
    "the",
    "The",
    "a",
    "an",
    "theory",
    "Norman",
    "norman.",
    "1,000",
    "U.S.",
    "it's",
    "-",
    "  ",
    "café",
    "\n",
]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map(" ".join)


def official(text):
    """normalize_answer of the official evaluate-v1.1.py, in its own order of steps."""
    exclude = set(string.punctuation)
    text = "".join(ch for ch in text.lower() if ch not in exclude)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def official_f1(prediction, gold):
    prediction, gold = official(prediction).split(), official(gold).split()
    same = sum((Counter(prediction) & Counter(gold)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(prediction), same / len(gold)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize(
    ("prediction", "reference", "same"),
    [
        ("Denver Broncos", "the Denver Broncos.", True),
        ("  DENVER\nbroncos ", "Denver Broncos", True),
        ("Santa Clara, California", "Santa Clara California", True),
        ("$1.5 billion", "15 billion", True),  # the rule knows no decimal point
        ("it's", "its", True),
        ("theory", "ory", False),  # an article is a word of its own
        ("a-b", "ab", True),  # punctuation goes first, so no article is left here
        ("cafe", "café", False),
        ("two words", "words two", False),
        ("", "Denver", False),
    ],
)
def test_the_official_rule(prediction, reference, same):
    assert (official(prediction) == official(reference)) == same
    assert score_predictions("exact_match", [prediction], [reference]).value == float(same)


@given(st.lists(st.tuples(texts, texts, st.lists(texts, max_size=2)), min_size=1, max_size=6))
@settings(max_examples=60)
def test_scores_are_the_official_scripts_best_over_references(rows):
    predictions, targets, references = (list(column) for column in zip(*rows, strict=True))
    if not all(official(text) for p, t, r in rows for text in (p, t, *r)):
        return  # where the rule leaves nothing, we part from it
    golds = [(t, *r) for _, t, r in rows]
    exact = [
        max(official(p) == official(g) for g in gold) for p, gold in zip(predictions, golds, strict=True)
    ]
    f1 = [max(official_f1(p, g) for g in gold) for p, gold in zip(predictions, golds, strict=True)]
    found = score_predictions("exact_match", predictions, targets, references=references)
    assert found.value == pytest.approx(sum(exact) / len(rows))
    assert (found.low, found.high) == wilson_interval(sum(exact), len(rows))
    found = score_predictions("squad_f1", predictions, targets, references=references)
    assert found.value == pytest.approx(sum(f1) / len(rows))


def test_token_f1_by_hand():
    # "quick brown fox" against "brown fox jumps over": 2 shared, 3 and 4 words
    score = score_predictions("squad_f1", ["The quick brown fox"], ["a brown fox jumps over"])
    assert score.value == pytest.approx(4 / 7)
    repeated = score_predictions("squad_f1", ["no no no"], ["no"])
    assert repeated.value == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    ("prediction", "reference", "same"),
    [
        ("A", "a.", True),
        ("A", "an", False),
        (") ]", ") ]", True),
        (") ]", ")", False),
        ("", "A", False),
        ("", ")", False),
    ],
)
def test_answers_that_the_rule_leaves_nothing_of_are_told_apart(prediction, reference, same):
    assert official(prediction) == official(reference) == ""
    assert score_predictions("exact_match", [prediction], [reference]).value == float(same)
    assert (score_predictions("squad_f1", [prediction], [reference]).value == 1.0) == same


def test_normal_forms():
    assert [normalised(text) for text in ("An  apple!", "THE", "?!", " ", "a")] == [
        "apple",
        "the",
        "?!",
        "",
        "a",
    ]


def test_chance_is_that_of_choosing_among_the_options():
    options = [["Rome", "Paris", "the Rome Cup"], ["x", "y"]]
    references = [["rome"], []]
    exact = score_predictions(
        "exact_match", ["rome!", "z"], ["Rome", "x"], references=references, example_options=options
    )
    assert exact.chance == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert (exact.value, exact.unparsable) == (0.5, 1)
    words = score_predictions(
        "squad_f1", ["Rome", "z"], ["Rome", "x"], references=references, example_options=options
    )
    assert words.chance == pytest.approx(((1 + 0 + 2 / 3) / 3 + 1 / 2) / 2)
    assert words.unparsable == 0
    assert score_predictions("exact_match", ["x"], ["x"]).chance == 0.0


def test_several_right_options_raise_the_chance():
    score = score_predictions(
        "exact_match",
        ["AP"],
        ["AP"],
        references=[["AP", "Brightport"]],
        example_options=[["AP", "Brightport", "Helen", "Tom"]],
    )
    assert score.chance == 0.5
