"""Perplexity: the exponential of the mean loss a token, its interval, and what it needs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.text.metrics import Answers, bootstrap_draws, score_answers, score_predictions

losses = st.lists(st.tuples(st.floats(0.001, 60), st.integers(1, 12)), min_size=1, max_size=12)


def scored(pairs, vocab_size=100):
    texts = tuple(map(str, range(len(pairs))))
    return Answers(texts, texts, losses=tuple(pairs), vocab_size=vocab_size)


@given(losses)
def test_it_is_the_exponential_of_the_mean_loss_of_a_token(pairs):
    score = score_answers("perplexity", scored(pairs))
    total, tokens = sum(loss for loss, _ in pairs), sum(count for _, count in pairs)
    assert score.value == pytest.approx(math.exp(total / tokens))
    assert score.low - 1e-9 <= score.high
    assert (score.n, score.chance) == (len(pairs), 100.0)


@given(st.integers(2, 500), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_equal_probabilities_reach_the_size_of_the_vocabulary(size, tokens):
    score = score_answers("perplexity", scored([(count * math.log(size), count) for count in tokens], size))
    assert score.value == pytest.approx(size)
    assert score.chance == size


def test_draws_are_of_examples_with_all_their_tokens():
    pairs = [(1.0, 1), (30.0, 10), (2.0, 4)]
    found = bootstrap_draws("perplexity", scored(pairs), seed=0, resamples=400)
    possible = {
        round(math.exp(sum(pairs[i][0] for i in rows) / sum(pairs[i][1] for i in rows)), 9)
        for rows in np.ndindex(3, 3, 3)
    }
    assert {round(float(value), 9) for value in found} <= possible


def test_a_loss_beyond_floats_is_no_infinity():
    score = score_answers("perplexity", scored([(1e6, 1), (1e6, 1)]))
    assert math.isfinite(score.value) and math.isfinite(score.standard_error)


def test_answers_that_were_not_scored_are_refused():
    with pytest.raises(DataError, match="perplexity needs the losses of the targets.*use mode=perplexity"):
        score_predictions("perplexity", ["a"], ["a"])
    with pytest.raises(DataError, match="losses and targets differ in number"):
        Answers(("a", "b"), ("a", "b"), losses=((1.0, 2),))
