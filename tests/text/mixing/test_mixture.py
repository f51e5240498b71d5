"""Mixtures as values: their leaves, the templates of a leaf, and what cannot be a mixture."""

import pytest

from ramekin.errors import UsageError
from ramekin.text.mixing.form import PromptForm
from ramekin.text.mixing.mixture import (
    Leaf,
    Mixing,
    Mixture,
    MixturePart,
    TaskPart,
    Templates,
    leaf_templates,
    leaves,
    template_at,
)
from ramekin.text.prompting.ablation import template_subset
from ramekin.text.task import Source, Task
from ramekin.text.template import Template


def task(plain: int = 4, turned: int = 2) -> Task:
    names = [*((f"ask_{n}", False) for n in range(plain)), *((f"turn_{n}", True) for n in range(turned))]
    templates = {name: Template(name, "{{ text }} ||| {{ answer }}", turned) for name, turned in names}
    return Task(
        "toy/wet", "", Source({"train": "train"}), {"text": "string"}, "text", (), ("rouge1",), templates
    )


def test_leaves_come_in_order_each_once() -> None:
    forms = (PromptForm(share=0.3), PromptForm(share=0.7, shots=2), PromptForm(share=0.5))
    inner = Mixture("inner", (TaskPart("c/1"), TaskPart("a/1")), forms=forms)
    whole = Mixture("whole", (TaskPart("a/1"), MixturePart(inner), TaskPart("b/1", limit_examples=5)))
    assert leaves(whole) == (
        Leaf("a/1"),
        Leaf("c/1"),
        Leaf("c/1", PromptForm(shots=2)),
        Leaf("a/1", PromptForm(shots=2)),
        Leaf("b/1", limit_examples=5),
    )


def test_a_leaf_is_named_by_what_differs() -> None:
    leaf = Leaf("a/1", PromptForm(options="none"), 30, Templates("plain", 2, 7))
    assert str(leaf) == "a/1 options=none limit_examples=30 templates=plain/2@7"
    assert str(Leaf("a/1", templates=Templates(("x", "y")))) == "a/1 templates=x+y"
    assert str(Leaf("a/1")) == "a/1"


@pytest.mark.parametrize(
    ("templates", "names"),
    [
        (Templates(), ("ask_0", "ask_1", "ask_2", "ask_3", "turn_0", "turn_1")),
        (Templates("plain"), ("ask_0", "ask_1", "ask_2", "ask_3")),
        (Templates("first"), ("ask_0",)),
        (Templates(("turn_1", "ask_2")), ("turn_1", "ask_2")),
    ],
)
def test_the_templates_of_a_leaf(templates: Templates, names: tuple[str, ...]) -> None:
    assert leaf_templates(Leaf("toy/wet", templates=templates), task()) == names


def test_an_inverted_form_takes_plain_templates() -> None:
    inverted = PromptForm(inverted=True)
    assert leaf_templates(Leaf("toy/wet", inverted), task()) == ("ask_0", "ask_1", "ask_2", "ask_3")
    with pytest.raises(UsageError, match="none of the templates .*: toy/wet inverted=True templates=turn_0"):
        leaf_templates(Leaf("toy/wet", inverted, templates=Templates(("turn_0",))), task())


@pytest.mark.parametrize("ablation", ["no_template", "dataset_name"])
def test_without_its_instruction_no_template_is_turned_around(ablation: str) -> None:
    form = PromptForm(ablation=ablation)
    assert leaf_templates(Leaf("toy/wet", form), task()) == ("ask_0", "ask_1", "ask_2", "ask_3")
    some = Templates(("turn_1", "ask_2"))
    assert leaf_templates(Leaf("toy/wet", form, templates=some), task()) == ("ask_2",)
    assert len(leaf_templates(Leaf("toy/wet", form, templates=Templates(per_task=3)), task())) == 3


def test_a_form_may_take_some_of_the_templates() -> None:
    form = PromptForm(templates=("turn_1", "ask_2"))
    assert leaf_templates(Leaf("toy/wet", form), task()) == ("ask_2", "turn_1")
    assert leaf_templates(Leaf("toy/wet", form, templates=Templates("plain")), task()) == ("ask_2",)
    assert str(Leaf("toy/wet", form)) == "toy/wet templates=turn_1+ask_2"
    with pytest.raises(UsageError, match="unknown template 'ask2': did you mean 'ask_2'"):
        leaf_templates(Leaf("toy/wet", PromptForm(templates=("ask2",))), task())


def test_fewer_templates_are_part_of_more() -> None:
    def drawn(count: int, which: str = "all", seed: int = 1) -> tuple[str, ...]:
        return leaf_templates(Leaf("toy/wet", templates=Templates(which, count, seed)), task())

    assert [len(drawn(count)) for count in (1, 2, 4, 6, 10)] == [1, 2, 4, 6, 6]
    for count in (1, 2, 4):
        assert drawn(count) == drawn(6)[:count] == template_subset(task(), count, seed=1)
    assert set(drawn(3, "plain")) < {"ask_0", "ask_1", "ask_2", "ask_3"}
    assert len({drawn(2, seed=seed) for seed in range(20)}) > 3


def test_a_task_without_plain_templates() -> None:
    with pytest.raises(UsageError, match="none of the templates that are asked for"):
        leaf_templates(Leaf("toy/wet", templates=Templates("plain")), task(plain=0))
    with pytest.raises(UsageError, match="did you mean 'ask_0'"):
        leaf_templates(Leaf("toy/wet", templates=Templates(("ask0",))), task())


def test_in_as_many_epochs_a_row_meets_every_template_once() -> None:
    names = ("a", "b", "c")
    for row in range(7):
        assert sorted(template_at(names, row, epoch) for epoch in range(5, 8)) == ["a", "b", "c"]
    assert [template_at(names, row, 0) for row in range(4)] == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture("m", ()), "the mixture has no tasks: m"),
        (lambda: Mixture("m", (TaskPart("a"),), forms=()), "has no forms"),
        (
            lambda: Mixture("m", (TaskPart("a", rate=1), TaskPart("b"), TaskPart("c")), where="m.yaml"),
            "some parts of the mixture have a rate and others none: m.yaml: got no rate: b, c; fix",
        ),
        (
            lambda: Mixture("m", (MixturePart(Mixture("sub", (TaskPart("a", rate=1),))),)),
            "the mixture 'sub' has rates of its own, and so no number of examples",
        ),
        (lambda: TaskPart("a", rate=0), "a rate must be above 0: a: got 0"),
        (lambda: TaskPart("a", rate=float("inf")), "a rate must be above 0"),
        (lambda: MixturePart(Mixture("sub", (TaskPart("a"),)), -1), "a rate must be above 0: sub"),
        (lambda: TaskPart("a", limit_examples=0), "limit_examples must be 1 or more: a"),
        (lambda: TaskPart("a", floor_examples=-3), "floor_examples must be 1 or more: a: got -3"),
        (lambda: Mixing(scale=0), "mixing.scale must be above 0"),
        (lambda: Mixing(mixing_temperature=float("inf")), "mixing.mixing_temperature must be above 0"),
        (lambda: Mixing(cap_examples=-1), "mixing.cap_examples must be 0"),
        (lambda: Templates("all", 0), "templates_per_task must be 1 or more"),
        (lambda: Templates(()), "at least one template"),
    ],
)
def test_what_cannot_be_mixed(make, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
