import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.sources.columns import Misfit, fit_record, fit_value, read_cell, refuse_missing

KINDS = ("string", "integer", "number", "boolean", "list", "any")


class TestValues:
    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ("", "string"),
            ("NA", "string"),
            ("naïve 漢字 😀", "string"),
            (-1, "integer"),
            (2**63 - 1, "integer"),
            (-(2**63), "integer"),
            (2.5, "number"),
            (3, "number"),
            (True, "boolean"),
            ([], "list"),
            (["a", None, {"b": 1}], "list"),
            (None, "any"),
            ({"text": ["a"], "label": ["A"]}, "any"),
        ],
    )
    def test_fit(self, value, kind):
        assert fit_value(value, kind) == value

    @pytest.mark.parametrize(
        ("value", "kind", "expected", "got"),
        [
            (1, "string", "a string", "integer 1"),
            (True, "integer", "an integer", "boolean True"),
            (1.0, "integer", "an integer", "number 1.0"),
            ("1", "integer", "an integer", "string '1'"),
            (True, "number", "a number", "boolean True"),
            ("3.8", "number", "a number", "string '3.8'"),
            (1, "boolean", "true or false", "integer 1"),
            ("true", "boolean", "true or false", "string 'true'"),
            ("a", "list", "a list", "string 'a'"),
            ({"a": 1}, "list", "a list", "object {'a': 1}"),
            ((1, 2), "list", "a list", "tuple (1, 2)"),
        ],
    )
    def test_wrong_types(self, value, kind, expected, got):
        assert fit_value(value, kind) == Misfit(None, "a value is of the wrong type", expected, got)

    @pytest.mark.parametrize("kind", KINDS[:-1])
    def test_missing(self, kind):
        misfit = fit_value(None, kind)
        assert (misfit.what, misfit.got) == ("a value is missing", "null")

    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1, pytest.param(10**5000, id="long")])
    def test_integers_out_of_64_bits(self, value):
        assert fit_value(value, "integer").what == "an integer is too large"

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_numbers_are_finite(self, value):
        assert fit_value(value, "number").what == "a number is not finite"

    def test_numbers_become_floats_or_are_refused(self):
        assert type(fit_value(3, "number")) is float
        assert fit_value(2**53, "number") == 2**53
        assert fit_value(2**53 + 1, "number").what == "a number cannot be held exactly"
        assert fit_value(10**400, "number").what == "an integer is too large"

    @pytest.mark.parametrize(
        ("value", "kind"), [("a\0b", "string"), (["a\0b"], "list"), ({"k": ["a\0b"]}, "any")]
    )
    def test_nul(self, value, kind):
        misfit = fit_value(value, kind)
        assert (misfit.what, misfit.got) == ("a text holds a NUL character", "NUL as character 2")

    @pytest.mark.parametrize(
        ("value", "kind"), [("é\ud800", "string"), (["é\ud800"], "list"), ({"é\ud800": 1}, "any")]
    )
    def test_lone_surrogate(self, value, kind):
        misfit = fit_value(value, kind)
        assert misfit.what == "a text holds half a surrogate pair"
        assert misfit.got == "'\\ud800' as character 2"


class TestCells:
    @pytest.mark.parametrize("cell", ["NA", "null", "None", "", "nan", "1", "1.0", "true", " x ", "010"])
    def test_strings_are_never_coerced(self, cell):
        assert read_cell(cell, "string") == cell
        assert read_cell(cell, "any") == cell

    @pytest.mark.parametrize(
        ("cell", "value"), [("0", 0), ("-1", -1), ("42", 42), (str(2**63 - 1), 2**63 - 1)]
    )
    def test_integers(self, cell, value):
        assert read_cell(cell, "integer") == value

    @pytest.mark.parametrize("cell", ["1.0", "", "+1", "01", "1e3", "0x1", "1_000", "١", "NA", "True", "-"])
    def test_what_is_no_integer(self, cell):
        misfit = read_cell(cell, "integer")
        assert (misfit.what, misfit.expected) == ("a cell cannot be read as its column's type", "an integer")

    def test_spaces_are_named_as_the_cause(self):
        assert read_cell(" 1", "integer").fix == "remove the spaces around the value"

    @pytest.mark.parametrize("cell", [str(2**63), "9" * 10_000])
    def test_integers_out_of_64_bits(self, cell):
        assert read_cell(cell, "integer").what == "an integer is too large"

    @pytest.mark.parametrize(("cell", "value"), [("3.800", 3.8), ("5", 5.0), ("-1e-3", -0.001), ("0", 0.0)])
    def test_numbers(self, cell, value):
        number = read_cell(cell, "number")
        assert number == value
        assert type(number) is float

    @pytest.mark.parametrize("cell", ["nan", "inf", "Infinity", "", "5.", ".5", "1,5", "1_0.0", "null"])
    def test_what_is_no_number(self, cell):
        assert read_cell(cell, "number").expected == "a number"

    def test_numbers_are_finite(self):
        assert read_cell("1e999", "number").what == "a number is not finite"

    @pytest.mark.parametrize(("cell", "value"), [("true", True), ("False", False), ("TRUE", True)])
    def test_booleans(self, cell, value):
        assert read_cell(cell, "boolean") is value

    @pytest.mark.parametrize("cell", ["1", "0", "yes", "", "no", "t"])
    def test_what_is_no_boolean(self, cell):
        assert read_cell(cell, "boolean").expected == "true or false"

    def test_lists_are_json(self):
        assert read_cell('["a", 1]', "list") == ["a", 1]
        assert read_cell("a;b", "list").expected == "a JSON list"
        assert read_cell('{"a": 1}', "list").expected == "a list"

    @given(st.integers(-(2**63), 2**63 - 1))
    def test_every_integer_is_read_back(self, value):
        assert read_cell(str(value), "integer") == value

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_every_number_is_read_back(self, value):
        assert read_cell(repr(value), "number") == value

    @given(st.text(), st.sampled_from(KINDS))
    def test_any_cell_gives_a_value_of_its_kind_or_a_misfit(self, cell, kind):
        value = read_cell(cell, kind)
        types = {"integer": int, "number": float, "boolean": bool, "list": list}
        assert isinstance(value, (types.get(kind, str), Misfit))


class TestRecords:
    def test_undeclared_columns_are_kept(self):
        assert fit_record({"a": "x", "extra": None}, {"a": "string"}) == {"a": "x", "extra": None}

    def test_the_column_is_named(self):
        assert fit_record({"a": 1}, {"a": "string"}).column == "a"

    def test_a_missing_column_names_the_nearest(self):
        misfit = fit_record({"sentence": "x", "lable": 1}, {"sentence": "string", "label": "integer"})
        assert misfit.what == "the column 'label' is missing"
        assert "did you mean 'lable'?" in misfit.got

    def test_refuse_missing(self):
        refuse_missing(["a"], ["a", "b"], where="f.csv:1", fix="x")
        with pytest.raises(
            DataError, match=r"the column 'c' is missing: f\.csv:1: expected 'c', got no columns"
        ):
            refuse_missing(["c"], [], where="f.csv:1", fix="x")
