"""A mixture's file as a value, and every mistake with its line."""

import pytest

from ramekin.errors import DataError
from ramekin.text.mixing.form import PLAIN_FORM, PromptForm
from ramekin.text.mixing.mixture import Missing, Mixing, Templates
from ramekin.text.mixing.mixture_yaml import MixtureFile, NamedMixture, Selection, parse_mixture
from ramekin.text.strict_yaml import parse_document

WHOLE = """
description: everything
tasks:
  - glue/rte
  - {collection: flan_2021, clusters: [sentiment]}
  - task: ni/*
    listed_in: splits/train.txt
    limit_examples: 5
    templates: [one, two]
    split: validation
mixtures: {muffin: 0.5, own.yaml: 1}
exclude: [glue/wnli, mmlu/*]
mixing: {kind: proportional, scale: 2, cap_examples: 90, cap_scope: template, mixing_temperature: 1.5}
limit_examples: 100
floor_examples: 10
templates: plain
templates_per_task: 4
forms:
  - {share: 0.5, shots: 2, options: drawn, cot: rationale}
  - {inverted: true, words: {yes: agree, no: disagree}}
  - words: [{}, {yes: right, no: wrong}]
missing: {race: not in the catalogue}
"""
AGREE, RIGHT = (("yes", "agree"), ("no", "disagree")), (("yes", "right"), ("no", "wrong"))


def parsed(text: str) -> MixtureFile:
    return parse_mixture(parse_document(text, where="m.yaml"), where="m.yaml")


def test_everything_a_file_can_say() -> None:
    plain = Templates("plain", 4)
    common = {"limit_examples": 100, "floor_examples": 10, "templates": plain}
    assert parsed(WHOLE) == MixtureFile(
        "m.yaml",
        "everything",
        (
            Selection(4, "glue/rte", **common),
            Selection(5, collection="flan_2021", clusters=("sentiment",), **common),
            Selection(
                6, "ni/*", listed_in="splits/train.txt", limit_examples=5, floor_examples=10,
                templates=Templates(("one", "two"), 4), split="validation",
            ),
        ),
        (NamedMixture(11, "muffin", 0.5), NamedMixture(11, "own.yaml", 1)),
        ((12, "glue/wnli"), (12, "mmlu/*")),
        Mixing("proportional", 2, 90, "template", 1.5),
        (PromptForm(0.5, 2, "drawn", cot="rationale"), PromptForm(inverted=True, words=(AGREE,)), PromptForm(words=((), RIGHT))),
        (Missing("race", "not in the catalogue"),),
    )  # fmt: skip


def test_the_least_a_file_can_say() -> None:
    assert parsed("tasks: [glue/rte]") == MixtureFile("m.yaml", selections=(Selection(1, "glue/rte"),))
    assert parsed("mixtures: [t0]").mixtures == (NamedMixture(1, "t0"),)
    assert parsed("tasks: [a/b]").forms == (PLAIN_FORM,)
    assert parsed("tasks: [{task: a/b, rate: 2}]").selections == (Selection(1, "a/b", rate=2),)
    by_template = parsed("tasks: [a/b]\nmixing: {cap_scope: each_template}")  # each counts, capped or not
    assert by_template.mixing == Mixing(cap_scope="each_template")


def test_names_and_patterns() -> None:
    names, pattern, collection = parsed("tasks: [a/b, 'a/[bc]', {collection: mmlu}]").selections
    assert (names.is_name, pattern.is_name, collection.is_name) == (True, False, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[glue/rte]", "expected a mapping with tasks or mixtures, got list"),
        ("description: x", "m.yaml: got 'tasks' or 'mixtures' must say what is mixed"),
        ("mixtures: [t0]\nforms: [{shots: 2}]", "m.yaml:2: got 'forms' says nothing of 'mixtures'"),
        (
            "mixtures: [t0]\nlimit_examples: 5",
            "'limit_examples' says nothing of 'mixtures', which have their",
        ),
        ("tasks: [a/b]\nmixin: {}", "m.yaml:2: got unknown key 'mixin': did you mean 'mixing'"),
        ("tasks: a/b", "m.yaml: got line 1: 'tasks' must be a list, not 'a/b'"),
        ("tasks: [3]", "m.yaml:1: got a task must be a name, a pattern or a mapping, not 3"),
        ("tasks:\n- {tsk: a/b}", "m.yaml:2: got unknown key 'tsk': did you mean 'task'"),
        ("tasks:\n- {rate: 2}", "needs either 'task' or 'collection'"),
        ("tasks:\n- {task: a/b, collection: mmlu}", "needs either 'task' or 'collection'"),
        ("tasks:\n- {task: a/b, clusters: [x]}", "m.yaml:2: got 'clusters' goes with 'collection'"),
        ("tasks:\n- {collection: mmlu, listed_in: x}", "'listed_in' goes with 'task'"),
        ("tasks:\n- {task: a/b, rate: 0}", "m.yaml:2: got a rate must be above 0: a/b"),
        ("tasks:\n- {task: a/b, rate: true}", "'rate' must be a number, not True"),
        ("tasks:\n- {task: a/b, limit_examples: 2.5}", "'limit_examples' must be a whole number, not 2.5"),
        ("tasks: [a/b]\nlimit_examples: 0", "limit_examples must be 1 or more"),
        ("tasks: [a/b]\ntemplates: plian", "unknown templates 'plian': did you mean 'plain'. .or a list"),
        ("tasks: [a/b]\ntemplates: 3", "'templates' must be a text or a list of texts, not 3"),
        ("tasks: [a/b]\ntemplates_per_task: 0", "templates_per_task must be 1 or more"),
        ("tasks:\n- {task: a/b, listed_in: x}", "m.yaml:2: got 'listed_in' goes with a pattern"),
        ("mixtures:\n- t0\n- muffin\n- t0", "m.yaml:4: got the mixture 't0' is named twice"),
        ("mixtures: {t0: 0}", "a mixture needs a name and a rate above 0, not 't0': 0"),
        ("mixtures: {t0: yes please}", "a mixture needs a name and a rate above 0"),
        ("mixtures: [3]", "'mixtures' must be a list of texts or a mapping, not .3."),
        ("tasks: [a/b]\nexclude: a/b", "'exclude' must be a list of texts, not 'a/b'"),
        ("tasks: [a/b]\nmixing: {kind: equl}", "m.yaml:2: got unknown kind 'equl': did you mean 'equal'"),
        ("tasks: [a/b]\nmixing:\n  cap_exampls: 3", "m.yaml:3: got unknown key 'cap_exampls': did"),
        ("tasks: [a/b]\nmixing: {cap_examples: 1.5}", "'cap_examples' must be a whole number or nothing"),
        ("tasks: [a/b]\nmixing: {scale: -1}", "m.yaml:2: got mixing.scale must be above 0"),
        ("tasks: [a/b]\nforms: [3]", "m.yaml:2: got expected a mapping, got 3"),
        ("tasks: [a/b]\nforms:\n- {shot: 2}", "m.yaml:3: got unknown key 'shot': did you mean 'shots'"),
        (
            "tasks: [a/b]\nforms:\n- {words: agree}",
            "m.yaml:3: got 'words' maps options to words.*got 'agree'",
        ),
        (
            "tasks: [a/b]\nforms:\n- words: [{}, {yes: 1}]",
            "m.yaml:3: got 'words' maps options .*got {'yes': 1}",
        ),
        ("tasks: [a/b]\nforms:\n- {options: dots}", "unknown options 'dots'"),
        ("tasks: [a/b]\nforms:\n- {inverted: 1}", "'inverted' must be true or false, not 1"),
        (
            "tasks: [a/b]\nforms:\n- {templates: ask}",
            "m.yaml:3: got 'templates' must be a list of texts, not 'ask'",
        ),
        ("tasks: [a/b]\nforms:\n- {templates: [1]}", "m.yaml:3: got 'templates' must be a list of texts"),
        ("tasks: [a/b]\nforms:\n- {share: 0}", "m.yaml:3: got a form's share must be above 0"),
        ("tasks: [a/b]\nmissing: {x: }", "'missing' maps data sets to reasons, not 'x': None"),
        (
            "tasks:\n- {task: a/b, rate: 2}\nmixing: {cap_examples: 5}",
            "m.yaml:3: got 'mixing' would weigh nothing: the tasks' rates are given",
        ),
        ("tasks:\n- {task: a/b, rate: 2}\nfloor_examples: 5", "m.yaml:3: got 'floor_examples' would weigh"),
        ("tasks:\n- {task: a/b, rate: 2,\n   floor_examples: 5}", "m.yaml:3: got 'floor_examples' would"),
        (
            "tasks: [a/b]\nmixing: {kind: equal,\n  mixing_temperature: 2}",
            "m.yaml:3: got 'mixing_temperature' would weigh nothing: the tasks are mixed equally",
        ),
        (
            "tasks: [a/b]\nmixing: {kind: equal}\nfloor_examples: 5",
            "m.yaml:3: got 'floor_examples' would weigh",
        ),
        ("tasks: [a/b]\nmissing: [x]", "'missing' must be a mapping"),
    ],
)
def test_mistakes_have_their_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"the mixture is not well formed: .*{message}"):
        parsed(text)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(DataError) as caught:
        parsed("tasks:\n- {task: a/b, rate: 0}\nmixin: {}\nforms:\n- {shots: -1}\n")
    message = str(caught.value)
    assert "m.yaml: got line 3: unknown key 'mixin'" in message
    assert "; line 2: a rate must be above 0" in message and "; line 5: a form's shots must be" in message
