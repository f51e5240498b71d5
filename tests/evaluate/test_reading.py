"""What each way of reading finds in a text, and what is turned around."""

import dataclasses

import pytest

from ramekin.evaluate.mode import MODES
from ramekin.evaluate.reading import is_turned, read_answer

GENERATE = MODES["generate"]


@pytest.mark.parametrize(
    ("rules", "text", "given", "answer"),
    [
        ({}, " Yes ", {"options": ("yes", "no")}, " Yes "),
        ({}, "", {}, ""),
        ({"extraction": "answer"}, "3 + 4 = 7. The answer is 7.", {"is_number": True}, "7"),
        ({"extraction": "answer"}, "No. The answer is (B).", {"options": ("(A)", "(B)")}, "(B)"),
        ({"extraction": "answer"}, "It is a cat. The answer is a cat.", {}, "a cat"),
        ({"extraction": "answer"}, "perhaps", {"options": ("yes", "no")}, None),
        ({"extraction": "first_word"}, "Yes, it does.", {"options": ("yes", "no")}, "yes"),
        ({"extraction": "first_word"}, "Rome is", {}, "Rome"),
        ({"extraction": "first_word"}, " ... ", {}, None),
        ({"extraction": "number"}, "from 3 to 1,200 eggs", {}, "1200"),
        ({"extraction": "number"}, "none", {}, None),
        ({"extraction": "pattern", "pattern": r"= (\d+)"}, "3 + 4 = 7", {}, "7"),
        ({"extraction": "pattern", "pattern": r"\d+"}, "3 + 4 = 7", {}, "3"),
        ({"extraction": "pattern", "pattern": r"(a)|(b)"}, "b", {}, None),
        ({"extraction": "pattern", "pattern": r"= (\d+)"}, "seven", {}, None),
    ],
)
def test_each_way_of_reading(rules, text, given, answer):
    assert read_answer(text, GENERATE.changed(**rules), **given) == answer


def test_every_way_of_reading_is_known():
    mode = dataclasses.replace(GENERATE)
    object.__setattr__(mode, "extraction", "guess")
    with pytest.raises(AssertionError):
        read_answer("yes", mode)


def test_only_a_template_that_asks_for_something_else_is_turned(choice_set, eval_set, toy_task):
    row = (["cat", "dog"], 0, [])
    assert is_turned(choice_set([row], template="ask_back"))
    assert not is_turned(choice_set([row]))
    published = dataclasses.replace(eval_set(toy_task(), [1]), template="published")
    assert not is_turned(published), "which is none of the task's templates"
