"""The JSON layout of FusionBench's report, key for key."""

import json

import pytest

from ramekin.errors import UsageError
from ramekin.evaluate.fusionbench import fusionbench_report, model_info, report_keys
from ramekin.evaluate.runner import evaluate


def test_keys_order_and_fractions(model, tokenizer, written, eval_set, number_task, toy_task):
    sets = [
        eval_set(toy_task("glue/other"), [1, 0]),
        eval_set(number_task("glue/stsb"), [1, 2]),
        eval_set(toy_task("glue/rte"), [1, 0]),
        eval_set(toy_task("glue/cola"), [1, 1]),
    ]
    written(["yes", "yes", "1.0", "2.0", "yes", "no", "dog", "yes"])
    report = fusionbench_report(evaluate(model, tokenizer, sets))
    total = sum(p.numel() for p in model.parameters())
    assert json.dumps(report) == json.dumps(
        {
            "model_info": {"trainable_params": total, "all_params": total, "trainable_percentage": 1.0},
            "cola": {"accuracy": 0.5},
            "rte": {"accuracy": 1.0},
            "stsb": {"spearman_rho": 0.9999999999999999},
            "other": {"accuracy": 0.5},
        }
    )


def test_an_undefined_correlation_is_no_nan(model, tokenizer, written, eval_set, number_task):
    written(["nan", "nan"])
    report = fusionbench_report(evaluate(model, tokenizer, [eval_set(number_task("glue/stsb"), [1, 2])]))
    assert json.loads(json.dumps(report, allow_nan=False))["stsb"] == {"spearman_rho": 0.0}


def test_two_tasks_of_one_key_are_refused(model, tokenizer, written, eval_set, toy_task):
    written(["yes", "no"])
    evaluation = evaluate(
        model, tokenizer, [eval_set(toy_task("glue/rte"), [1]), eval_set(toy_task("mini/rte"), [1])]
    )
    with pytest.raises(
        UsageError, match="two tasks have one key in this layout: mini/rte; fix: evaluate them apart"
    ):
        fusionbench_report(evaluation)


def test_a_task_under_several_templates_is_refused():
    assert report_keys(["glue/rte", "glue/cola"]) == ("rte", "cola")
    with pytest.raises(
        UsageError, match="one score a task, and this one was asked in several ways: glue/rte"
    ):
        report_keys(["glue/rte", "glue/cola", "glue/rte"])


def test_the_seed_pages_model_info():
    expected = {"trainable_params": 247577856, "all_params": 247577856, "trainable_percentage": 1.0}
    assert model_info(247577856, 247577856) == expected
    assert model_info(1, 4)["trainable_percentage"] == 0.25
    assert model_info(0, 0)["trainable_percentage"] == 0.0
