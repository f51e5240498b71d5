"""The forms in which options stand in a prompt, FLAN's byte for byte."""

import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from ramekin.errors import DataError
from ramekin.text.options import OPTION_FORMS, OptionForm, drawn_form, option_form, ordered

THREE = ("it's true", "no", "(maybe)")
OPTIONS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40)


def test_flan_2021s_two_forms() -> None:
    """flan/templates.py: `"OPTIONS:\\n- " + "\\n- ".join(options)`, and letters in brackets."""
    assert OPTION_FORMS["dashes"].text(THREE) == "OPTIONS:\n- it's true\n- no\n- (maybe)"
    assert OPTION_FORMS["dashes"].text(THREE) == "OPTIONS:\n- " + "\n- ".join(THREE)
    assert OPTION_FORMS["letters"].text(THREE) == "OPTIONS:\n(A) it's true\n(B) no\n(C) (maybe)"
    assert OPTION_FORMS["items"].text(THREE) == OPTION_FORMS["letters"].text(THREE)
    assert [form.item_is_target for form in OPTION_FORMS.values()] == [False, False, True, True]


def test_mmlus_published_row() -> None:
    assert OPTION_FORMS["row"].text(THREE) == "(A) it's true (B) no (C) (maybe)"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (OptionForm("Choices:", "{a}.", "; "), "Choices: a. x; b. y; c. z"),
        (OptionForm("Pick one:", "[{1}]", ", "), "Pick one: [1] x, [2] y, [3] z"),
        (OptionForm("", "({i})", "\n"), "(i) x\n(ii) y\n(iii) z"),
        (OptionForm("", "", ", "), "x, y, z"),
        (OptionForm("Options:", ">", "\n"), "Options:\n> x\n> y\n> z"),
    ],
)
def test_other_forms(form: OptionForm, text: str) -> None:
    assert form.text(("x", "y", "z")) == text


def test_as_many_names_as_letters() -> None:
    assert OptionForm(item="({A})").items(26) == tuple(f"({letter})" for letter in string.ascii_uppercase)
    assert OptionForm(item="{i}.").items(26)[-1] == "xxvi."
    with pytest.raises(DataError, match="more options than letters: expected at most 26, got 27"):
        OptionForm(item="({A})").items(27)
    assert OptionForm().items(27) == ("-",) * 27


class TestForm:
    def test_none_where_nothing_is_to_be_shown(self) -> None:
        assert option_form("none", 3) is None and option_form("dashes", 0) is None

    @pytest.mark.parametrize("shown", ["letters", "items"])
    def test_more_options_than_letters_have_dashes(self, shown: str) -> None:
        assert option_form(shown, 26) == OPTION_FORMS[shown]
        assert option_form(shown, 27) == OPTION_FORMS["dashes"]

    def test_a_drawn_form_stays_a_bullet_and_loses_its_names(self) -> None:
        for row in range(200):
            small, large = option_form("drawn", 26, row), option_form("drawn", 27, row)
            assert large == (OPTION_FORMS["dashes"] if small.is_named else small)

    def test_half_of_the_drawn_forms_have_names(self) -> None:
        forms = [drawn_form(0, "task", row) for row in range(10_000)]
        named = sum(form.is_named for form in forms)
        assert chisquare([named, len(forms) - named]).pvalue > 0.001
        assert all(form.item_is_target == form.is_named for form in forms)
        for part, count in (("start", 16), ("separator", 3)):
            drawn = Counter(getattr(form, part) for form in forms)
            assert len(drawn) == count and chisquare(list(drawn.values())).pvalue > 0.001
        items = Counter(form.item for form in forms)
        assert len(items) == 44 + 9, "four kinds of names in eleven wraps, and nine bullets"

    def test_a_form_is_drawn_by_its_key(self) -> None:
        assert drawn_form("a", 1) == drawn_form("a", 1) != drawn_form("a", 2)


@given(OPTIONS, st.integers())
def test_names_are_different_and_each_option_stands_behind_its_own(options: list[str], key: int) -> None:
    form = option_form("drawn", len(options), key)
    text = form.text(options)
    if form.is_named:
        names = form.items(len(options))
        assert len(set(names)) == len(options) and all(name == name.strip() for name in names)
        assert all(f"{name} {option}" in text for name, option in zip(names, options, strict=True))
    else:
        assert all(option in text for option in options)
    assert text.startswith(form.start)


@given(OPTIONS, st.integers())
def test_an_order_is_a_permutation(options: list[str], key: int) -> None:
    everything = list(range(len(options)))
    assert ordered(options, "given", key) == everything
    assert sorted(ordered(options, "drawn", key)) == everything
    places = ordered(options, "sorted", key)
    assert [options[place] for place in places] == sorted(options) and sorted(places) == everything
