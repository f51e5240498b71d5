"""One record to one prompt, with all that may stand around it: options, exemplars, reasoning, ablation.

A pure function of the record, the exemplars and the settings; what is drawn depends on (seed, task, split,
row, epoch) alone. Knows nothing of where records and exemplars are read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, final

from ramekin.text.draw import draw
from ramekin.text.example import Example, Record
from ramekin.text.prompting.ablation import Ablation, bare_inputs, dataset_name, no_template
from ramekin.text.prompting.few_shot import FLAN_2022, FewShot, FewShotForm, few_shot
from ramekin.text.prompting.thought import TRIGGER, inverted, with_rationale, with_trigger
from ramekin.text.render import PLAIN, Style, asks_about, render_spans
from ramekin.text.task import Task
from ramekin.text.template import Rendered

__all__ = ["Exemplar", "Prompting", "Thought", "prompt", "prompt_spans"]

Thought: TypeAlias = Literal["none", "trigger", "rationale"]
"""`trigger`: a phrase asks for the reasoning. `rationale`: the reasoning stands in the target too."""

Exemplar: TypeAlias = tuple[int, Record]
"""A row of the exemplars' split, and its record."""


@final
@dataclass(frozen=True)
class Prompting:
    """How records are put to a model."""

    style: Style = PLAIN
    thought: Thought = "none"
    exemplar_thought: Thought | None = None
    """That of the exemplars; None: the question's. Where reasoning is to be written, the question asks for it
    and the exemplars show it."""
    trigger: str = TRIGGER
    inverted: bool = False
    """Flan 2022's input inversion: the answer is given, with `thought="rationale"` the reasoning too, and
    the target is what the record asks."""
    ablation: Ablation = "none"
    form: FewShotForm = FLAN_2022
    exemplar_split: str = "train"
    exemplar_templates: Literal["same", "drawn"] = "same"
    """Exemplars in the question's template, or each in one of its own, as in Flan 2022's mix."""
    max_tokens: int | None = None
    """Exemplars are pruned so that the prompt has no more; None: none are."""


def prompt(
    task: Task,
    record: Record,
    *,
    template: str | None = None,
    split: str,
    row: int,
    how: Prompting,
    exemplars: Sequence[Exemplar] = (),
    count_tokens: Callable[[str], int] | None = None,
) -> FewShot:
    """Put one record to a model.

    Args:
        task: the task the record belongs to.
        record: the row.
        template: the template's name; None takes the first.
        split: the split the record is in.
        row: its position there.
        how: everything that is chosen.
        exemplars: of the split that `how` names, in the order in which they are to stand.
        count_tokens: of a text; needed with `how.max_tokens`.

    Raises:
        DataError: a record cannot be rendered, a template of P3's has nothing to ask about it, or the
            reasoning asked for is not there.
    """
    return prompt_spans(
        task,
        record,
        template=template,
        split=split,
        row=row,
        how=how,
        exemplars=exemplars,
        count_tokens=count_tokens,
    )[1]


def prompt_spans(
    task: Task,
    record: Record,
    *,
    template: str | None = None,
    split: str,
    row: int,
    how: Prompting,
    exemplars: Sequence[Exemplar] = (),
    count_tokens: Callable[[str], int] | None = None,
) -> tuple[Rendered, FewShot]:
    """As `prompt`, and the spans of the question's own rendering."""
    name = task.template(template).name
    rendered, question = _one(task, record, name, split, row, how)
    shown = []
    for exemplar in exemplars:
        own = name
        if how.exemplar_templates == "drawn":
            own = _drawn_template(task, exemplar, name, how, split, row)
        thought = how.thought if how.exemplar_thought is None else how.exemplar_thought
        as_shown = replace(how, thought=thought)
        shown.append(_one(task, exemplar[1], own, how.exemplar_split, exemplar[0], as_shown)[1])
    return rendered, few_shot(
        question, shown, form=how.form, max_tokens=how.max_tokens, count_tokens=count_tokens
    )


def _drawn_template(
    task: Task, exemplar: Exemplar, template: str, how: Prompting, split: str, row: int
) -> str:
    """An exemplar's own template, turned around if the question's is: from one drawn on, the first to ask."""
    place, record = exemplar
    is_turned = task.template(template).turned
    names = [name for name, each in task.templates.items() if each.turned == is_turned]
    start = draw(len(names), how.style.seed, task.name, split, row, how.style.epoch, place)
    for name in (*names[start:], *names[:start]):
        if asks_about(task, record, template=name, split=how.exemplar_split, row=place, style=how.style):
            return name
    return template


def _one(
    task: Task, record: Record, template: str, split: str, row: int, how: Prompting
) -> tuple[Rendered, Example]:
    # An ablation leaves the list of options out, so that its items' names mean nothing.
    style = how.style if how.ablation == "none" else replace(how.style, options="none")
    rendered, example = render_spans(task, record, template=template, split=split, row=row, style=style)
    if how.ablation == "no_template":
        example = no_template(rendered, example)
    elif how.ablation == "dataset_name":
        example = dataset_name(rendered, example, task)
    if task.template(template).turned:
        return rendered, example
    if how.inverted:
        is_reasoned = how.thought == "rationale"
        given = example if is_reasoned else example._replace(rationale="")
        return rendered, inverted(bare_inputs(rendered), given, reasoned=is_reasoned)
    if how.thought == "rationale":
        example = with_rationale(example, trigger=how.trigger)
    elif how.thought == "trigger":
        example = with_trigger(example, how.trigger)
    return rendered, example
