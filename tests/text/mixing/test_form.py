"""Forms of prompts within a mixture, and what they become."""

import pytest

from ramekin.errors import UsageError
from ramekin.text.mixing.form import PLAIN_FORM, PromptForm, drawn_words, prompting
from ramekin.text.prompting.few_shot import FLAN_2021, QA
from ramekin.text.prompting.prompt import Prompting
from ramekin.text.render import Style


def test_the_plain_form_is_the_plain_prompt() -> None:
    assert prompting(PLAIN_FORM) == Prompting() and str(PLAIN_FORM) == ""


def test_everything_of_a_form_is_passed_on() -> None:
    form = PromptForm(
        2.0, 5, "drawn", "sorted", "rationale", shot_form="flan_2021", exemplar_templates="drawn"
    )
    assert prompting(form, seed=3, epoch=4, max_tokens=100) == Prompting(
        style=Style(options="drawn", option_order="sorted", seed=3, epoch=4),
        thought="rationale",
        form=FLAN_2021,
        exemplar_templates="drawn",
        max_tokens=100,
    )
    assert prompting(PromptForm(ablation="dataset_name")).ablation == "dataset_name"
    inverted = prompting(PromptForm(inverted=True, shot_form="qa"))
    assert (inverted.inverted, inverted.form) == (True, QA)


def test_a_form_is_named_by_what_differs() -> None:
    assert str(PromptForm(0.25, 5, "none", cot="rationale")) == "shots=5 options=none cot=rationale"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 0}, "a form's share must be above 0"),
        ({"share": float("nan")}, "a form's share must be above 0"),
        ({"shots": -1}, "shots must be 0 or more"),
        ({"inverted": True, "cot": "trigger"}, "asks for the question alone: inverted=True cot=trigger|: cot=trigger inverted"),
        ({"inverted": True, "ablation": "no_template"}, "no ablation"),
    ],
)  # fmt: skip
def test_what_is_no_form(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PromptForm(**values)


def test_one_of_several_sets_of_words_is_drawn_for_each_row() -> None:
    agree, right = (("yes", "agree"), ("no", "disagree")), (("yes", "right"), ("no", "wrong"))
    form = PromptForm(words=(agree, (), right))
    assert str(form) == "words=yes:agree,no:disagree||yes:right,no:wrong"
    drawn = [drawn_words(form, 0, "glue/rte", row, 0) for row in range(900)]
    assert drawn == [drawn_words(form, 0, "glue/rte", row, 0) for row in range(900)]
    assert drawn != [drawn_words(form, 0, "glue/rte", row, 1) for row in range(900)]
    for words in (agree, (), right):
        assert 250 < drawn.count(dict(words)) < 350
    assert drawn_words(PLAIN_FORM, 0) == {}
