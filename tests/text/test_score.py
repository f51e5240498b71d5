"""Scores and the two intervals everything else builds on."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ramekin.text.score import Score, bootstrap_interval, wilson_interval


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(pair):
    successes, n = pair
    low, high = wilson_interval(successes, n)
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0.0 <= low <= successes / n <= high <= 1.0 or successes in (0, n)


def test_wilson_of_nothing_is_everything():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_bootstrap_of_a_mean_is_near_the_normal_interval():
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    low, high = bootstrap_interval(lambda idx: float(values[idx].mean()), 400, seed=0, resamples=2000)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert (low, high) == bootstrap_interval(
        lambda idx: float(values[idx].mean()), 400, seed=0, resamples=2000
    )


def test_the_bootstrap_leaves_out_undefined_draws():
    assert bootstrap_interval(lambda idx: float("nan"), 5, resamples=3) == (0.0, 0.0)
    assert bootstrap_interval(lambda idx: 1.0, 0) == (0.0, 0.0)
    draws = iter([float("nan"), 2.0, 2.0])
    assert bootstrap_interval(lambda idx: next(draws), 5, resamples=3) == (2.0, 2.0)


GOOD = Score("accuracy", 0.6, 100, 0.5, 0.7, 0.5)


@pytest.mark.parametrize("field", ["value", "low", "high", "chance"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_is_never_nan(field, bad):
    with pytest.raises(ValueError, match=f"Score.{field} must be finite"):
        dataclasses.replace(GOOD, **{field: bad})


def test_above_chance_means_the_whole_interval():
    assert not GOOD.above_chance
    assert dataclasses.replace(GOOD, low=0.51).above_chance
