"""Answers as plain lines, JSON lines and a table."""

import json

from ramekin.errors import DataError
from ramekin.infer.request import Output
from ramekin.recipes.generating.answering import Answer
from ramekin.recipes.generating.prompts import lines_of
from ramekin.recipes.generating.shown import answer_lines, answer_values, json_line, table_text

ONE, TWO = lines_of(["the | cat", "mat " * 40], "prompt").items
YES = Output("yes", (5, 1), "end", (-0.5, -0.25))
NO = Output("no", (6,), "length", (-1.0,))
LOST = Answer(1, (), DataError("the prompt is too long", where="prompt 2"))


def test_a_single_output_is_its_text_alone():
    assert answer_lines(ONE, Answer(0, (YES,)), several=True) == ["yes"]


def test_several_are_numbered_and_of_several_prompts_by_both():
    both = Answer(1, (YES, NO))
    assert answer_lines(TWO, both, several=False) == ["1  yes", "2  no"]
    assert answer_lines(TWO, both, several=True) == ["2.1  yes", "2.2  no"]


def test_what_failed_says_why_in_its_place():
    (line,) = answer_lines(TWO, LOST, several=True)
    assert line.startswith("(prompt 2: ") and "too long" in line
    assert "too long" in answer_values(TWO, LOST)["error"]
    assert "outputs" not in answer_values(TWO, LOST)


def test_a_json_line_has_everything():
    line = json_line(ONE, Answer(0, (YES, Output("é", (7, 1), "stop"))))
    assert "\n" not in line and "é" in line
    assert json.loads(line) == {
        "prompt": "the | cat",
        "where": "prompt 1",
        "outputs": [
            {"text": "yes", "ending": "end", "num_tokens": 2, "log_prob": -0.75, "token_log_probs": [-0.5, -0.25]},
            {"text": "é", "ending": "stop", "num_tokens": 2},
        ],
    }  # fmt: skip


def test_a_table_has_a_row_an_output():
    shown = table_text([ONE, TWO], {0: Answer(0, (YES, NO)), 1: LOST}, log_probs=True)
    cells = [[cell.strip() for cell in line.split(" | ")] for line in shown.replace("\\|", "/").splitlines()]
    assert [row[0].lstrip("| ") for row in cells[2:]] == ["the / cat", "the / cat", "mat " * 14 + "mat…"]
    assert [row[3] for row in cells[2:4]] == ["-0.75", "-1.00"]
    assert "too long" in cells[4][1]
