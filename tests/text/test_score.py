"""Scores and the interval of a proportion."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ramekin.text.score import Score, wilson_interval


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(pair):
    successes, n = pair
    low, high = wilson_interval(successes, n)
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0.0 <= low <= successes / n <= high <= 1.0 or successes in (0, n)


def test_wilson_of_nothing_is_everything():
    assert wilson_interval(0, 0) == (0.0, 1.0)


GOOD = Score("accuracy", 0.6, 100, 0.5, 0.7, 0.5)


@pytest.mark.parametrize("field", ["value", "low", "high", "chance"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_is_never_nan(field, bad):
    with pytest.raises(ValueError, match=f"Score.{field} must be finite"):
        dataclasses.replace(GOOD, **{field: bad})


def test_above_chance_means_the_whole_interval():
    assert not GOOD.above_chance
    assert dataclasses.replace(GOOD, low=0.51).above_chance
