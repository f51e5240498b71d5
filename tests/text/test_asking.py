"""A template asks of a record without an answer exactly what it asks of one with it."""

import pytest

from ramekin.catalog import load_task, task_names
from ramekin.errors import DataError, UsageError
from ramekin.text.asking import asking_task, template_of_text
from ramekin.text.render import render

NAMES = [name for name in task_names() if not name.startswith("mini/")]


@pytest.mark.parametrize("name", NAMES[::9])
def test_prompts_of_the_catalogue_need_no_answer(name):
    task = load_task(name)
    asked = 0
    for template, each in task.templates.items():
        if each.turned or task.sample is None:
            continue
        try:
            own = asking_task(task, template)
        except DataError as error:
            assert "cannot ask without an answer" in str(error)
            continue
        record = {key: value for key, value in task.sample.items() if key in own.columns}
        whole = render(task, task.sample, template=template, split="s", row=0)
        assert render(own, record, split="s", row=0).inputs == whole.inputs
        asked += 1
    assert asked or task.sample is None


def test_only_what_the_prompt_shows_is_needed():
    own = asking_task(load_task("papers/question_answer"))
    assert set(own.columns) == {"abstract", "introduction"}
    assert set(asking_task(load_task("glue/rte")).columns) == {"sentence1", "sentence2"}


def test_a_template_of_ones_own():
    task = template_of_text("Translate: {{ text }} ({{ language }})")
    assert set(task.columns) == {"text", "language"}
    assert (
        render(task, {"text": "a|||b", "language": "de"}, split="s", row=0).inputs == "Translate: a|||b (de)"
    )
    with pytest.raises(DataError, match="template"):
        template_of_text("{{ text.__class__ }}").templates["own"].names
    with pytest.raises(DataError, match="template"):
        template_of_text("{% for x in range(9) %}{{ x }}{% endfor %}")


def test_an_unknown_template_and_one_that_shows_the_answer_are_refused():
    with pytest.raises(UsageError, match="template"):
        asking_task(load_task("glue/rte"), "nonsense")
    task = load_task("glue/sst2")
    turned = [name for name, each in task.templates.items() if each.turned]
    assert turned
    for name in turned:
        with pytest.raises(DataError, match="shows the answer|cannot ask without an answer"):
            asking_task(task, name)
