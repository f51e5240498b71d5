"""The bootstrap of examples and of the passages that they share."""

import dataclasses

import numpy as np
import pytest

from ramekin.text.metrics import METRICS, Answers, bootstrap_draws, score_answers
from ramekin.text.metrics.bootstrap import resampled_counts
from ramekin.text.metrics.proportion import clustered_error

PASSAGES = ("p", "q", "p", "r", "q", "p", "s", "s")
WORDS = ("no", "yes")
NOT_OF_CLASSES = ("pearson", "spearman", "triple_f1", "multirc_em", "perplexity")


def stacked(*given, **settings):
    return np.concatenate(list(resampled_counts(*given, **settings)))


def drawn_rows(counts):
    """The draw that these counts stand for, example by example."""
    return [row for row, count in enumerate(counts) for _ in range(int(count))]


def picked(answers, rows):
    """The answers of these rows."""
    return Answers(
        tuple(answers.predictions[row] for row in rows),
        tuple(answers.targets[row] for row in rows),
        answers.options,
    )


def test_draws_of_independent_examples_hold_as_many_as_there_are():
    counts = stacked(7, seed=0, resamples=400)
    assert counts.shape == (400, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.2)
    assert counts.var() == pytest.approx(6 / 7, abs=0.1), "as multinomial counts vary"


def test_a_draw_of_passages_has_all_examples_of_each():
    counts = stacked(8, PASSAGES, seed=0, resamples=300)
    for passage in set(PASSAGES):
        (columns,) = np.nonzero(np.array(PASSAGES) == passage)
        assert (counts[:, columns] == counts[:, columns[:1]]).all()
    first = [PASSAGES.index(passage) for passage in "pqrs"]
    assert (counts[:, first].sum(axis=1) == 4).all(), "as many passages as there are"
    assert len(set(counts.sum(axis=1))) > 1, "and more examples or fewer"


@pytest.mark.parametrize("clusters", [("p",) * 5, tuple("abcde")])
def test_one_passage_or_one_for_each_example_is_the_plain_bootstrap(clusters):
    plain = stacked(5, seed=3, resamples=20)
    assert (stacked(5, clusters, seed=3, resamples=20) == plain).all()


def test_the_same_draws_come_in_chunks_of_any_size(monkeypatch):
    import ramekin.text.metrics.bootstrap as module

    once = stacked(8, PASSAGES, seed=1, resamples=50)
    monkeypatch.setattr(module, "_CHUNK_CELLS", 24)
    chunks = list(resampled_counts(8, PASSAGES, seed=1, resamples=50))
    assert {len(chunk) for chunk in chunks} == {3, 2}
    assert (np.concatenate(chunks) == once).all()


@pytest.mark.parametrize("name", [name for name, _ in METRICS.items() if name not in NOT_OF_CLASSES])
def test_every_metric_on_a_draw_of_passages_is_that_on_its_examples(name):
    rng = np.random.default_rng(5)
    written, targets = rng.choice(WORDS, 8), rng.choice(WORDS, 8)
    answers = Answers(tuple(map(str, written)), tuple(map(str, targets)), WORDS, clusters=PASSAGES)
    counts = stacked(8, PASSAGES, seed=2, resamples=12)
    found = METRICS[name].prepare(answers)(counts)
    for row, value in zip(counts, found, strict=True):
        assert value == pytest.approx(score_answers(name, picked(answers, drawn_rows(row))).value, abs=1e-12)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_correlations_on_a_draw_of_passages_are_those_on_its_examples(name):
    rng = np.random.default_rng(6)
    x, y = rng.integers(0, 5, 8), rng.integers(0, 5, 8)
    answers = Answers(tuple(map(str, x)), tuple(map(str, y)), clusters=PASSAGES)
    counts = stacked(8, PASSAGES, seed=2, resamples=12)
    found = METRICS[name].prepare(answers)(counts)
    for row, value in zip(counts, found, strict=True):
        assert value == pytest.approx(score_answers(name, picked(answers, drawn_rows(row))).value, abs=1e-12)


def test_the_spread_of_the_draws_is_the_sandwich_estimate():
    rng = np.random.default_rng(7)
    passages = tuple(str(row // 8) for row in range(480))
    hits = (rng.random(480) < np.repeat(rng.beta(2, 2, 60), 8)).astype(int)
    answers = Answers(tuple(map(str, hits)), ("1",) * 480, clusters=passages)
    spread = bootstrap_draws("accuracy", answers, seed=0, resamples=4000).std()
    alone = bootstrap_draws("accuracy", dataclasses.replace(answers, clusters=()), seed=0).std()
    assert spread == pytest.approx(clustered_error(hits, passages), rel=0.05)
    assert spread > 1.4 * alone


def test_a_bootstrapped_score_says_its_passages():
    answers = Answers(("a b", "c", "e f", "g"), ("a", "c d", "e", "h"), clusters=("p", "p", "q", "q"))
    assert score_answers("squad_f1", answers).clusters == 2
    assert score_answers("squad_f1", answers).note == "2 passages only: the interval is too narrow"
    many = Answers(("a",) * 40, ("a b",) * 40, clusters=tuple(str(row // 2) for row in range(40)))
    assert score_answers("squad_f1", many).note == ""
    one = score_answers("squad_f1", dataclasses.replace(answers, clusters=("p",) * 4))
    assert one.note == "all examples share one passage: the interval holds for that passage alone"
    plain = score_answers("squad_f1", dataclasses.replace(answers, clusters=()))
    assert (plain.clusters, plain.note, (one.low, one.high)) == (0, "", (plain.low, plain.high))


@pytest.mark.parametrize("metric", ["squad_f1", "rougeL"])
@pytest.mark.parametrize("written", ["Rome", "Oslo"])
def test_grades_that_are_all_0_or_all_1_are_as_sure_as_a_proportion(metric, written):
    answers = Answers((written,) * 12, ("Rome",) * 12)
    score, share = score_answers(metric, answers), score_answers("exact_match", answers)
    assert (score.value, score.low, score.high) == (share.value, share.low, share.high)
    assert score.high - score.low > 0.2
    paired = dataclasses.replace(answers, clusters=tuple(str(row // 3) for row in range(12)))
    assert score_answers(metric, paired).high - score_answers(metric, paired).low > 0.4, "four passages"


def test_the_bootstrap_of_passages_covers_a_mean_that_is_no_proportion():
    """Token F1 of answers whose passage is easy or hard: 100 data sets, 40 passages of 8 rows."""
    rng = np.random.default_rng(8)
    truth, held = 0.5 * (1 + 2 / 3), {"passages": 0, "rows": 0}
    for seed in range(100):
        easy = np.repeat(rng.random(40) < 0.5, 8)
        written = tuple("u" if each else "u v" for each in easy)  # F1 of 1 and of 2 / 3
        passages = tuple(str(row // 8) for row in range(320))
        for name, clusters in (("passages", passages), ("rows", ())):
            score = score_answers("squad_f1", Answers(written, ("u",) * 320, clusters=clusters), seed=seed)
            held[name] += score.low <= truth <= score.high
    assert held["passages"] >= 88
    assert held["rows"] <= 60
