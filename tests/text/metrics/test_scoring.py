"""What all metrics share: the bootstrap, blind strategies, names and bad input."""

import pkgutil
import random
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ramekin.errors import DataError, UsageError
from ramekin.text.metrics import (
    METRICS,
    Answers,
    bootstrap_draws,
    majority_level,
    score_answers,
    score_predictions,
)

YES_NO = ("no", "yes")
TEXT = ("accuracy", "exact_match", "number_match", "squad_f1", "rouge1", "rouge2", "rougeL", "bleu", "chrf")
CLASSES = ("accuracy", "f1", "f1_macro", "matthews", "exact_match")
BEST_REFERENCE = ("accuracy", "exact_match", "number_match", "squad_f1", "rouge1", "rouge2", "rougeL")
words = st.lists(st.sampled_from(["the", "Cat", "cats", "sat,", "on", "a", "mat.", "?"]), max_size=7).map(
    " ".join
)
rows = st.lists(st.tuples(words, words, st.lists(words, max_size=3).map(tuple)), min_size=1, max_size=8)


def gathered(rows):
    return Answers(
        *(tuple(column) for column in zip(*(row[:2] for row in rows), strict=True)),
        references=tuple(row[2] for row in rows),
    )


def counted(indices, n):
    """How often each example is in each draw."""
    return np.stack([np.bincount(row, minlength=n) for row in indices]).astype(float)


# what holds for every metric


@pytest.mark.parametrize("name", TEXT)
@given(rows=rows, seed=st.integers(0, 100))
@settings(max_examples=25)
def test_a_score_of_texts_is_a_fraction_whatever_was_written_and_in_any_order(name, rows, seed):
    score = score_answers(name, gathered(rows))
    assert all(0 <= value <= 1 for value in (score.value, score.low, score.high, score.chance))
    assert 0 <= METRICS[name].majority(gathered(rows)) <= 1
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert score_answers(name, gathered(shuffled)).value == pytest.approx(score.value, abs=1e-12)


@pytest.mark.parametrize("name", BEST_REFERENCE)
@given(rows=rows, more=words)
@settings(max_examples=25)
def test_one_more_reference_never_lowers_the_best(name, rows, more):
    once = np.ones((1, len(rows)))
    before = METRICS[name].prepare(gathered(rows))(once)
    after = METRICS[name].prepare(gathered([(p, t, (*r, more)) for p, t, r in rows]))(once)
    assert after[0] >= before[0]


@pytest.mark.parametrize("name", TEXT)
def test_what_equals_one_of_its_references_is_wholly_right(name):
    texts = ["the old cat sat on a mat today", "dogs ran under the tall green tree"]
    score = score_predictions(
        name, texts, ["no such thing here", "nor here"], references=[[texts[0], "so"], [texts[1]]]
    )
    assert (score.value, score.low > 0.3, score.high, score.note) == (1.0, True, 1.0, "")


@pytest.mark.parametrize("name", [*TEXT, "f1_macro"])
def test_empty_and_constant_predictions_are_said(name):
    score = score_predictions(
        name, ["", " ", ""], ["no", "yes", "no"], options=YES_NO if name == "f1_macro" else ()
    )
    assert score.value == 0.0
    if name != "accuracy":
        assert score.note.startswith("3 empty predictions")
        constant = score_predictions(name, ["no", "no", "no"], ["no", "yes", "no"], options=YES_NO)
        assert constant.note.startswith("all predictions are the same")


def test_the_text_metrics_of_one_set_by_hand():
    """One row right in its second reference, one half right, one wrong."""
    predictions, targets = ["Rome", "the cat", "x"], ["Roma", "a cat sat", "y"]
    references = [["Rome"], [], []]
    values = {
        name: score_predictions(name, predictions, targets, references=references).value for name in TEXT
    }
    assert values["accuracy"] == values["exact_match"] == pytest.approx(1 / 3)
    assert values["squad_f1"] == pytest.approx((1 + 2 / 3) / 3)  # cat / cat sat
    assert values["rouge1"] == pytest.approx((1 + 2 / 5) / 3)  # the cat / a cat sat


def test_a_seed_makes_the_interval():
    pair = Answers(("a b c d", "e f", "g"), ("a b c d e", "e", "h"))
    for name in ("squad_f1", "rougeL", "bleu", "chrf"):
        ends = {
            (score.low, score.high) for score in (score_answers(name, pair, seed=seed) for seed in (1, 1))
        }
        assert len(ends) == 1
        low, high = ends.pop()
        assert low < score_answers(name, pair).value <= high


# bootstrap


def test_the_interval_is_the_plain_percentile_bootstrap():
    rng = np.random.default_rng(5)
    x, y = rng.random(25).round(2), rng.random(25).round(2)
    score = score_predictions("pearson", list(map(str, x)), list(map(str, y)), seed=11)

    def one(indices):
        return float(np.corrcoef(x[indices], y[indices])[0, 1])

    draws = [one(rng.integers(0, 25, 25)) for _ in range(2000)]
    assert (score.low, score.high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.08)


def test_the_standard_error_is_the_spread_of_the_draws_and_near_the_formula():
    rng = np.random.default_rng(8)
    words = [" ".join(rng.choice(list("uvwxyz"), 4)) for _ in range(300)]
    wanted = [" ".join(rng.choice(list("uvwxyz"), 4)) for _ in range(300)]
    pair = Answers(tuple(words), tuple(wanted))
    score = score_answers("squad_f1", pair, seed=3)
    drawn = bootstrap_draws("squad_f1", pair, seed=3)
    assert score.standard_error == pytest.approx(np.std(drawn, ddof=1))
    each = [score_predictions("squad_f1", [w], [t]).value for w, t in zip(words, wanted, strict=True)]
    assert score.standard_error == pytest.approx(np.std(each) / np.sqrt(300), rel=0.1)


@pytest.mark.parametrize("name", ["accuracy", "exact_match", "number_match"])
def test_the_standard_error_of_a_proportion_is_the_binomials(name):
    score = score_predictions(name, ["1", "2", "3", "5"], ["1", "2", "3", "4"])
    assert score.standard_error == pytest.approx(np.sqrt(0.75 * 0.25 / 4))


def test_draws_depend_on_the_seed_alone_and_are_made_in_bounded_chunks(monkeypatch):
    import ramekin.text.metrics.bootstrap as module

    pair = Answers(("1", "2", "3", "4"), ("1", "3", "2", "4"))
    once = bootstrap_draws("pearson", pair, seed=1, resamples=50)
    monkeypatch.setattr(module, "_CHUNK_CELLS", 40)
    assert bootstrap_draws("pearson", pair, seed=1, resamples=50).tolist() == once.tolist()
    assert bootstrap_draws("pearson", pair, seed=2, resamples=50).tolist() != once.tolist()


@pytest.mark.parametrize("name", CLASSES)
def test_resampled_class_metrics_equal_the_metric_on_the_drawn_examples(name):
    rng = np.random.default_rng(4)
    pick = rng.choice(["yes", "no", "?"], (2, 30))
    predictions, targets = list(pick[0]), [t if t != "?" else "no" for t in pick[1]]
    indices = rng.integers(0, 30, (10, 30))
    pair = Answers(tuple(predictions), tuple(targets), YES_NO)
    for row, value in zip(indices, METRICS[name].prepare(pair)(counted(indices, 30)), strict=True):
        drawn = score_predictions(
            name, [predictions[i] for i in row], [targets[i] for i in row], options=YES_NO
        )
        assert value == pytest.approx(drawn.value, abs=1e-12)


@pytest.mark.parametrize("name", TEXT)
def test_resampled_text_metrics_equal_the_metric_on_the_drawn_examples(name):
    rng = np.random.default_rng(6)
    vocabulary = ["the", "cat", "sat", "on", "mat", "A", "dog", "."]

    def text(length):
        return " ".join(rng.choice(vocabulary, length))

    rows = [
        (
            text(rng.integers(0, 12)),
            text(rng.integers(1, 12)),
            tuple(text(6) for _ in range(rng.integers(0, 3))),
        )
        for _ in range(15)
    ]
    indices = rng.integers(0, 15, (6, 15))
    for drawn, value in zip(
        indices, METRICS[name].prepare(gathered(rows))(counted(indices, 15)), strict=True
    ):
        assert value == pytest.approx(
            score_answers(name, gathered([rows[i] for i in drawn])).value, abs=1e-12
        )


@pytest.mark.parametrize(
    ("name", "owner", "attribute", "times"),
    [
        ("bleu", "sacrebleu.metrics.bleu.BLEU", "sentence_score", 2),
        ("chrf", "sacrebleu.metrics.helpers", "extract_all_char_ngrams", 4),
        ("rougeL", "ramekin.text.metrics.mean", "grades", 1),
    ],
)
def test_texts_are_read_once_however_many_draws_there_are(name, owner, attribute, times, monkeypatch):
    calls = []
    target = pkgutil.resolve_name(owner.replace(".BLEU", ":BLEU"))
    asked = getattr(target, attribute)
    spy = lambda *given: (calls.append(1), asked(*given))[1]  # noqa: E731
    monkeypatch.setattr(target, attribute, spy)
    if name == "rougeL":
        monkeypatch.setattr("ramekin.text.metrics.rouge.grades", spy)
    score_answers(name, Answers(("a b c d", "e f g h"), ("a b c d", "e f g i")))
    assert len(calls) == times


# blind strategies and bad input


def test_majority_levels():
    targets = ["yes", "no", "no", "no"]
    assert majority_level("accuracy", targets) == 0.75
    assert majority_level("f1", targets, options=YES_NO) == pytest.approx(
        sk.f1_score(targets, ["yes"] * 4, pos_label="yes")
    )
    assert majority_level("f1_macro", targets, options=YES_NO) == pytest.approx(
        sk.f1_score(targets, ["no"] * 4, average="macro")
    )
    blind = ("spearman", "pearson", "matthews", "rouge1", "rouge2", "rougeL", "bleu", "chrf")
    assert [majority_level(name, ["1", "2"]) for name in blind] == [0.0] * 8


def test_the_best_constant_answer_may_be_any_reference():
    targets, references = ["Roma", "Rome.", "Paris"], [["Rome"], [], ["the Rome"]]
    assert majority_level("accuracy", targets, references=references) == 1 / 3
    assert majority_level("exact_match", targets, references=references) == 1.0
    assert majority_level("squad_f1", ["big cat", "big cat", "cat", "dog"]) == pytest.approx((2 + 2 / 3) / 4)


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        score_predictions("acuracy", ["a"], ["a"])


def test_nothing_to_score_and_unequal_numbers_are_refused():
    with pytest.raises(DataError, match="nothing to score: expected at least one example, got none"):
        score_predictions("accuracy", [], [])
    with pytest.raises(DataError, match="differ in number: expected 2 predictions, got 1"):
        score_predictions("accuracy", ["a"], ["a", "b"])
    with pytest.raises(
        DataError, match="references and targets differ in number: expected 1 references, got 2"
    ):
        score_predictions("accuracy", ["a"], ["a"], references=[[], []])
    with pytest.raises(DataError, match="example_options and targets differ"):
        score_predictions("accuracy", ["a"], ["a"], example_options=[["a"], ["b"]])


def test_importing_the_metrics_loads_no_heavy_library():
    code = (
        "import sys, ramekin.text.metrics, ramekin.text.task_yaml;"
        "heavy = ('torch', 'scipy', 'sklearn', 'numpy', 'transformers', 'sacrebleu', 'rouge_score', 'nltk');"
        "print([m for m in heavy if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


# the edges


def edge(name, written, wanted, **more):
    options = () if name in ("pearson", "spearman", "number_match") else YES_NO
    return score_predictions(name, written, wanted, options=options, questions=range(len(wanted)), **more)


NUMBERS = {"yes": "1", "no": "2", "": ""}
EDGES = {
    "one example": (["yes"], ["yes"]),
    "one wrong example": (["no"], ["yes"]),
    "constant predictions": (["no"] * 4, ["no", "yes", "yes", "no"]),
    "one class only": (["no", "yes", "yes", "no"], ["no"] * 4),
    "one class, all right": (["no"] * 4, ["no"] * 4),
    "empty answers": ([""] * 4, ["no", "yes", "yes", "no"]),
}


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("name", [name for name, _ in METRICS.items() if name != "perplexity"])
def test_no_edge_is_nan_and_every_one_is_said(name, case):
    written, wanted = EDGES[case]
    if name in ("pearson", "spearman", "number_match"):
        written, wanted = ([NUMBERS[text] for text in texts] for texts in (written, wanted))
    score = edge(name, written, wanted)
    numbers = (score.value, score.low, score.high, score.chance, score.standard_error, score.normalised)
    assert np.isfinite(numbers).all()
    assert score.low <= score.high
    if case == "empty answers" and name not in ("pearson", "spearman"):
        assert score.note.startswith("4 empty predictions")
    if case == "constant predictions":
        assert re.match("all predictions are the same|constant predictions|.*; all predictions", score.note)
    if case.startswith("one class") and name in (*CLASSES, "multirc_f1a", "contains", "pearson"):
        assert re.search("all targets are|constant targets|no target is|constant predictions", score.note)
    if len(wanted) == 1 and score.low == score.high:
        assert "one example" in score.note or "fewer than two examples" in score.note
