import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.report import wording
from ramekin.report.values import Cell, Counter, RunFacts


@given(st.text())
def test_clean_text_is_one_line_without_controls_and_can_be_written(text):
    cleaned = wording.clean(text)
    cleaned.encode("utf-8")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cleaned)
    assert wording.clean(cleaned) == cleaned


@pytest.mark.parametrize("name", ["Flan-T5 (λ=0.3)", "glue/cola", "模型", "naïve", "a–b", "𝛌", "👩‍🍳"])
def test_ordinary_names_stay_as_they_are(name):
    assert wording.clean(name) == name


def test_a_lone_surrogate_from_a_file_name_is_replaced():
    assert wording.clean("caf\udce9") == "caf\ufffd"


@given(st.floats(-1, 1))
def test_percent_has_one_decimal_and_a_true_minus(value):
    text = wording.percent(value)
    assert re.fullmatch(r"−?\d{1,3}\.\d", text)
    assert float(text.replace("−", "-")) == pytest.approx(100 * value, abs=0.0501)
    assert text != "−0.0"


def test_the_larger_side_of_a_lopsided_interval_is_shown():
    assert wording.plus_minus(Cell(1.0, 0.963, 1.0)) == "±3.7"
    assert wording.plus_minus(Cell(0.5)) == ""


def test_intervals():
    assert wording.interval_text(Cell(0.5)) == ""
    assert wording.interval_text(Cell(0.834, 0.801, 0.862)) == "80.1–86.2"
    assert wording.interval_text(Cell(-0.5, -0.6, -0.4)) == "−60.0 to −40.0"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Cell(0.6, 0.51, 0.7, chance=0.5), "above"),
        (Cell(0.6, 0.5, 0.7, chance=0.5), "near"),
        (Cell(0.45, 0.4, 0.5, chance=0.5), "near"),
        (Cell(0.45, 0.4, 0.49, chance=0.5), "below"),
        (Cell(0.6, chance=0.5), "unknown"),
        (Cell(0.6, 0.51, 0.7), "unknown"),
    ],
)
def test_standing(cell, expected):
    assert wording.standing(cell) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7325, "2 h 02 min"),
    ],
)
def test_durations_never_say_sixty(seconds, text):
    assert wording.duration(seconds) == text


def test_factors_share_their_decimals():
    assert wording.factor_labels([0.1 * i for i in range(11)])[3] == "0.3"
    assert wording.factor_labels([0.125, 1.0]) == ("0.125", "1.000")
    assert wording.factor_labels([1 / 3]) == ("0.3333",)
    assert wording.factor_labels([-0.5]) == ("−0.5",)
    assert wording.factor_labels([]) == ()


@given(st.text())
def test_a_slug_is_a_safe_file_name(title):
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", wording.slug(title))


def test_small_things():
    assert wording.count_text(247577856) == "247,577,856"
    assert wording.superscript([1, 12]) == "¹⸴¹²"
    assert wording.short_hash("0123456789abcdef") == "0123456789ab"
    assert wording.short_hash(None) == ""
    assert wording.metric_text("spearman_rho") == "spearman ρ"


def test_alerts_are_the_warnings_and_the_counters_that_are_not_zero():
    facts = RunFacts(
        warnings=("slow disk",), counters=(Counter("cut", 0, 9), Counter("skipped", 2, 9), Counter("odd", 1))
    )
    assert wording.alerts(facts) == ["slow disk", "skipped: 2 of 9", "odd: 1"]
