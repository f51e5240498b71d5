"""What counts as an answer: golden cases of the FusionBench number rule, and where ours departs from it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.text.answers import parse_number, parse_numbers, parse_option


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.2", 2.2),
        ("4", 4.0),
        ("-0.5", -0.5),
        (" 3.0\n", 3.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1_0", 10.0),
        ("٣", 3.0),  # float reads any script's digits
    ],
)
def test_whatever_float_reads_as_a_finite_number_is_one(text, value):
    assert parse_number(text) == value == float(text)


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "Infinity", "1e999"])
def test_what_float_reads_and_we_do_not(text):
    """FusionBench takes these for numbers, and one of them can make its score NaN."""
    assert not math.isfinite(float(text))
    assert parse_number(text) is None


@pytest.mark.parametrize(
    "text", ["", " ", "2.2.", "2,2", "four", "4 out of 5", "0x10", "1__0", "−1", "4.0</s>"]
)
def test_what_is_no_number(text):
    assert parse_number(text) is None


@given(st.text(max_size=12))
def test_a_number_is_finite_or_none(text):
    value = parse_number(text)
    assert value is None or math.isfinite(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_survives_writing_and_reading(value):
    assert parse_number(repr(value)) == value


def test_unparsable_answers_are_zero_and_counted():
    parsed = parse_numbers(["2.2", "yes", "nan", "0"])
    assert (parsed.values, parsed.unparsable) == ((2.2, 0.0, 0.0, 0.0), 2)
    assert parse_numbers(["x"], stand_in=2.5).values == (2.5,)


def test_an_option_is_met_character_for_character():
    options = ("yes", "no")
    assert parse_option("yes", options) == "yes"
    assert [parse_option(text, options) for text in ("Yes", "yes ", "yes.", "")] == [None] * 4
    assert parse_option("anything", ()) == "anything"
