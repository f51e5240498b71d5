"""What `ramekin evaluate` may be asked, and the suite that it comes to."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ramekin.catalog.suites import load_suite
from ramekin.errors import UsageError
from ramekin.recipes.evaluate_schema import EvaluateConfig, ModeConfig, suite_of
from ramekin.text.suite import SuiteSettings, suite_entries


def config(**values: Any) -> EvaluateConfig:
    return EvaluateConfig.model_validate({"model": "m", **values})


def settings(**values: Any) -> list[SuiteSettings]:
    return [entry.settings for entry in suite_entries(suite_of(config(**values)))]


class TestSuiteOf:
    def test_tasks_without_a_suite_are_put_as_ever(self) -> None:
        suite = suite_of(config(tasks=["mini/rte", "mini/stsb", "mini/rte"]))
        assert (suite.name, [part.title for part in suite.parts]) == ("tasks", ["tasks"])
        assert [entry.task for entry in suite_entries(suite)] == ["mini/rte", "mini/stsb"], "each once"
        assert {entry.settings for entry in suite_entries(suite)} == {
            SuiteSettings(mode="fusionbench", splits=("validation",), templates="first", shots=0)
        }

    def test_what_is_not_said_is_as_the_suite_has_it(self) -> None:
        assert suite_of(config(suite="mini")) == load_suite("mini")
        assert suite_of(config(suite="flan2022")) == load_suite("flan2022")

    @pytest.mark.parametrize(
        ("values", "changed"),
        [
            ({"templates": "all"}, {"templates": "all"}),
            ({"split": "train"}, {"splits": ("train",)}),
            ({"shots": 2}, {"shots": 2}),
            ({"shots": 2, "exemplar_rows": "first"}, {"shots": 2, "exemplar_rows": "first"}),
            ({"shots": 2, "exemplar_split": "validation"}, {"shots": 2, "exemplar_split": "validation"}),
            ({"shots": 2, "shot_form": "qa"}, {"shots": 2, "shot_form": "qa"}),
            ({"thought": "trigger"}, {"thought": "trigger"}),
            ({"options": "none"}, {"options": "none"}),
            ({"metric": "f1_macro"}, {"metric": "f1_macro"}),
            ({"limit": 7}, {"limit": 7}),
            ({"max_input_tokens": 300}, {"max_input_tokens": 300}),
            ({"words": {"yes": "agree"}}, {"words": ((("yes", "agree"),),)}),
            ({"mode": "t0"}, {"mode": "t0", "text_mode": None}),
        ],
    )
    def test_what_is_said_holds_for_every_task(self, values: dict[str, Any], changed: dict[str, Any]) -> None:
        for each in settings(tasks=["mini/rte", "mini/qnli"], **values):
            assert {key: getattr(each, key) for key in changed} == changed
        if "words" not in values:
            before = [entry.settings for entry in suite_entries(load_suite("mini"))]
            for each, old in zip(settings(suite="mini", **values), before, strict=True):
                assert {key: getattr(each, key) for key in changed} == changed
                others = set(SuiteSettings.__dataclass_fields__) - set(changed)
                assert all(getattr(each, key) == getattr(old, key) for key in others)

    def test_a_mode_stands_in_place_of_that_for_free_text_too(self) -> None:
        before = {(each.mode, each.text_mode) for each in settings(suite="flan_held_out")}
        assert before == {("flan", "generate")}
        after = {(each.mode, each.text_mode) for each in settings(suite="flan_held_out", mode="rank")}
        assert after == {("rank", None)}

    def test_tasks_beside_a_suite_are_one_more_part_of_it(self) -> None:
        suite = suite_of(config(suite="flan2022", task="mini/rte"))
        alone = load_suite("flan2022")
        assert suite.name == "flan2022 and tasks"
        assert (suite.average, suite.normalised) == (alone.average, alone.normalised) == ("parts", True)
        assert suite.parts[:-1] == alone.parts
        assert [each.task for each in suite.parts[-1].tasks] == ["mini/rte"]
        assert suite.parts[-1].tasks[0].settings.mode == "fusionbench"

    def test_a_file_and_a_pattern_are_suites(self, tmp_path: Path) -> None:
        path = tmp_path / "own.yaml"
        path.write_text("mode: rank\ntasks: [mini/rte]\n")
        (entry,) = suite_entries(suite_of(config(suite=str(path))))
        assert (entry.task, entry.settings.mode) == ("mini/rte", "rank")
        assert {each.task.partition("/")[0] for each in suite_entries(suite_of(config(suite="mini/*")))} == {
            "mini"
        }

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"task": "mini/rte", "exemplars": "published"}, "'exemplars' says nothing of no exemplars"),
            ({"suite": "mini", "shot_form": "qa"}, "'shot_form' says nothing of no exemplars: .*shots=K"),
            ({"suite": "bbh", "shots": 0, "exemplar_rows": "first"}, "'exemplar_rows' says nothing of no"),
            ({"suite": "bbh", "exemplar_split": "test"}, "'exemplar_split' says nothing of published"),
            (
                {"task": "mini/rte", "thought": "rationale"},
                "shows the reasoning of exemplars, and shots is 0",
            ),
        ],
    )
    def test_what_says_nothing_is_refused(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            suite_of(config(**values))

    def test_a_suite_of_both_may_be_told_of_exemplars_of_a_split(self) -> None:
        found = settings(suite="flan2022", exemplar_rows="first")
        assert {each.exemplar_rows for each in found} == {"first"}


class TestMode:
    def test_a_word_is_a_name(self) -> None:
        assert config(task="mini/rte", mode="rank").mode == ModeConfig(name="rank")
        assert config(task="mini/rte").mode.name is None

    def test_rules_are_what_was_said(self) -> None:
        mode = config(
            task="mini/rte",
            mode={"name": "rank", "option_eos": False, "also": "bytes", "normalisation": "none"},
        ).mode
        assert mode.rules == {"option_eos": False, "also": ("bytes",), "normalisation": "none"}
        assert config(task="mini/rte", mode={"num_beams": 2}).mode.rules == {"num_beams": 2}

    @pytest.mark.parametrize(
        ("mode", "message"),
        [
            ("rnk", "did you mean 'rank'"),
            ({"name": "rank", "option_eoss": False}, "option_eoss"),
            ({"name": "generate", "extraction": "pattern"}, "extraction=pattern and a pattern go together"),
            ({"name": "flipped", "normalisation": "tokens"}, "no normalisation changes the answer"),
            ({"num_beams": 0}, "greater than 0"),
            ({"top_p": 1.5}, "less than or equal to 1"),
            ({"sampling_temperature": -1}, "greater than or equal to 0"),
            ({"extraction": "numbr"}, "'number'"),
        ],
    )
    def test_what_cannot_be_is_refused(self, mode: Any, message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            config(task="mini/rte", mode=mode)


class TestModels:
    def test_one_and_several(self) -> None:
        both = EvaluateConfig.model_validate({"model": "a", "models": ["b", "c"], "task": "mini/rte"})
        assert both.model_names == ("a", "b", "c")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"model": None, "task": "mini/rte"}, "needs a model"),
            ({}, "needs a task or a suite"),
            ({"models": ["m"], "task": "mini/rte"}, "'m' is named twice"),
            ({"models": ["n"], "task": "mini/rte", "against": "before"}, "one model is compared"),
            ({"suite": "mni"}, "unknown suite 'mni': did you mean 'mini'"),
            ({"task": "mini/rte", "metric": "acuracy"}, "did you mean 'accuracy'"),
            ({"task": "mini/rte", "missing": "ignore"}, "'report' or 'error'"),
            ({"task": "mini/rte", "words": {"yess": "agree"}}, "did you mean 'yes'"),
            ({"tasks": ["mini/rte", "mini/cola"], "words": {"yes": "agree"}}, "unknown option 'yes'"),
            ({"task": "mini/rte", "exemplars": "own"}, "'split' or 'published'"),
        ],
    )
    def test_what_cannot_be_is_refused(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            config(**values)
