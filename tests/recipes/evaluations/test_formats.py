"""Where a suite's tasks and groups are in lm-eval's layout, and what groups come to."""

import math

import pytest

from ramekin.catalog import Catalog
from ramekin.catalog.suites import load_suite, suite_names
from ramekin.errors import UsageError
from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.recipes.evaluations.asking import AskedEntry
from ramekin.recipes.evaluations.formats import check_formats, layout_of, lm_eval_groups
from ramekin.recipes.evaluations.found import suite_result
from ramekin.text.metrics import score_predictions
from ramekin.text.suite import Suite, SuiteEntry, SuitePart, SuiteSettings, SuiteTask, suite_entries

ALL = SuiteSettings(templates="all")


def suite(*parts: SuitePart, name: str = "own", **more) -> Suite:
    return Suite(name, parts, **more)


def tasks(*names: str, title: str = "part", settings: SuiteSettings = ALL) -> SuitePart:
    return SuitePart(title, tuple((SuiteTask(name, settings),) for name in names))


def parts_of(each: Suite, templates: dict[str, tuple[str, ...]]) -> dict:
    return {
        entry: [(entry.task, template, entry.title) for template in templates.get(entry.task, ("t",))]
        for entry in suite_entries(each)
    }


def groups_of(each: Suite, templates=None) -> dict[str, tuple[str, ...]]:
    layout = layout_of(each, parts_of(each, templates or {}))
    return {group.name: group.members for group, _ in layout.groups}


def test_templates_are_gathered_under_their_task() -> None:
    one = suite(tasks("glue/rte", "glue/cola"), name="tasks")
    layout = layout_of(one, parts_of(one, {"glue/rte": ("a", "b c")}))
    assert layout.names == ("glue_rte_a", "glue_rte_b_c", "glue_cola")
    assert groups_of(one, {"glue/rte": ("a", "b c")}) == {"glue_rte": ("glue_rte_a", "glue_rte_b_c")}
    assert groups_of(one) == {}


def test_a_suite_is_a_group_of_its_parts_and_these_of_their_tasks() -> None:
    assert groups_of(suite(tasks("a/b", "a/c"))) == {"own": ("a_b", "a_c")}
    two = suite(tasks("a/b", "a/c", title="x y"), tasks("a/d", title="z"))
    assert groups_of(two, {"a/b": ("s", "t")}) == {
        "a_b": ("a_b_s", "a_b_t"),
        "own_x_y": ("a_b", "a_c"),
        "own_z": ("a_d",),
        "own": ("own_x_y", "own_z"),
    }


def test_a_suite_within_a_suite_is_a_group_within() -> None:
    inner = suite(tasks("a/b", title="one"), tasks("a/c", title="two"), name="inner")
    outer = suite(SuitePart("within", suite=inner), tasks("a/d", title="beside"))
    assert groups_of(outer) == {
        "own_within_one": ("a_b",),
        "own_within_two": ("a_c",),
        "own_within": ("own_within_one", "own_within_two"),
        "own_beside": ("a_d",),
        "own": ("own_within", "own_beside"),
    }


def test_what_is_not_there_is_in_no_group() -> None:
    two = suite(tasks("a/b", title="x"), tasks("a/c", title="z"))
    there = {entry: parts for entry, parts in parts_of(two, {}).items() if entry.task == "a/b"}
    found = {group.name: group.members for group, _ in layout_of(two, there).groups}
    assert found == {"own_x": ("a_b",), "own": ("own_x",)}


def test_a_task_under_two_titles_is_two_groups() -> None:
    part = SuitePart("p", tuple((SuiteTask("a/b", ALL, title),) for title in ("plain", "with words")))
    found = groups_of(suite(part), {"a/b": ("s", "t")})
    assert found["a_b_plain"] == ("a_b_s_plain", "a_b_t_plain")
    assert found["own"] == ("a_b_plain", "a_b_with_words")


def test_a_task_that_two_suites_within_ask_is_told_apart_by_their_titles() -> None:
    inner = suite(tasks("a/b", title="only"), name="inner")
    outer = suite(SuitePart("x", suite=inner), SuitePart("y", suite=inner))
    assert layout_of(outer, parts_of(outer, {})).names == ("a_b_t_x__only", "a_b_t_y__only")
    found = groups_of(outer, {"a/b": ("s", "t")})
    assert found["a_b_x__only"] == ("a_b_s_x__only", "a_b_t_x__only")
    assert found["own"] == ("own_x", "own_y") and found["own_y"] == ("a_b_y__only",)


@pytest.mark.parametrize("name", [name for name in suite_names() if name != "t0_p3"])
def test_built_in_suites_have_a_place_in_lm_evals_layout(name: str) -> None:
    check_formats(("lm_eval",), load_suite(name), Catalog())


def test_what_a_layout_cannot_hold_is_known_beforehand() -> None:
    check_formats(("fusionbench",), load_suite("glue"), Catalog())
    check_formats((), load_suite("t0"), Catalog())
    with pytest.raises(UsageError, match="asked in several ways: super_glue/rte; fix: name one template"):
        check_formats(("lm_eval", "fusionbench"), load_suite("t0"), Catalog())
    one = SuiteSettings()
    both = suite(tasks("mini/rte", "glue/rte", settings=one))
    check_formats(("lm_eval",), both, Catalog())
    with pytest.raises(UsageError, match="two tasks have one key in this layout: glue/rte"):
        check_formats(("fusionbench",), both, Catalog())
    with pytest.raises(UsageError, match="one name in lm-eval's layout: runs__a"):
        check_formats(("lm_eval",), both, Catalog(), models=("runs/a", "runs__a"))
    with pytest.raises(UsageError, match="one name in lm-eval's layout: mini_rte"):
        check_formats(("lm_eval",), suite(tasks("mini/rte", settings=one), name="mini_rte"), Catalog())


def answered(entry: SuiteEntry, template: str, right: list[int], metric: str) -> TaskEvaluation:
    written = ["yes" if hit else "no" for hit in right]
    score = score_predictions(metric, written, ["yes", "no"] * (len(right) // 2), options=("yes", "no"))
    predictions = tuple(
        Prediction(f"{entry.task}#{template}/v/{row}", "?", ("yes", "no")[row % 2], text, True, text)
        for row, text in enumerate(written)
    )
    return TaskEvaluation(
        entry.task,
        template,
        "v",
        MODES["rank"],
        "toy",
        ("yes", "no"),
        (score,),
        {metric: 0.5},
        predictions,
        0.1,
    )


def result_of(each: Suite, templates: dict[str, tuple[str, ...]], metrics: dict[str, str]):
    asked, parts = [], []
    for place, entry in enumerate(suite_entries(each)):
        own = templates.get(entry.task, ("t",))
        asked.append(AskedEntry(entry, tuple(own)))  # type: ignore[arg-type]
        metric = metrics.get(entry.task, "accuracy")
        rights = [[(row * (place + 2) + i) % 3 > 0 for row in range(20)] for i in range(len(own))]
        parts += [answered(entry, *pair, metric) for pair in zip(own, rights, strict=True)]
    evaluation = Evaluation(tuple(parts), 0, 64, 512, 0.1, 1, 1, {}, {})
    result = suite_result("m", each, asked, (), evaluation, seed=0)
    told = {e: [(p.task, p.template, p.label) for p in s.parts] for e, s in result.entries.items()}
    return result, {g.name: g for g in lm_eval_groups(result, layout_of(each, told))}


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("average", ["sets", "parts"])
def test_groups_come_to_what_the_suite_says(average, normalised) -> None:
    parts = (tasks("a/b", "a/c", title="x"), tasks("a/d", title="z"))
    each = suite(*parts, average=average, normalised=normalised)
    result, groups = result_of(each, {"a/b": ("s", "t")}, {})
    assert groups["own"].value == pytest.approx(result.headline.value)
    for title, name in (("x", "own_x"), ("z", "own_z")):
        assert groups[name].value == pytest.approx(result.parts[title].value)
    key = "normalised_average,none" if normalised else "acc,none"
    assert {groups[name].key for name in ("own", "own_x", "own_z")} == {key}
    scores = {entry.task: found.score for entry, found in result.entries.items()}
    assert (groups["a_b"].key, groups["a_b"].value) == ("acc,none", scores["a/b"].value)
    shares = {"a/b": 0.25, "a/c": 0.25, "a/d": 0.5} if average == "parts" else dict.fromkeys(scores, 1 / 3)
    errors = {
        task: score.standard_error / (1 - score.chance if normalised else 1) for task, score in scores.items()
    }
    by_hand = math.sqrt(sum((shares[task] * error) ** 2 for task, error in errors.items()))
    assert groups["own"].standard_error == pytest.approx(by_hand)


def test_a_mean_of_different_metrics_is_an_average_and_one_of_a_perplexity_and_a_share_is_none() -> None:
    each = suite(tasks("a/b", "a/c"))
    result, groups = result_of(each, {}, {"a/c": "matthews"})
    assert groups["own"].key == "average,none"
    assert groups["own"].value == pytest.approx(result.headline.value)
    entries = list(result.entries.values())
    loss = score_predictions("accuracy", ["yes"], ["yes"])
    object.__setattr__(entries[1], "score", type(loss)("perplexity", 9.0, 1, 8.0, 10.0, 100.0, 0.5))
    told = {e: [(p.task, p.template, p.label) for p in s.parts] for e, s in result.entries.items()}
    (group,) = lm_eval_groups(result, layout_of(each, told))
    assert group.key == ""
