"""Reading a record as its task does: only what is needed is made, and what cannot be is named."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.catalog import Catalog
from ramekin.errors import DataError
from ramekin.text.reading import belongs, read_record
from ramekin.text.strict_yaml import parse_document
from ramekin.text.task import Task
from ramekin.text.task_yaml import parse_task

WEATHER = """
source: {hub: org/weather, splits: {train: train}}
columns: {text: string, words: any, label: integer}
fields:
  loud: text | upper
  marked: "{{ loud }}!"
  first: words[0]
  twice: first ~ first
kind: classification
options: ["dry", "wet"]
answer: label
metrics: [accuracy]
templates:
  ask: "{{ text }} ||| {{ answer }}"
"""
ROW = {"text": "rain", "words": ["a", "b"], "label": 1}


def weather(*changes: tuple[str, str]) -> Task:
    text = WEATHER
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_task("toy/weather", parse_document(text, where="w.yaml"), where="w.yaml")


class TestReadRecord:
    def test_all_of_it(self) -> None:
        read = read_record(weather(), ROW, where="r")
        made = {"loud": "RAIN", "marked": "RAIN!", "first": "a", "twice": "aa"}
        assert read.values == {**ROW, **made}
        assert (read.options, read.place, read.answer) == (("dry", "wet"), 1, "wet")

    @pytest.mark.parametrize(
        ("names", "made"),
        [
            ((), ()),
            (("text", "answer"), ()),
            (("loud",), ("loud",)),
            (("marked",), ("loud", "marked")),
            (("twice",), ("first", "twice")),
        ],
    )
    def test_only_what_is_wanted_is_made_and_what_that_is_made_from(self, names, made) -> None:
        read = read_record(weather(), ROW, where="r", names=frozenset(names))
        assert read.values.keys() - ROW.keys() == set(made)

    def test_a_field_that_nobody_wants_may_fail(self) -> None:
        row = {**ROW, "words": []}
        assert read_record(weather(), row, where="r", names=frozenset(("loud",))).answer == "wet"
        with pytest.raises(DataError, match=r"the task's 'first' cannot be made.*r \(w.yaml:7"):
            read_record(weather(), row, where="r", names=frozenset(("twice",)))

    def test_the_record_is_left_as_it_is(self) -> None:
        row = {**ROW}
        read_record(weather(), row, where="r")
        assert row == ROW

    def test_the_answer_may_be_made_of_a_field(self) -> None:
        task = weather(
            ("  loud: text | upper", "  loud: text | upper\n  other: 1 - label"),
            ("answer: label", "answer: other"),
        )
        assert read_record(task, ROW, where="r", names=frozenset()).answer == "dry"

    def test_a_field_that_cannot_be_made_is_named_with_its_line(self) -> None:
        with pytest.raises(DataError) as caught:
            read_record(weather(("words[0]", "wrds[0]")), ROW, where="r")
        assert "the task's 'first' cannot be made from the record" in str(caught.value)
        assert "w.yaml:7" in str(caught.value) and "'wrds' is undefined" in str(caught.value)

    def test_a_missing_column_has_the_nearest_name(self) -> None:
        with pytest.raises(DataError, match="the field 'labl' is missing.*w.yaml:11.*did you mean 'label'"):
            read_record(weather(("answer: label", "answer: labl")), ROW, where="r")

    @given(st.sets(st.sampled_from(["loud", "marked", "first", "twice", "text", "answer"])))
    def test_what_is_made_does_not_depend_on_what_else_is(self, names: set[str]) -> None:
        whole = read_record(weather(), ROW, where="r").values
        some = read_record(weather(), ROW, where="r", names=frozenset(names)).values
        assert some == {name: whole[name] for name in some} and names - {"answer"} <= some.keys()

    def test_every_built_in_tasks_templates_get_what_the_whole_reading_has(self) -> None:
        for task in Catalog().values():
            whole = read_record(task, task.sample, where=task.name)
            for template in task.templates.values():
                some = read_record(task, task.sample, where=task.name, names=template.needs)
                assert some.values == {name: whole.values[name] for name in some.values}, task.name
                assert some[1:] == whole[1:]


class TestPassage:
    def passage(self, expression: str, **changes: object) -> str:
        task = weather(("answer: label", f"answer: label\npassage: {expression}"))
        return read_record(task, {**ROW, **changes}, where="r", names=frozenset()).passage

    def test_it_is_a_short_hash_of_the_text(self) -> None:
        assert self.passage("text") == hashlib.sha256(b"rain").hexdigest()[:12]
        assert self.passage("text") == self.passage("text", label=0) != self.passage("text", text="sun")

    def test_it_may_be_made_of_a_field_a_list_or_a_number(self) -> None:
        assert self.passage("loud") == hashlib.sha256(b"RAIN").hexdigest()[:12]
        assert self.passage("words") == self.passage("words") != self.passage("words", words=["a", "c"])
        assert self.passage("words", words=["ab"]) != self.passage("words", words=["a", "b"])
        assert self.passage("label") != self.passage("label", label=0)

    @pytest.mark.parametrize("empty", ["", None])
    def test_what_is_empty_is_shared_with_nobody(self, empty: str | None) -> None:
        assert self.passage("first", words=[empty]) == ""

    def test_a_question_is_one_of_its_passage(self) -> None:
        task = weather(("answer: label", "answer: label\npassage: text\nquestion: first"))
        rows = (ROW, {**ROW, "label": 0}, {**ROW, "words": ["c"]}, {**ROW, "text": "sun"})
        first, same, other, moved = (read_record(task, row, where="r") for row in rows)
        assert first.question == same.question and len(first.question) == 12
        assert len({first.question, other.question, moved.question, first.passage}) == 4
        assert first.passage == other.passage != moved.passage
        bare = weather(("answer: label", "answer: label\nquestion: first"))
        assert read_record(bare, ROW, where="r").passage == "" != read_record(bare, ROW, where="r").question
        assert read_record(bare, {**ROW, "words": [""]}, where="r").question == ""

    def test_a_task_that_says_nothing_has_none(self) -> None:
        read = read_record(weather(), ROW, where="r")
        assert read.passage == "" and "ramekin_passage" not in read.values

    def test_what_cannot_be_made_is_named(self) -> None:
        with pytest.raises(DataError, match=r"the task's 'passage' cannot be made.*r \(w.yaml:12"):
            self.passage("txt")


class TestBelongs:
    def test_a_task_without_keep_has_every_row(self) -> None:
        assert belongs(weather(), {}, where="r")

    def test_keep_is_over_fields_and_columns(self) -> None:
        task = weather(("answer: label", "answer: label\nkeep: loud == 'RAIN' and label != -1"))
        rows = (ROW, {**ROW, "text": "sun"}, {**ROW, "label": -1})
        assert [belongs(task, row, where="r") for row in rows] == [True, False, False]

    def test_only_the_fields_that_it_uses_are_made(self) -> None:
        task = weather(("answer: label", "answer: label\nkeep: loud != ''"))
        assert belongs(task, {**ROW, "words": []}, where="r")

    def test_a_row_that_does_not_say_is_named(self) -> None:
        task = weather(("answer: label", "answer: label\nkeep: first != ''"))
        with pytest.raises(DataError, match="'first' cannot be made from the record.*toy/weather/train/3"):
            belongs(task, {**ROW, "words": []}, where="toy/weather/train/3")
