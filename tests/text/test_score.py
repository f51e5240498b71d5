"""Scores and the interval of a proportion."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from ramekin.text.score import Score, binomial_error, have_a_mean, normalised_value, wilson_interval


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(pair):
    successes, n = pair
    low, high = wilson_interval(successes, n)
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0.0 <= low <= successes / n <= high <= 1.0


def test_wilson_of_nothing_is_everything():
    assert wilson_interval(0, 0) == (0.0, 1.0)


GOOD = Score("accuracy", 0.6, 100, 0.5, 0.7, 0.5, 0.049)


@pytest.mark.parametrize("field", ["value", "low", "high", "chance", "standard_error"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_is_never_nan(field, bad):
    with pytest.raises(ValueError, match=f"Score.{field} must be finite"):
        dataclasses.replace(GOOD, **{field: bad})


def test_above_chance_means_the_whole_interval():
    assert not GOOD.above_chance
    assert dataclasses.replace(GOOD, low=0.51).above_chance


def test_a_standard_error_is_not_negative():
    with pytest.raises(ValueError, match="standard_error must not be negative, got -0.1"):
        dataclasses.replace(GOOD, standard_error=-0.1)


@given(st.floats(-1, 1), st.floats(0, 0.99))
def test_normalised_is_flan_2022s_on_fractions(value, chance):
    """100 (x - c) / (100 - c) of percentages, 0 at chance, 1 at 1, and rising with the value."""
    score = dataclasses.replace(GOOD, value=value, chance=chance)
    x, c = 100 * value, 100 * chance
    assert 100 * score.normalised == pytest.approx(100 * (x - c) / (100 - c), abs=1e-9)
    assert (normalised_value(chance, chance), normalised_value(1.0, chance)) == (0.0, pytest.approx(1.0))
    assert (score.normalised > 0) == (value > chance)


def test_where_chance_is_everything_the_value_stays():
    assert dataclasses.replace(GOOD, value=1.0, chance=1.0).normalised == 1.0


def test_a_perplexity_and_a_share_have_no_mean():
    assert have_a_mean(["accuracy", "matthews"]) and have_a_mean(["perplexity", "perplexity"])
    assert not have_a_mean(["accuracy", "perplexity"])


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_binomial_error_is_that_of_the_binomial_distribution(pair):
    successes, n = pair
    assert binomial_error(successes / n, n) == pytest.approx(binom(n, successes / n).std() / n, abs=1e-9)
