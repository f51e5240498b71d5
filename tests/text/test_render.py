"""From a record to an example: options in every form and order, other words, and spans that lose nothing."""

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.catalog import Catalog
from ramekin.errors import DataError
from ramekin.text.render import PLAIN, Style, render, render_or_skip, render_spans
from ramekin.text.strict_yaml import parse_document
from ramekin.text.task import Task
from ramekin.text.task_yaml import parse_task

QUIZ = """
source: {hub: org/quiz, splits: {train: train}}
columns: {question: string, choices: any, key: any}
kind: multiple_choice
options: choices
answer: key
references: choices[key:]
keep: question != ''
metrics: [accuracy]
templates:
  listed: "{{ question }}\\n\\n{{ options_ }} ||| {{ answer }}"
  above: "{{ options_ }}\\nWhich? {{ question }} ||| {{ answer }}"
  inline: "{{ question }} {{ options_ }}\\nAnswer: ||| {{ answer }}"
  named: "{{ question }} Say {{ options | join(' or ') }}. ||| {{ answer }}"
turned_around:
  ask: "Ask for {{ answer }} among {{ options | join(', ') }}. ||| {{ question }}"
"""
ROW = {"question": "What falls?", "choices": ["sun", "rain", "fog"], "key": 1}
LABELS = """
source: {hub: org/nli, splits: {train: train}}
columns: {text: string, label: integer}
kind: classification
options: [entailment, not entailment]
answer: label
metrics: [accuracy]
templates:
  ask: |-
    Entailment or not entailment, and not the Entailment of old: {{ text }}
    {{ options_ }} ||| So {{ answer }}
turned_around:
  write: "Write a case of {{ answer }}: no entailment lost. ||| {{ text }}"
"""


def quiz(text: str = QUIZ) -> Task:
    return parse_task("toy/quiz", parse_document(text, where="quiz.yaml"), where="quiz.yaml")


def shown(template: str = "listed", *, row: int = 0, record: dict | None = None, **style: object):
    return render(
        quiz(), {**ROW, **(record or {})}, template=template, split="train", row=row, style=Style(**style)
    )


class TestOptions:
    @pytest.mark.parametrize(
        ("template", "form", "inputs", "targets"),
        [
            ("listed", "dashes", "What falls?\n\nOPTIONS:\n- sun\n- rain\n- fog", "rain"),
            ("listed", "letters", "What falls?\n\nOPTIONS:\n(A) sun\n(B) rain\n(C) fog", "rain"),
            ("listed", "items", "What falls?\n\nOPTIONS:\n(A) sun\n(B) rain\n(C) fog", "(B)"),
            ("listed", "none", "What falls?", "rain"),
            ("inline", "none", "What falls? \nAnswer:", "rain"),
            ("above", "none", "Which? What falls?", "rain"),
            ("above", "dashes", "OPTIONS:\n- sun\n- rain\n- fog\nWhich? What falls?", "rain"),
            ("named", "items", "What falls? Say sun or rain or fog.", "rain"),
            ("ask", "items", "Ask for rain among sun, rain, fog.", "What falls?"),
        ],
    )
    def test_flans_forms(self, template: str, form: str, inputs: str, targets: str) -> None:
        found = shown(template, options=form)
        assert (found.inputs, found.targets) == (inputs, targets)

    def test_what_may_be_answered(self) -> None:
        assert shown().options == ("sun", "rain", "fog")
        assert shown(options="items").options == ("(A)", "(B)", "(C)")
        assert shown("ask").options == ()

    def test_references_are_the_options_words_and_stand_for_no_items_name(self) -> None:
        assert shown().references == ("rain", "fog")
        assert shown(options="items").references == shown("ask").references == ()

    def test_orders(self) -> None:
        assert shown(option_order="sorted").options == ("fog", "rain", "sun")
        assert shown(option_order="sorted", options="items").targets == "(B)"
        drawn = Counter(shown(row=row, option_order="drawn").options for row in range(600))
        assert len(drawn) == 6 and min(drawn.values()) > 60

    def test_an_order_is_of_the_row_and_not_of_the_template(self) -> None:
        for row in range(20):
            assert (
                shown("listed", row=row, option_order="drawn").options
                == shown("named", row=row, option_order="drawn").options
            )

    @pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}])
    def test_seed_and_epoch_draw_anew(self, other: dict) -> None:
        rows = range(40)
        first = [shown(row=row, options="drawn", option_order="drawn").inputs for row in rows]
        again = [shown(row=row, options="drawn", option_order="drawn").inputs for row in rows]
        new = [shown(row=row, options="drawn", option_order="drawn", **other).inputs for row in rows]
        assert first == again and sum(a != b for a, b in zip(first, new, strict=True)) > 30

    def test_of_two_equal_options_the_records_own_place_is_named(self) -> None:
        record = {"choices": ["fog", "rain", "fog"], "key": 2}
        assert shown(options="items", record=record).targets == "(C)"
        names = {
            shown(row=row, options="items", option_order="drawn", record=record).targets for row in range(50)
        }
        assert names == {"(A)", "(B)", "(C)"}

    def test_more_options_than_letters_are_listed_with_dashes(self) -> None:
        choices = [f"n{place}" for place in range(27)]
        found = shown(options="items", record={"choices": choices, "key": 26})
        assert found.targets == "n26" and found.inputs.endswith("\n- n26")
        assert shown(options="items", record={"choices": choices[:26], "key": 25}).targets == "(Z)"

    def test_the_options_of_the_record_stay_as_they_were(self) -> None:
        record = {**ROW, "choices": ["b", "a"], "key": 0}
        render(quiz(), record, split="train", row=0, style=Style(option_order="sorted"))
        assert record["choices"] == ["b", "a"]


class TestWords:
    WORDS: ClassVar = {"entailment": "implied", "not entailment": "open"}

    def nli(self, template: str, **style: object):
        record = {"text": "an entailment", "label": 0}
        return render(quiz(LABELS), record, template=template, split="train", row=0, style=Style(**style))

    def test_in_prompt_options_and_target_alike_but_not_in_the_record(self) -> None:
        found = self.nli("ask", words=self.WORDS)
        assert found.inputs == (
            "Implied or open, and not the Implied of old: an entailment\nOPTIONS:\n- implied\n- open"
        )
        assert (found.targets, found.options) == ("So implied", ("implied", "open"))

    def test_with_items_the_name_is_still_the_target(self) -> None:
        found = self.nli("ask", words=self.WORDS, options="items")
        assert found.targets == "So (A)" and "(A) implied\n(B) open" in found.inputs

    def test_two_options_can_change_places(self) -> None:
        words = {"entailment": "not entailment", "not entailment": "entailment"}
        assert self.nli("ask", words=words).options == ("not entailment", "entailment")
        assert self.nli("ask", words=words).inputs.startswith("Not entailment or entailment, and")

    def test_a_template_turned_around_keeps_its_words(self) -> None:
        plain = self.nli("write")
        assert self.nli("write", words=self.WORDS) == plain
        assert plain.inputs == "Write a case of entailment: no entailment lost."

    def test_a_records_own_options_may_not_become_one(self) -> None:
        assert shown(words={"rain": "snow"}).targets == "snow"
        with pytest.raises(DataError, match="two options become the same word.*toy/quiz#listed/train/0"):
            shown(words={"rain": "fog"})


class TestRendering:
    def test_plain_is_what_a_style_is_by_itself(self) -> None:
        assert Style() == PLAIN and shown() == render(quiz(), ROW, split="train", row=0)

    def test_with_and_without_spans_it_is_one(self) -> None:
        for name in quiz().templates:
            for form in ("dashes", "letters", "items", "none", "drawn"):
                style = Style(options=form, option_order="drawn")
                place = {"template": name, "split": "train", "row": 5, "style": style}
                rendered, example = render_spans(quiz(), ROW, **place)
                assert example == render(quiz(), ROW, **place) == render_or_skip(quiz(), ROW, **place)
                assert rendered.texts() == (example.inputs, example.targets)

    def test_rows_of_one_passage_have_its_hash_under_every_template(self) -> None:
        task = quiz(QUIZ.replace("metrics:", "passage: question\nquestion: choices\nmetrics:"))
        other = {**ROW, "key": 2}
        for name in task.templates:
            one, two = (render(task, record, template=name, split="train", row=0) for record in (ROW, other))
            assert len(one.passage) == 12 and one.passage == two.passage
            assert len(one.question) == 12 and one.question == two.question != one.passage
            assert render_spans(task, ROW, template=name, split="train", row=0)[1] == one
            assert (shown(name).passage, shown(name).question) == ("", "")
        moved = render(task, {**ROW, "question": "What shines?"}, split="train", row=0)
        assert moved.passage != one

    def test_whose_words_they_are(self) -> None:
        rendered, _ = render_spans(quiz(), ROW, template="inline", split="train", row=0)
        assert [(s.text, s.kind, s.names) for s in rendered.inputs] == [
            ("What falls?", "field", ("question",)),
            (" ", "instruction", ()),
            ("OPTIONS:\n- sun\n- rain\n- fog", "options", ("options_",)),
            ("\nAnswer:", "instruction", ()),
        ]
        assert [(s.text, s.kind) for s in rendered.targets] == [("rain", "answer")]


TEXTS = st.text(max_size=12).filter(str.strip)


@given(
    TEXTS,
    st.lists(TEXTS.map(str.strip), min_size=1, max_size=30),
    st.data(),
    st.sampled_from(["dashes", "letters", "items", "drawn", "none"]),
    st.sampled_from(["given", "drawn", "sorted"]),
)
def test_the_answer_stays_right_in_every_form_and_order(question, choices, data, form, order) -> None:
    key = data.draw(st.integers(0, len(choices) - 1))
    record = {"question": question, "choices": choices, "key": key}
    style = Style(options=form, option_order=order, seed=data.draw(st.integers(0, 5)))
    for name in quiz().plain_templates:
        rendered, example = render_spans(quiz(), record, template=name, split="train", row=3, style=style)
        assert example.targets in example.options and len(example.options) == len(choices)
        if example.targets != choices[key]:
            listed = example.inputs
            assert f"{example.targets} {choices[key]}" in listed
        else:
            assert Counter(example.options) == Counter(choices)
        assert "".join(span.text for span in rendered.inputs) == example.inputs


class TestFields:
    """Which characters of a prompt are the record's own words."""

    @staticmethod
    def words(found) -> list[str]:
        return [found.inputs[start:end] for start, end in found.fields]

    def test_only_where_they_are_asked_for(self) -> None:
        assert shown().fields == () and shown(mark_fields=True)._replace(fields=()) == shown()

    @pytest.mark.parametrize("template", ["listed", "above", "inline", "named"])
    def test_the_question_and_not_the_options(self, template: str) -> None:
        found = shown(template, mark_fields=True, options="letters")
        assert self.words(found) == ["What falls?"] and "rain" in found.inputs

    def test_of_a_template_turned_around_the_answer_stays(self) -> None:
        assert self.words(shown("ask", mark_fields=True)) == []

    def test_as_rendered_span_by_span_and_in_other_words(self) -> None:
        style = Style(words={"entailment": "so"}, mark_fields=True)
        place = {"split": "train", "row": 0, "style": style}
        found = render(quiz(LABELS), {"text": "entailment", "label": 0}, **place)
        assert found.inputs.startswith("So or not so, and not the So of old: entailment")
        assert self.words(found) == ["entailment"]
        assert render_spans(quiz(LABELS), {"text": "entailment", "label": 0}, **place)[1] == found

    def test_what_every_record_of_the_task_has_is_the_instructions(self) -> None:
        task = Catalog()["mmlu/anatomy"]
        place = {"template": "examination_paper", "split": "dev", "row": 0, "style": Style(mark_fields=True)}
        found = render(task, task.sample, **place)
        assert found.inputs.startswith("Examination paper: anatomy")
        assert self.words(found) == [task.sample["question"]]

    def test_white_space_is_no_field(self) -> None:
        assert shown(record={"question": " "}, mark_fields=True, template="named").fields == ()


def test_every_built_in_prompt_is_the_same_with_its_fields_known() -> None:
    marked = 0
    for task in Catalog().values():
        for name in task.templates if task.sample is not None else ():
            place = {"template": name, "split": "sample", "row": 0}
            plain = render_or_skip(task, task.sample, **place)
            found = render_or_skip(task, task.sample, **place, style=Style(mark_fields=True))
            if plain is None:
                assert found is None
                continue
            assert found._replace(fields=()) == plain
            ends = [0, *(place for each in found.fields for place in each), len(found.inputs)]
            assert ends == sorted(ends)
            marked += bool(found.fields)
    assert marked > 1000


def test_every_built_in_task_keeps_its_answer_in_every_form_order_and_other_words() -> None:
    """On its own sample: the target is an option, and stands for the option that is right."""
    count = 0
    for task in Catalog().values():
        if task.sample is None or task.kind in ("number", "text"):
            continue
        words = {option: f"blick{place}" for place, option in enumerate(task.options)}
        for name in task.plain_templates:
            place = {"template": name, "split": "sample", "row": 0}
            right = render(task, task.sample, **place)
            assert right.targets in right.options
            for form, order, seed in (("letters", "drawn", 0), ("items", "sorted", 1), ("drawn", "drawn", 2)):
                style = Style(options=form, option_order=order, seed=seed)
                rendered, found = render_spans(task, task.sample, style=style, **place)
                if found.targets == right.targets:
                    assert Counter(found.options) == Counter(right.options)
                else:
                    assert f"{found.targets} {right.targets}" in found.inputs
                assert found.targets in found.options
                assert "".join(span.text for span in rendered.inputs) == found.inputs
            if words:
                rendered, found = render_spans(task, task.sample, style=Style(words=words), **place)
                assert found.targets == words[right.targets] and set(found.options) == set(words.values())
            count += 1
    assert count > 1000
