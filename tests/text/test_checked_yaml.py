"""A document's keys against their kinds: what is right comes through, what is wrong is told with its line."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from ramekin.errors import DataError, UsageError
from ramekin.text.checked_yaml import YamlChecker
from ramekin.text.strict_yaml import parse_document

TEXT = """
name: a
number: 2
share: 1
flag: true
list: [x, y]
which: big
none: null
"""
KINDS = {
    "name": str,
    "number": int,
    "share": float,
    "flag": bool,
    "list": list[str],
    "which": Literal["big", "small"],
    "none": int | None,
}


def checker(text: str) -> tuple[YamlChecker, Any]:
    document = parse_document(text, where="f.yaml")
    return YamlChecker(document), document.value


def test_sound_values_come_through() -> None:
    check, data = checker(TEXT)
    assert check.sound(data, KINDS, ()) == data and check.problems == []
    check.refuse("the file is not well formed", where="f.yaml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nmae: a", (1, "unknown key 'nmae': did you mean 'name'?")),
        ("\nname: 3", (2, "'name' must be a text, not 3")),
        ("number: true", (1, "'number' must be a whole number, not True")),
        ("share: true", (1, "'share' must be a number, not True")),
        ("list: [x, 3]", (1, "'list' must be a list of texts, not ['x', 3]")),
        ("list: x", (1, "'list' must be a list of texts, not 'x'")),
        ("which: bgi", (1, "unknown which 'bgi': did you mean 'big'?")),
        ("none: x", (1, "'none' must be a whole number or nothing, not 'x'")),
        ("flag: 1", (1, "'flag' must be true or false, not 1")),
    ],
)
def test_what_is_wrong_is_a_problem_and_is_left_out(text: str, problem: tuple[int, str]) -> None:
    check, data = checker(text)
    assert check.sound(data, KINDS, ()) == {} and check.problems == [problem]


@dataclass(frozen=True)
class Numbers:
    low: int
    high: int = 9
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise UsageError("low must not be above high", got=str(self.low))


def test_a_value_is_made_of_a_mapping() -> None:
    check, data = checker("a: {low: 3, names: [x]}\nb: {low: 10}\nc: {lwo: 3}\nd: [1]")
    assert check.made(Numbers, data["a"], ("a",)) == Numbers(3, names=("x",))
    assert [check.made(Numbers, data[key], (key,)) for key in "bcd"] == [None, None, None]
    assert check.problems == [
        (2, "low must not be above high: got 10"),
        (3, "unknown key 'lwo': did you mean 'low'?"),
        (4, "expected a mapping, got [1]"),
    ]


def test_words_are_one_mapping_or_several() -> None:
    check, _ = checker("{}")
    assert check.words({"yes": "agree"}, 1) == ((("yes", "agree"),),)
    assert check.words([{}, {"yes": "agree", "no": "not"}], 1) == ((), (("yes", "agree"), ("no", "not")))
    assert check.words([{"yes": 1}], 4) is None and check.words("yes", 5) is None
    assert [line for line, _ in check.problems] == [4, 5]


def test_one_problem_is_told_with_its_line_and_several_together() -> None:
    check, _ = checker("{}")
    check.add(3, "bad")
    with pytest.raises(DataError, match=r"^it is wrong: f\.yaml:3: got bad; fix: edit the file$"):
        check.refuse("it is wrong", where="f.yaml")
    check.add(None, "worse")
    with pytest.raises(DataError, match=r"^it is wrong: f\.yaml: got line 3: bad; worse; fix"):
        check.refuse("it is wrong", where="f.yaml")
