import inspect

import pytest

from ramekin import errors
from ramekin.errors import (
    DataError,
    LockedError,
    RamekinError,
    ResourceError,
    StoppedError,
    UsageError,
    WeightsError,
)

CODES = {UsageError: 2, DataError: 3, WeightsError: 4, ResourceError: 5, StoppedError: 6, LockedError: 7}


@pytest.mark.parametrize(
    ("kind", "code"), CODES.items(), ids=lambda value: getattr(value, "__name__", str(value))
)
def test_each_kind_has_its_exit_code_and_stands_in_the_tree(kind, code):
    assert kind.exit_code == code
    assert issubclass(kind, RamekinError)
    assert f"{kind.__name__:<17} {code}" in errors.__doc__


def test_no_kind_is_left_out():
    kinds = {
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RamekinError)
    }
    assert kinds == {RamekinError, *CODES}
    told = {errors.MISSING_DATA: "MISSING_DATA", errors.NO_ROWS: "NO_ROWS"}
    assert sorted(errors.__all__) == sorted([*told.values(), *(kind.__name__ for kind in kinds)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no"),
        ({"where": "f:1"}, "no: f:1"),
        ({"expected": "x"}, "no: expected x"),
        ({"got": "y"}, "no: got y"),
        ({"expected": "", "got": ""}, "no: expected , got "),
        ({"fix": "do"}, "no; fix: do"),
        (
            {"where": "f:1", "expected": "x", "got": "y", "fix": "do"},
            "no: f:1: expected x, got y; fix: do",
        ),
    ],
)
def test_the_message_holds_what_is_known(settings, message):
    error = DataError("no", **settings)
    assert str(error) == message
    assert error.args == (message,)
    fields = {name: getattr(error, name) for name in ("where", "expected", "got", "fix")}
    assert fields == {"where": None, "expected": None, "got": None, "fix": None} | settings


def test_one_problem_is_its_own_message():
    assert str(UsageError.of_problems(["unknown key 'x'"])) == "unknown key 'x'"


def test_several_problems_are_listed():
    error = UsageError.of_problems(["one", "two"])
    assert isinstance(error, UsageError)
    assert str(error) == "2 problems in the command or configuration\n  - one\n  - two"


def test_an_error_survives_a_trip_to_another_process():
    """Multiprocessing pickles exceptions; ours keep their message."""
    import pickle

    error = pickle.loads(pickle.dumps(DataError("no", where="f:1", fix="do")))
    assert str(error) == "no: f:1; fix: do"
