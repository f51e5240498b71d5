"""A suite's file as a value, and every mistake with its line."""

import pytest

from ramekin.errors import DataError
from ramekin.text.strict_yaml import parse_document
from ramekin.text.suite import SuiteSettings
from ramekin.text.suite_yaml import SuiteFile, SuiteFilePart, SuiteSelection, parse_suite

WHOLE = """
description: everything
source: a paper
average: parts
normalised: true
mode: t0
text_mode: generate
templates: all
over_templates: median
splits: [test, validation]
exemplar_split: dev
exemplar_rows: first
shot_form: qa
options: letters
metric: f1_macro
limit: 100
max_input_tokens: 1024
max_new_tokens: 20
parts:
  - title: one
    shots: 2
    limit: null
    tasks:
      - glue/rte
      - [nli/anli_r1, nli/anli_r2]
      - {collection: flan_2021, clusters: [sentiment]}
      - {cluster: paraphrase, templates: first}
      - {mixture: glue, splits: train}
      - {task: mmlu/*, having: {area: STEM}}
      - task: super_glue/wsc
        title: WSC
        mode: flipped
        words: [{}, {yes: agree, no: disagree}]
    exclude: [glue/wnli, mini/*]
  - {title: two, suite: mmlu_cot}
  - suite: own/other.yaml
"""


def parsed(text: str) -> SuiteFile:
    return parse_suite(parse_document(text, where="s.yaml"), where="s.yaml")


def test_everything_a_file_can_say() -> None:
    common = {
        "mode": "t0", "text_mode": "generate", "templates": "all", "over_templates": "median",
        "splits": ("test", "validation"), "shots": 2, "exemplar_split": "dev", "exemplar_rows": "first",
        "shot_form": "qa", "options": "letters", "metric": "f1_macro", "limit": None,
        "max_input_tokens": 1024, "max_new_tokens": 20,
    }  # fmt: skip

    def settings(**own: object) -> SuiteSettings:
        return SuiteSettings(**{**common, **own})  # type: ignore[arg-type]

    def at(place: int) -> tuple[str | int, ...]:
        return ("parts", 0, "tasks", place)

    words = ((), (("yes", "agree"), ("no", "disagree")))
    assert parsed(WHOLE) == SuiteFile(
        "s.yaml",
        (
            SuiteFilePart(
                ("parts", 0),
                "one",
                (
                    SuiteSelection(at(0), settings(), "glue/rte"),
                    SuiteSelection(at(1), settings(), tasks=("nli/anli_r1", "nli/anli_r2")),
                    SuiteSelection(at(2), settings(), collection="flan_2021", clusters=("sentiment",)),
                    SuiteSelection(at(3), settings(templates="first"), cluster="paraphrase"),
                    SuiteSelection(at(4), settings(splits=("train",)), mixture="glue"),
                    SuiteSelection(at(5), settings(), "mmlu/*", having=(("area", "STEM"),)),
                    SuiteSelection(
                        at(6), settings(mode="flipped", words=words), "super_glue/wsc", title="WSC"
                    ),
                ),
                ("glue/wnli", "mini/*"),
            ),
            SuiteFilePart(("parts", 1), "two", suite="mmlu_cot"),
            SuiteFilePart(("parts", 2), suite="own/other.yaml"),
        ),
        "everything",
        "a paper",
        "parts",
        True,
    )


def test_the_least_a_file_can_say() -> None:
    (part,) = parsed("tasks: [glue/rte]").parts
    assert part == SuiteFilePart((), "", (SuiteSelection(("tasks", 0), SuiteSettings(), "glue/rte"),))
    assert parsed("tasks: [a/b]\nwords: {yes: agree}").parts[0].selections[0].settings.words == (
        (("yes", "agree"),),
    )
    assert parsed("\nparts:\n  - suite: glue").place("parts", 0, "suite") == "s.yaml:3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[glue/rte]", "s.yaml: expected a mapping with tasks or parts, got list"),
        ("description: x", "s.yaml: got either 'tasks' or 'parts' must say what is evaluated"),
        ("tasks: [a/b]\nparts: [{suite: x}]", "either 'tasks' or 'parts' must say"),
        ("tasks: [a/b]\nmdoe: t0", "s.yaml:2: got unknown key 'mdoe': did you mean 'mode'?"),
        ("tasks: [a/b]\naverage: tasks", "s.yaml:2: got unknown average 'tasks'"),
        ("tasks: [a/b]\nshots: many", "s.yaml:2: got 'shots' must be a whole number, not 'many'"),
        ("tasks: [a/b]\nshots: -1", "s.yaml:2: got shots must be 0 or more: got -1"),
        ("tasks: [a/b]\nsplits: []", "s.yaml:2: got splits must name at least one split"),
        ("tasks: [a/b]\nmetric: f1_marco", "s.yaml:2: got unknown metric 'f1_marco': did you mean 'f1_macro'?"),
        ("tasks: [a/b]\nthought: rationales", "unknown thought 'rationales': did you mean 'rationale'?"),
        ("tasks: [a/b]\nwords: [yes]", "s.yaml:2: got 'words' maps options to words"),
        ("tasks:\n  - 3", "s.yaml:2: got a task must be a name, a pattern, a list of names or a mapping, not 3"),
        ("tasks:\n  - {task: a/b, limt: 3}", "s.yaml:2: got unknown key 'limt': did you mean 'limit'?"),
        ("tasks:\n  - {limit: 3}", "s.yaml:2: got an entry of 'tasks' needs one of task, tasks, collection"),
        ("tasks:\n  - {task: a/b, mixture: t0}", "s.yaml:2: got an entry of 'tasks' needs one of"),
        ("tasks:\n  - {task: a/b, clusters: [x]}", "'clusters' goes with 'collection'"),
        ("tasks:\n  - {cluster: x, title: y}", "'title' goes with 'task'"),
        ("tasks:\n  - [a/b, 3]", "'tasks' must be a list of texts"),
        ("parts:\n  - a/b", "s.yaml:2: got a part must be a mapping, not 'a/b'"),
        ("parts:\n  - {title: x}", "s.yaml:2: got a part needs either 'tasks' or 'suite'"),
        ("parts:\n  - {title: x, tasks: [a/b], suite: y}", "a part needs either 'tasks' or 'suite'"),
        ("parts:\n  - {tasks: [a/b]}", "s.yaml:2: got a part of tasks needs a 'title'"),
        ("parts:\n  - {suite: x,\n     shots: 2}", "s.yaml:3: got 'shots' says nothing of a suite, which has its own"),
        ("limit: 3\nparts: [{suite: x}]", "s.yaml:1: got 'limit' says nothing of suites, which have their own"),
        ("exclude: [x]\nparts: [{suite: x}]", "s.yaml:1: got 'exclude' goes with 'tasks'"),
        ("tasks:\n  - a/b\nexemplars: published", "s.yaml:2: got 'exemplars' says nothing of no exemplars: shots is 0"),
        (
            "tasks:\n  - a/b\nexemplars: published\nshots: 2\nexemplar_split: dev",
            "s.yaml:2: got 'exemplar_split' says nothing of published exemplars",
        ),
        ("tasks:\n  - a/b\nthought: rationale", "s.yaml:2: got 'thought: rationale' shows the reasoning of exemplars"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parsed(text)
    assert message in str(caught.value) and "the suite is not well formed: s.yaml" in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(DataError) as caught:
        parsed("mdoe: t0\nshots: -1\ntasks:\n  - 3\n  - {task: a/b, limit: 0}")
    for said in ("line 1: unknown key", "line 2: shots", "line 4: a task must be", "line 5: limit must be"):
        assert said in str(caught.value)


def test_a_setting_of_exemplars_is_idle_only_if_it_is_so_everywhere() -> None:
    text = "exemplar_split: dev\nparts:\n  - {title: a, tasks: [a/b], shots: 5}\n  - {title: b, tasks: [a/b]}"
    shots = [part.selections[0].settings.shots for part in parsed(text).parts]
    assert shots == [5, 0]
