"""Adjustments laid over a mixture, on a small world of clusters and tasks."""

from dataclasses import replace
from itertools import pairwise

import pytest

from ramekin.errors import UsageError
from ramekin.text.clusters import Cluster
from ramekin.text.mixing.adjustments import Adjustments, adjusted
from ramekin.text.mixing.form import PLAIN_FORM, PromptForm
from ramekin.text.mixing.mixture import Mixing, Mixture, MixturePart, TaskPart, Templates, task_parts
from ramekin.text.task import Source, Task
from ramekin.text.template import Template

CLUSTERS = {
    each.name: each
    for each in (
        Cluster("entailment", "entailment", ("paraphrase",)),
        Cluster("paraphrase", "paraphrase", ("entailment",)),
        Cluster("sentiment", "sentiment"),
        Cluster("thought", "chains of thought"),
    )
}


def task(name: str, cluster: str, group: str = "") -> Task:
    ask = Template("ask", "{{ text }} ||| {{ answer }}")
    return Task(
        name, "", Source({"train": "train"}), {"text": "string"}, "text", (), ("rouge1",), {"ask": ask},
        cluster=cluster, group=group,
    )  # fmt: skip


TASKS = {
    each.name: each
    for each in (
        task("nli/rte", "entailment", "nli"),
        task("glue/mrpc", "paraphrase"),
        task("glue/sst2", "sentiment"),
        task("glue/imdb", "sentiment"),
        task("cot/esnli", "thought", "nli"),
        task("cot/gsm8k", "thought", "math"),
        task("p3/loose", ""),
        task("ni/task1", "stone_counting"),
    )
}
FORMS = (PromptForm(share=1), PromptForm(share=0.5, shots=2), PromptForm(share=0.5, options="none"))
PLAIN = Mixture(
    "plain",
    tuple(map(TaskPart, ("nli/rte", "glue/mrpc", "glue/sst2", "glue/imdb"))),
    Mixing(cap_examples=30),
    FORMS,
)
COT = Mixture(
    "cot",
    (TaskPart("cot/esnli"), TaskPart("cot/gsm8k", limit_examples=50)),
    forms=(PromptForm(cot="rationale"), PromptForm(cot="rationale", inverted=True)),
)
WHOLE = Mixture("whole", (MixturePart(PLAIN, 0.9), MixturePart(COT, 0.1)))


def names(mixture: Mixture) -> list[str]:
    return [part.task for _, part in task_parts(mixture)]


def changed(mixture: Mixture = WHOLE, **values: object) -> Mixture:
    return adjusted(mixture, Adjustments(**values), tasks=TASKS, clusters=CLUSTERS, known=TASKS.values())


def test_no_adjustment_changes_nothing_and_reads_no_task() -> None:
    assert adjusted(WHOLE, Adjustments(), tasks={}, clusters={}) == WHOLE
    assert not Adjustments(num_tasks=3, exclude=("glue/*",)).looks_inside
    assert (
        Adjustments(hold_out="sentiment").looks_inside and Adjustments(clusters=("sentiment",)).looks_inside
    )


def test_other_settings_reach_every_mixture_within() -> None:
    found = changed(scale=2.0, cap_examples=0, cap_scope="template", mixing_temperature=4.0)
    expected = Mixing("proportional", 2.0, 0, "template", 4.0)
    assert [part.mixture.mixing for part in found.parts] == [expected, expected]
    assert [part.rate for part in found.parts] == [0.9, 0.1]
    assert {part.mixture.mixing.kind for part in changed(kind="equal").parts} == {"equal"}
    assert changed(mixing_temperature=2.0).parts[0].mixture.mixing == Mixing(
        cap_examples=30, mixing_temperature=2.0
    )


def test_settings_that_would_change_nothing_are_refused() -> None:
    given = Mixture("given", (TaskPart("glue/sst2", 1), TaskPart("glue/mrpc", 2)))
    with pytest.raises(UsageError, match="cap_examples, mixing_temperature would change nothing"):
        changed(given, cap_examples=3, mixing_temperature=2.0)
    assert changed(given, limit_examples=3).parts[0].limit_examples == 3
    even = Mixture("even", (TaskPart("glue/sst2"), TaskPart("glue/mrpc")), Mixing(kind="equal"))
    with pytest.raises(UsageError, match="cap_examples would change nothing: the tasks are mixed equally"):
        changed(even, cap_examples=3)
    with pytest.raises(UsageError, match="the tasks are mixed equally"):
        changed(replace(even, mixing=Mixing()), cap_examples=3, kind="equal")
    both = Mixture("both", (MixturePart(even), TaskPart("nli/rte")))
    assert changed(both, cap_examples=3).mixing.cap_examples == 3


@pytest.mark.parametrize(
    ("cluster", "left"),
    [
        ("entailment", ["glue/sst2", "glue/imdb", "cot/gsm8k"]),
        ("paraphrase", ["glue/sst2", "glue/imdb", "cot/gsm8k"]),
        ("sentiment", ["nli/rte", "glue/mrpc", "cot/esnli", "cot/gsm8k"]),
        ("thought", ["glue/mrpc", "glue/sst2", "glue/imdb"]),
    ],
)
def test_holding_out_a_cluster(cluster: str, left: list[str]) -> None:
    assert names(changed(hold_out=cluster)) == left


def test_what_overlaps_is_known_from_tasks_outside_the_mixture_too() -> None:
    assert names(changed(COT, hold_out="entailment")) == ["cot/gsm8k"]
    assert names(changed(COT, hold_out="sentiment")) == ["cot/esnli", "cot/gsm8k"]


@pytest.mark.parametrize("loose", ["p3/loose", "ni/task1"])
def test_a_task_of_no_known_cluster_stands_in_the_way_of_holding_out(loose: str) -> None:
    mixture = Mixture("m", (TaskPart("glue/sst2"), TaskPart(loose)))
    with pytest.raises(
        UsageError, match=rf"overlap with entailment is not known.*got {loose}; fix: .*exclude=\['"
    ):
        changed(mixture, hold_out="entailment")
    assert names(changed(mixture, hold_out="entailment", exclude=(loose,))) == ["glue/sst2"]


def test_only_some_clusters_and_without_some_tasks() -> None:
    assert names(changed(clusters=("sentiment", "thought"))) == [
        "glue/sst2",
        "glue/imdb",
        "cot/esnli",
        "cot/gsm8k",
    ]
    assert names(changed(exclude=("glue/*",))) == ["nli/rte", "cot/esnli", "cot/gsm8k"]
    without = changed(exclude=("cot/*",))
    assert [part.name for part in without.parts] == ["plain"]


def test_fewer_tasks_are_part_of_more() -> None:
    for seed in range(5):
        drawn = [set(names(changed(num_tasks=count, seed=seed))) for count in range(1, 7)]
        assert [len(each) for each in drawn] == [1, 2, 3, 4, 5, 6]
        assert all(fewer < more for fewer, more in pairwise(drawn))
    assert len({tuple(names(changed(num_tasks=2, seed=seed))) for seed in range(30)}) > 8


def test_limits_only_go_down() -> None:
    found = changed(limit_examples=80)
    assert [part.limit_examples for _, part in task_parts(found)] == [80, 80, 80, 80, 80, 50]


def test_chains_of_thought_may_stay_beside_the_tasks_that_are_counted() -> None:
    for seed in range(5):
        for count in range(1, 5):
            asked = {"num_tasks": count, "num_tasks_of": "without_cot", "seed": seed}
            with_cot, without = names(changed(**asked)), names(changed(**asked, cot="leave_out"))
            assert with_cot == [*without, "cot/esnli", "cot/gsm8k"] and len(without) == count
    with pytest.raises(UsageError, match="expected 1 to 4, got 5"):
        changed(num_tasks=5, num_tasks_of="without_cot")


def test_fewer_templates() -> None:
    found = changed(templates_per_task=2, seed=7)
    assert {part.templates for _, part in task_parts(found)} == {Templates("all", 2, 7)}


def test_the_number_of_templates_only_goes_down() -> None:
    two = Mixture("m", (TaskPart("glue/sst2", templates=Templates("plain", 2, 5)),))
    for count, expected in (
        (1, Templates("plain", 1, 7)),
        (2, Templates("plain", 2, 5)),
        (4, Templates("plain", 2, 5)),
    ):
        assert changed(two, templates_per_task=count, seed=7).parts[0].templates == expected


def test_an_ablation_reaches_every_form() -> None:
    found = changed(PLAIN, ablation="no_template", templates_per_task=1)
    assert {part.templates for _, part in task_parts(found)} == {Templates("all", 1)}
    assert {form.ablation for form in found.forms} == {"no_template"}
    assert changed(PLAIN, ablation="none") == PLAIN


def test_an_inverted_form_has_no_instruction_to_leave_out() -> None:
    with pytest.raises(UsageError, match="the mixture 'cot' has inverted forms.*fix: add cot=leave_out"):
        changed(ablation="dataset_name")
    assert names(changed(ablation="dataset_name", cot="leave_out")) == names(PLAIN)


def test_forms_that_become_one_have_both_shares() -> None:
    found = changed(PLAIN, options="none")
    assert found.forms == (
        PromptForm(share=1.5, options="none"),
        PromptForm(share=0.5, shots=2, options="none"),
    )


def test_with_and_without_chains_of_thought_and_exemplars() -> None:
    assert [part.name for part in changed(cot="leave_out").parts] == ["plain"]
    assert [part.name for part in changed(cot="only").parts] == ["cot"]
    assert changed(PLAIN, exemplars="leave_out").forms == (FORMS[0], FORMS[2])
    assert changed(PLAIN, exemplars="only").forms == (FORMS[1],)
    own = (PromptForm(templates=("a",)), PromptForm(templates=("b",), shown_exemplars=True))
    shown = Mixture("m", (TaskPart("glue/sst2"),), forms=own)
    assert changed(shown, exemplars="leave_out").forms == own[:1]
    assert changed(shown, exemplars="only").forms == own[1:]
    mixed = Mixture("m", (TaskPart("cot/esnli"),), forms=(PLAIN_FORM, PromptForm(cot="rationale")))
    assert changed(mixed, cot="leave_out").forms == (PLAIN_FORM,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hold_out": "sentimnt"}, "unknown cluster 'sentimnt': did you mean 'sentiment'"),
        ({"clusters": ("sentimnt",)}, "unknown cluster 'sentimnt': did you mean 'sentiment'"),
        ({"clusters": ("thought",), "exclude": ("cot/*",)}, "no task of the mixture is of this cluster: thought"),
        ({"exclude": ("glue/sst",)}, "unknown task of the mixture 'glue/sst': did you mean 'glue/sst2'"),
        ({"exclude": ("*",)}, "the adjustments leave nothing of the mixture: whole"),
        ({"num_tasks": 7}, "num_tasks is out of range: whole: expected 1 to 6, got 7"),
        ({"num_tasks": 0}, "num_tasks is out of range"),
        ({"clusters": ("paraphrase",), "hold_out": "entailment"}, "leave nothing"),
        ({"scale": 0.0}, "mixing.scale must be above 0"),
        ({"limit_examples": 0}, "limit_examples must be 1 or more"),
        ({"templates_per_task": 0}, "templates_per_task must be 1 or more"),
    ],
)  # fmt: skip
def test_what_cannot_be_adjusted(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        changed(**values)
