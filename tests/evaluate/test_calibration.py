"""Calibration against the formulas written out in numpy, and against a model whose confidences are true."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.evaluate import calibration as module
from ramekin.evaluate.calibration import calibration, has_log_probabilities, option_probabilities
from ramekin.evaluate.evaluation import Prediction

NAMES = ("a", "b", "c", "d")


def ranked(scores, target=0, references=()):
    """An answer whose options were ranked by `scores`, the first of the highest chosen."""
    found = dict(zip(NAMES, scores, strict=False))
    chosen = max(found, key=lambda option: found[option])
    accepted = {NAMES[target], *references}
    return Prediction(
        f"toy#{scores}", "?", NAMES[target], chosen, chosen in accepted, chosen, references, (), found
    )


rows = st.lists(
    st.integers(1, 4).flatmap(
        lambda k: st.tuples(st.lists(st.floats(-60, 0), min_size=k, max_size=k), st.integers(0, k - 1))
    ),
    min_size=1,
    max_size=30,
)


def by_the_book(given_rows, num_bins):
    """Guo et al. 2017, equations 2, 3 and 5, and the two scores, dense and in 64 bits."""
    probs = []
    for scores, _ in given_rows:
        exps = np.exp(np.array(scores) - np.max(scores))
        probs.append(exps / exps.sum())
    chosen = [int(np.argmax(scores)) for scores, _ in given_rows]
    conf = np.array([p[i] for p, i in zip(probs, chosen, strict=True)])
    hit = np.array([float(i == t) for i, (_, t) in zip(chosen, given_rows, strict=True)])
    ece, counts = 0.0, []
    for m in range(num_bins):
        inside = (conf > m / num_bins) & (conf <= (m + 1) / num_bins)
        if inside.any():
            ece += inside.mean() * abs(hit[inside].mean() - conf[inside].mean())
            counts.append(int(inside.sum()))
    brier = [((p - np.eye(len(p))[t]) ** 2).sum() for p, (_, t) in zip(probs, given_rows, strict=True)]
    nll = [
        np.logaddexp.reduce(np.array(scores, dtype=np.float64)) - scores[target]
        for scores, target in given_rows
    ]
    return conf, hit, ece, counts, np.array(brier), np.array(nll)


def test_examples() -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


@settings(max_examples=200)
@given(rows, st.integers(1, 15))
def test_every_number_is_that_of_the_book(given_rows, num_bins) -> None:
    found = calibration([ranked(*row) for row in given_rows], num_bins=num_bins)
    conf, hit, ece, counts, brier, nll = by_the_book(given_rows, num_bins)
    near = {"abs": 1e-9, "rel": 1e-9}
    assert (found.n, found.accuracy) == (len(given_rows), pytest.approx(hit.mean(), **near))
    assert found.confidence == pytest.approx(conf.mean(), **near)
    assert found.brier.value == pytest.approx(brier.mean(), **near)
    assert found.negative_log_likelihood.value == pytest.approx(nll.mean(), **near)
    # Softmax in two ways may differ in the last bit, which moves a confidence on an edge to the next bin.
    if not np.isclose(conf * num_bins, np.round(conf * num_bins), atol=1e-9).any():
        assert found.calibration_error == pytest.approx(ece, **near)
        assert [each.count for each in found.bins] == counts


@given(rows)
def test_bins_hold_every_answer_once_and_the_error_is_at_most_one(given_rows) -> None:
    found = calibration([ranked(*row) for row in given_rows])
    assert sum(each.count for each in found.bins) == found.n
    assert 0 <= found.calibration_error <= 1 and 0 <= found.calibration_noise <= 1
    for each in found.bins:
        assert each.low - 1e-12 <= each.confidence <= each.high + 1e-12
        assert 0 <= each.accuracy_low <= each.accuracy + 1e-12
        assert each.accuracy - 1e-12 <= each.accuracy_high <= 1
    # One bin: its error is the difference of the means, which no finer cut can undercut.
    (whole,) = calibration([ranked(*row) for row in given_rows], num_bins=1).bins
    assert found.calibration_error >= abs(whole.accuracy - whole.confidence) - 1e-9


@given(rows, st.floats(-100, 0))
def test_what_all_options_share_changes_nothing(given_rows, shift) -> None:
    first = calibration([ranked(*row) for row in given_rows])
    moved = [ranked([score + shift for score in scores], target) for scores, target in given_rows]
    second = calibration(moved)
    assert second.brier.value == pytest.approx(first.brier.value, abs=1e-6)
    assert second.negative_log_likelihood.value == pytest.approx(
        first.negative_log_likelihood.value, abs=1e-6
    )


@pytest.mark.parametrize("tenths", range(4, 10))
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(tenths: int) -> None:
    rest = (10 - tenths) / 20
    assert tenths / 10 > rest
    place = module._place(tenths / 10, 10)
    assert (place / 10, (place + 1) / 10) == ((tenths - 1) / 10, tenths / 10)
    assert module._place(math.nextafter(tenths / 10, 1), 10) == tenths


def test_intervals_are_those_of_a_mean_and_of_a_proportion() -> None:
    given_rows = [([-0.1, -2.5], 0), ([-0.7, -0.8], 1), ([-0.2, -3.0], 0), ([-0.3, -1.4], 1)]
    found = calibration([ranked(*row) for row in given_rows], num_bins=1)
    *_, brier, nll = by_the_book(given_rows, 1)
    for estimate, values in ((found.brier, brier), (found.negative_log_likelihood, nll)):
        half = 1.959963984540054 * values.std(ddof=1) / 2
        assert (estimate.low, estimate.high) == pytest.approx((values.mean() - half, values.mean() + half))
    # Wilson's interval of 2 of 4: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n) = 0.5 ± 0.35 by symmetry.
    z2 = 1.959963984540054**2
    half = math.sqrt(z2 * (0.25 / 4 + z2 / 64)) / (1 + z2 / 4)
    (whole,) = found.bins
    assert (whole.accuracy_low, whole.accuracy_high) == pytest.approx((0.5 - half, 0.5 + half))
    alone = calibration([ranked([-0.1, -2.5])])
    assert (alone.brier.low, alone.brier.high) == (None, None)


def test_equal_probabilities_are_the_level_to_beat() -> None:
    found = calibration([ranked([-1.0] * 4), ranked([-1.0] * 2)])
    assert found.brier.value == pytest.approx(found.even_brier) == pytest.approx((0.75 + 0.5) / 2)
    assert found.negative_log_likelihood.value == pytest.approx(found.even_negative_log_likelihood)
    assert found.even_negative_log_likelihood == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_several_right_options_are_one_outcome() -> None:
    scores = [math.log(0.5), math.log(0.3), math.log(0.2)]
    found = calibration([ranked(scores, 1, references=("c",))])
    assert found.accuracy == 0.0
    assert found.brier.value == pytest.approx((1 - 0.5) ** 2 + 0.5**2)
    assert found.negative_log_likelihood.value == pytest.approx(math.log(2))
    assert found.even_negative_log_likelihood == pytest.approx(math.log(1.5))


def test_a_right_option_too_improbable_for_a_number_has_a_finite_cost() -> None:
    found = calibration([ranked([0.0, -2000.0], 1)])
    assert found.negative_log_likelihood.value == pytest.approx(2000.0)
    assert option_probabilities({"a": -2000.0, "b": -2000.0 - math.log(3)})["a"] == pytest.approx(0.75)


def test_true_confidences_have_the_error_that_is_called_noise() -> None:
    """Outcomes drawn by the stated probabilities, a hundred times: the mean error is the predicted one."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1.0, 1.0, 1.0], size=400)
    errors = []
    for _ in range(100):
        targets = [int(rng.choice(3, p=row)) for row in probs]
        answers = [ranked(np.log(row).tolist(), t) for row, t in zip(probs, targets, strict=True)]
        found = calibration(answers)
        errors.append(found.calibration_error)
    # 100 draws leave the mean a standard error of about 4 %; the normal approximation adds little.
    assert found.calibration_noise == pytest.approx(np.mean(errors), rel=0.12)
    sharpened = [ranked((3 * np.log(row)).tolist(), t) for row, t in zip(probs, targets, strict=True)]
    over = calibration(sharpened)
    assert over.calibration_error > 4 * over.calibration_noise and over.confidence > over.accuracy


@pytest.mark.parametrize(
    "answer",
    [
        Prediction("w", "?", "a", "a", True, "a"),
        ranked([0.4, -1.0]),  # pointwise information
        ranked([-math.inf, -1.0]),
        Prediction("t", "?", "z", "a", False, "a", option_scores={"a": -1.0, "b": -2.0}),
        Prediction("p", "?", "a", "z", False, None, option_scores={"a": -1.0, "b": -2.0}),
    ],
)
def test_what_has_no_log_probabilities_is_named(answer) -> None:
    assert not has_log_probabilities([ranked([-1.0]), answer])
    with pytest.raises(DataError, match=f"{answer.id.split('#')[0]}.*fix: use a mode that ranks"):
        calibration([ranked([-1.0]), answer])


def test_nothing_and_no_bins_are_refused() -> None:
    assert not has_log_probabilities([])
    with pytest.raises(DataError, match="nothing to calibrate"):
        calibration([])
    with pytest.raises(DataError, match="num_bins of 1 or more, got 0"):
        calibration([ranked([-1.0])], num_bins=0)
