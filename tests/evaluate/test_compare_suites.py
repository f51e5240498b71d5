"""The difference of two headlines, and p-values of several tests."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.statistics import holm
from ramekin.evaluate.suites import compare_suites, entry_score, suite_average
from ramekin.text.metrics import score_predictions


def part(right, *, task="toy/wet", template="ask", options=("yes", "no")):
    written = ["yes" if hit else "no" for hit in right]
    score = score_predictions("accuracy", written, ["yes"] * len(right), options=options)
    predictions = tuple(
        Prediction(f"{task}#{template}/v/{row}", "?", "yes", text, text == "yes", text)
        for row, text in enumerate(written)
    )
    return TaskEvaluation(
        task, template, "v", MODES["rank"], "toy", options, (score,), {"accuracy": 1.0}, predictions, 0.1
    )


def entries(wet, dry, other):
    two = [part(wet), part(dry, template="other")]
    three = part(other, task="toy/three", options=("yes", "no", "so"))
    return {"two": entry_score(two), "three": entry_score([three])}


RNG = np.random.default_rng(0)
FIRST, SECOND = (entries(*(RNG.random((3, 60)) < rate).tolist()) for rate in (0.4, 0.6))
SHARES = {"two": 0.25, "three": 0.75}


@pytest.mark.parametrize("normalised", [False, True])
def test_the_difference_is_that_of_the_headlines(normalised):
    found = compare_suites(FIRST, SECOND, SHARES, normalised=normalised)
    before, after = (suite_average(each, SHARES, normalised=normalised) for each in (FIRST, SECOND))
    assert found.difference == pytest.approx(after.value - before.value)
    assert found.low < found.difference < found.high
    assert (found.n, found.test) == (120, "paired_bootstrap")


def test_the_interval_is_that_of_paired_rows_drawn_once_for_both_templates():
    """The variance of a mean of paired gains, a row's gain being the mean of its templates'."""
    found = compare_suites(FIRST, SECOND, SHARES)
    variance = 0.0
    for name, share in SHARES.items():
        pairs = zip(FIRST[name].parts, SECOND[name].parts, strict=True)
        gains = [
            [b.correct - a.correct for a, b in zip(one.predictions, other.predictions, strict=True)]
            for one, other in pairs
        ]
        variance += share**2 * np.mean(gains, axis=0).var() / 60
    assert found.high - found.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.06)


def test_passages_are_drawn_whole():
    def in_passages(each):
        rows = [dataclasses.replace(p, passage=str(row // 6)) for row, p in enumerate(each.predictions)]
        return dataclasses.replace(each, predictions=tuple(rows))

    one, other = (
        {name: entry_score([in_passages(p) for p in each.parts]) for name, each in side.items()}
        for side in (FIRST, SECOND)
    )
    assert compare_suites(one, other, SHARES).test == "paired_cluster_bootstrap"


def test_other_entries_templates_or_rows_are_refused():
    with pytest.raises(DataError, match="entries and shares do not fit: expected two, three, got two"):
        compare_suites(FIRST, {"two": SECOND["two"]}, SHARES)
    turned = entry_score(SECOND["two"].parts[::-1])
    with pytest.raises(DataError, match="not asked under the same templates: two"):
        compare_suites(FIRST, {**SECOND, "two": turned}, SHARES)
    fewer = entry_score([part([1, 0], task="toy/three")])
    with pytest.raises(DataError, match="did not answer the same examples"):
        compare_suites(FIRST, {**SECOND, "three": fewer}, SHARES)


@given(st.lists(st.floats(0, 1), max_size=7))
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    """A hypothesis is rejected where every set of hypotheses with it in it is: by the least p of the set."""
    places = range(len(p_values))
    sets = [each for size in places for each in itertools.combinations(places, size + 1)]
    expected = [
        max(min(1.0, len(each) * min(p_values[i] for i in each)) for each in sets if place in each)
        for place in places
    ]
    assert holm(p_values) == tuple(expected)
