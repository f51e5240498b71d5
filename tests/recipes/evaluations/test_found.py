"""What a suite came to, by hand: headline, parts, what is missing, and all of it as JSON."""

import dataclasses
import json

import pytest

from ramekin.text.suite import Suite, SuitePart, SuiteSettings, SuiteTask, changed


def right(hits, n=10):
    return [1] * hits + [0] * (n - hits)


RIGHTS = {
    "toy/wet": [right(6)],
    "toy/dry": [right(9)],
    "toy/damp": [right(3), right(5)],
}


@pytest.fixture
def suite(toy_suite):
    return toy_suite(("one", ["toy/wet", "toy/dry"]), ("two", ["toy/damp"]))


def test_the_headline_is_the_mean_of_data_sets_or_of_parts(suite, toy_suite, result):
    found = result(suite, RIGHTS)
    assert [score.score.value for score in found.entries.values()] == pytest.approx([0.6, 0.9, 0.4])
    assert found.headline.value == pytest.approx((0.6 + 0.9 + 0.4) / 3)
    assert found.headline.num_tasks == 3 and found.headline.n == 30
    by_parts = toy_suite(("one", ["toy/wet", "toy/dry"]), ("two", ["toy/damp"]), average="parts")
    assert result(by_parts, RIGHTS).headline.value == pytest.approx((0.75 + 0.4) / 2)
    assert {title: each.value for title, each in found.parts.items()} == {
        "one": pytest.approx(0.75),
        "two": pytest.approx(0.4),
    }


def test_normalised_it_is_of_the_way_from_chance(toy_suite, result):
    suite = toy_suite(("one", ["toy/wet", "toy/dry"]), normalised=True)
    found = result(suite, RIGHTS)
    assert found.headline.value == pytest.approx((0.2 + 0.8) / 2)
    assert found.headline.chance == 0.0
    assert found.parts["one"].value == found.headline.value
    assert result(toy_suite(("one", ["toy/wet", "toy/dry"])), RIGHTS).headline.chance == 0.5


def test_a_tasks_score_is_what_the_suite_says_of_its_templates(suite, result):
    rights = {**RIGHTS, "toy/damp": [right(2), right(3), right(10)]}
    for over, value in (("mean", 0.5), ("median", 0.3)):
        found = result(changed(suite, over_templates=over), rights)
        assert list(found.entries.values())[2].score.value == pytest.approx(value)
        assert found.parts["two"].value == pytest.approx(value)


def test_of_what_is_there_the_shares_are_shared(suite, result):
    found = result(suite, RIGHTS, missing=["toy/dry"])
    assert found.headline.value == pytest.approx((0.6 + 0.4) / 2)
    assert [entry.name for entry in found.entries] == ["toy/wet", "toy/damp"]
    assert found.how_partial == "Partial: 2 of 3 tasks; the data of these is missing: toy/dry."
    assert result(suite, RIGHTS).how_partial == ""
    alone = result(suite, RIGHTS, missing=["toy/wet", "toy/dry"])
    assert list(alone.parts) == ["two"], "of a part that is not there nothing is told"
    assert alone.headline.value == pytest.approx(0.4)


def test_a_task_in_two_suites_within_is_two_entries(result):
    """MMLU direct and in steps: the same task, settings and all; the path alone differs."""
    inner = Suite("inner", (SuitePart("in", ((SuiteTask("toy/wet", SuiteSettings("rank")),),)),))
    outer = Suite("outer", (SuitePart("one", suite=inner), SuitePart("two", suite=inner)))
    found = result(outer, {"toy/wet": [right(6)]})
    assert [entry.path for entry in found.entries] == [("one", "in"), ("two", "in")]
    assert found.headline.num_tasks == 2 and list(found.parts) == ["one", "two"]
    told = found.to_json()
    assert [(each["path"], each["share"]) for each in told["entries"]] == [
        (["one", "in"], 0.5),
        (["two", "in"], 0.5),
    ]


def test_as_json(suite, result):
    told = json.loads(json.dumps(result(suite, RIGHTS, missing=["toy/dry"]).to_json(), allow_nan=False))
    assert told["suite"] == "toys"
    assert told["headline"]["value"] == pytest.approx(0.5)
    assert (told["headline"]["chance"], told["headline"]["normalised"]) == (0.5, False)
    assert told["headline"]["low"] < 0.5 < told["headline"]["high"]
    wet, damp = told["entries"]
    assert (wet["path"], wet["task"], wet["share"], wet["over"]) == (["one"], "toy/wet", 0.5, "mean")
    assert wet["prompts"] == ["toy/wet#t0/v"]
    assert damp["prompts"] == ["toy/damp#t0/v", "toy/damp#t1/v"]
    assert (damp["value"], damp["normalised"]) == (pytest.approx(0.4), pytest.approx(-0.2))
    assert (damp["n"], damp["chance"], damp["note"]) == (10, 0.5, "mean of 2 prompts")
    assert told["missing"] == [{"path": ["one"], "name": "toy/dry", "reason": "no file"}]
    assert told["parts"]["two"]["value"] == pytest.approx(0.4)


def test_a_perplexity_and_a_share_have_no_headline(toy_suite, result):
    found = result(toy_suite(("one", ["toy/wet"]), ("two", ["toy/dry"])), RIGHTS)
    first, _ = found.entries
    loss = dataclasses.replace(found.entries[first].score, metric="perplexity", value=9.0, high=10.0)
    scored = {**found.entries, first: dataclasses.replace(found.entries[first], score=loss)}
    told = dataclasses.replace(found, entries=scored).to_json()
    ends = ("value", "low", "high", "chance")
    assert {told["headline"][end] for end in ends} == {None}
    assert (told["parts"]["one"]["value"], told["parts"]["two"]["value"]) == (9.0, pytest.approx(0.9))
    normalised = dataclasses.replace(found.suite, normalised=True)
    told = dataclasses.replace(found, entries=scored, suite=normalised).to_json()
    assert None not in {told["headline"][end] for end in ends}, "ways from chance to 1 have a mean"
