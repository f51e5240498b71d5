"""One record to one prompt, with everything that may stand around it."""

from collections import Counter
from dataclasses import replace

import pytest

from ramekin.errors import DataError
from ramekin.text.prompting.few_shot import FLAN_2021, FLAN_2022
from ramekin.text.prompting.prompt import Prompting, prompt, prompt_spans
from ramekin.text.render import Style, render
from ramekin.text.strict_yaml import parse_document
from ramekin.text.task import Task
from ramekin.text.task_yaml import parse_task
from ramekin.text.template import Template

WET = """
source: {hub: org/wet, splits: {train: train, test: test}}
columns: {text: string, label: integer, why: string}
kind: classification
options: ["no", "yes"]
answer: label
rationale: why
metrics: [accuracy]
cluster: weather
templates:
  ask: "Wet? {{ text }} {{ options_ }} ||| {{ answer }}"
  order: "Say whether it is wet: {{ text }} ||| {{ answer }}"
turned_around:
  write: "What is wet: {{ answer }}? ||| {{ text }}"
"""
ROW = {"text": "fog", "label": 0, "why": "It clears"}
SHOTS = [
    (4, {"text": "rain", "label": 1, "why": "It pours."}),
    (2, {"text": "sun", "label": 0, "why": "It shines"}),
]


def wet() -> Task:
    return parse_task("toy/wet", parse_document(WET, where="wet.yaml"), where="wet.yaml")


def asked(template: str = "ask", *, row: int = 7, exemplars=(), record: dict | None = None, **how: object):
    return prompt(
        wet(), record or ROW, template=template, split="test", row=row, how=Prompting(**how), exemplars=exemplars,
        count_tokens=lambda text: len(text.split()),
    )  # fmt: skip


def test_alone_it_is_the_rendered_record() -> None:
    for name in wet().templates:
        assert asked(name).example == render(wet(), ROW, template=name, split="test", row=7)


def test_exemplars_in_flan_2022s_form() -> None:
    found = asked("order", exemplars=SHOTS)
    assert found.example.inputs == (
        "Say whether it is wet: rain\n\nyes\n\n\n"
        "Say whether it is wet: sun\n\nno\n\n\n"
        "Say whether it is wet: fog\n\n"
    )
    assert (found.used, found.pruned, found.example.targets) == (2, 0, "no")


def test_every_row_has_its_own_draws_of_order_and_form() -> None:
    found = asked(exemplars=SHOTS, style=Style(options="items")).example.inputs
    assert found.count("(A) no\n(B) yes\n\n(B)") == 1 and found.count("(A) no\n(B) yes\n\n(A)") == 1
    drawn = {
        asked(row=row, exemplars=SHOTS, style=Style(option_order="drawn")).example.inputs for row in range(30)
    }
    assert len(drawn) == 2, "the exemplars' rows are the same, the question's changes"


def test_a_budget_prunes_from_the_end() -> None:
    found = asked("order", exemplars=SHOTS, max_tokens=14)
    assert (found.used, found.pruned) == (1, 1)
    assert "rain" in found.example.inputs and "sun" not in found.example.inputs


def test_the_spans_are_the_questions_own() -> None:
    rendered, found = prompt_spans(
        wet(), ROW, template="order", split="test", row=7, how=Prompting(form=FLAN_2021), exemplars=SHOTS
    )
    assert [span.text for span in rendered.inputs] == ["Say whether it is wet: ", "fog"]
    assert found.example.inputs.endswith("0 Say whether it is wet: fog X 1 FLAN")


class TestFields:
    """`Style.mark_fields`: the question's own words in the whole prompt."""

    @staticmethod
    def words(found) -> list[str]:
        return [found.inputs[start:end] for start, end in found.fields]

    @pytest.mark.parametrize("thought", ["none", "trigger", "rationale"])
    def test_between_exemplars_and_trigger(self, thought: str) -> None:
        for form in (FLAN_2021, FLAN_2022):
            how = {"exemplars": SHOTS, "thought": thought, "form": form}
            found = asked("order", **how, style=Style(mark_fields=True)).example
            assert self.words(found) == ["fog"] and found.fields[0][0] == found.inputs.rindex("fog")
            assert found._replace(fields=()) == asked("order", **how).example

    def test_without_an_instruction(self) -> None:
        for ablation in ("no_template", "dataset_name"):
            found = asked(ablation=ablation, exemplars=SHOTS, style=Style(mark_fields=True)).example
            assert self.words(found) == ["fog"]
            assert found._replace(fields=()) == asked(ablation=ablation, exemplars=SHOTS).example
        turned = asked("write", ablation="no_template", style=Style(mark_fields=True)).example
        assert (turned.inputs, turned.fields) == ("no", ())

    def test_of_an_inverted_prompt_nothing_is_known(self) -> None:
        assert asked(inverted=True, style=Style(mark_fields=True)).example.fields == ()


class TestThought:
    def test_reasoning_before_every_answer(self) -> None:
        found = asked("order", exemplars=SHOTS, thought="rationale").example
        ask = "\nLet's think step by step.\n\n"
        assert found.inputs == (
            f"Say whether it is wet: rain{ask}It pours. The answer is yes.\n\n\n"
            f"Say whether it is wet: sun{ask}It shines. The answer is no.\n\n\n"
            f"Say whether it is wet: fog{ask}"
        )
        assert (found.targets, found.answer) == ("It clears. The answer is no.", "no")

    def test_a_phrase_alone(self) -> None:
        found = asked("order", thought="trigger", trigger="Think.").example
        assert (found.inputs, found.targets) == ("Say whether it is wet: fog\nThink.", "no")

    def test_a_template_turned_around_has_none(self) -> None:
        assert asked("write", thought="rationale").example == asked("write").example

    def test_a_row_without_reasoning_is_an_error_as_question_and_as_exemplar(self) -> None:
        silent = {**ROW, "why": ""}
        with pytest.raises(DataError, match="no reasoning to show: toy/wet#ask/test/7"):
            asked(record=silent, thought="rationale")
        with pytest.raises(DataError, match="no reasoning to show: toy/wet#ask/train/3"):
            asked(exemplars=[(3, silent)], thought="rationale")


class TestAblation:
    def test_in_question_and_exemplars(self) -> None:
        found = asked(exemplars=SHOTS, ablation="no_template").example
        assert found.inputs == "rain\n\nyes\n\n\nsun\n\nno\n\n\nfog\n\n"
        found = asked(exemplars=SHOTS[:1], ablation="dataset_name").example
        assert found.inputs == "[weather: toy/wet] rain\n\nyes\n\n\n[weather: toy/wet] fog\n\n"

    @pytest.mark.parametrize("form", ["items", "letters", "drawn", "dashes"])
    def test_the_target_is_no_item_of_a_list_that_is_not_shown(self, form: str) -> None:
        for row in range(20):
            found = asked(row=row, ablation="no_template", style=Style(options=form)).example
            assert (found.inputs, found.targets, found.options) == ("fog", "no", ("no", "yes"))

    def test_of_a_template_turned_around_the_answer_is_given(self) -> None:
        found = asked("write", ablation="no_template").example
        assert (found.inputs, found.targets) == ("no", "fog")


class TestExemplars:
    def test_each_in_a_template_of_its_own(self) -> None:
        shots = [(place, {**ROW, "text": f"fog {place}"}) for place in range(40)]
        found = asked(exemplars=shots, exemplar_templates="drawn").example.inputs
        kinds = Counter(part.split()[0] for part in found.split("\n\n\n"))
        assert set(kinds) == {"Wet?", "Say"} and kinds.total() == 41 and min(kinds.values()) > 8
        assert found == asked(exemplars=shots, exemplar_templates="drawn").example.inputs
        assert (
            found != asked(exemplars=shots, exemplar_templates="drawn", style=Style(epoch=1)).example.inputs
        )

    def test_they_are_turned_around_if_the_question_is(self) -> None:
        turned = asked("write", exemplars=SHOTS, exemplar_templates="drawn").example.inputs
        assert turned == asked("write", exemplars=SHOTS).example.inputs

    def test_a_template_that_has_nothing_to_ask_gives_way_to_the_next(self) -> None:
        texts = {
            "wet": "{% if label == 1 %}{{ text }} ||| wet{% endif %}",
            "dry": "{% if label == 0 %}{{ text }} ||| dry{% endif %}",
        }
        templates = {name: Template(name, text, dialect="promptsource") for name, text in texts.items()}
        task = replace(wet(), templates=templates)
        shots = [(place, {**ROW, "label": place % 2}) for place in range(20)]
        how = Prompting(exemplar_templates="drawn")
        found = prompt(
            task, ROW, template="dry", split="test", row=30, how=how, exemplars=shots
        ).example.inputs
        said = [part.split("\n\n")[1] for part in found.split("\n\n\n")[:-1]]
        assert said == ["wet" if place % 2 else "dry" for place in range(20)]
        with pytest.raises(DataError, match="nothing to ask about this row: toy/wet#wet/test/30"):
            prompt(task, ROW, template="wet", split="test", row=30, how=how)

    def test_never_the_row_itself_in_whatever_template(self) -> None:
        for templates in ("same", "drawn"):
            for row in range(6):
                with pytest.raises(DataError, match="an exemplar is the question itself"):
                    asked(
                        row=row,
                        exemplars=[(row, ROW)],
                        exemplar_split="test",
                        exemplar_templates=templates,
                    )


class TestInversion:
    def test_the_answer_is_given_and_the_record_asked_for(self) -> None:
        found = asked(inverted=True).example
        assert (found.inputs, found.targets) == ("The answer is no. What was the question?", "fog")
        assert found.options == ()

    def test_with_reasoning_it_is_given_too(self) -> None:
        found = asked(inverted=True, thought="rationale").example.inputs
        assert found == "It clears. The answer is no. What was the question?"
        with pytest.raises(DataError, match="there is no reasoning to show"):
            asked(inverted=True, thought="rationale", record={**ROW, "why": " "})

    def test_exemplars_are_inverted_too(self) -> None:
        found = asked(inverted=True, exemplars=SHOTS).example
        assert found.inputs == (
            "The answer is yes. What was the question?\n\nrain\n\n\n"
            "The answer is no. What was the question?\n\nsun\n\n\n"
            "The answer is no. What was the question?\n\n"
        )

    def test_a_template_turned_around_asks_for_the_record_already(self) -> None:
        assert asked("write", inverted=True) == asked("write")
