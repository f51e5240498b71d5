"""Every metric that a task names exists and can be computed on answers of that task's kind."""

import numpy as np
import pytest

from ramekin.catalog import load_task, task_names
from ramekin.errors import DataError
from ramekin.evaluate.answers import answers_of
from ramekin.text.metrics import METRICS
from ramekin.text.render import render
from ramekin.text.strict_yaml import Document
from ramekin.text.task_yaml import parse_task

TASKS = [load_task(name) for name in task_names()]


def test_every_metric_that_the_catalogue_names_exists() -> None:
    named = {metric for task in TASKS for metric in task.metrics}
    assert named <= set(METRICS)
    assert named >= {*METRICS} - {"f1", "matthews", "pearson", "perplexity"}


def test_every_task_has_what_its_metrics_need() -> None:
    for task in TASKS:
        assert not {"f1", "multirc_f1a"} & set(task.metrics) or len(task.options) == 2, task.name
        assert "multirc_em" not in task.metrics or task.question is not None, task.name
        assert not {"f1_macro", "matthews"} & set(task.metrics) or len(task.options) >= 2, task.name
        assert not {"pearson", "spearman"} & set(task.metrics) or task.kind == "number", task.name
        # By SQuAD's rule "-5" is "5".
        assert task.kind != "number" or "exact_match" not in task.metrics, task.name


def test_writing_the_target_is_wholly_right_by_every_metric() -> None:
    for task in TASKS:
        if task.sample is None:
            continue
        example = render(task, task.sample, split="sample", row=0)
        answers = answers_of([example], [example.targets], options=task.options)
        for metric in {*task.metrics} - {
            "f1",
            "multirc_f1a",
            "matthews",
            "pearson",
            "spearman",
        }:  # undefined on one example
            assert METRICS[metric].prepare(answers)(np.ones((1, 1))).tolist() == [1.0], (task.name, metric)


@pytest.mark.parametrize(
    ("wrong", "near"), [("rouge_l", "rougeL"), ("exactmatch", "exact_match"), ("acuracy", "accuracy")]
)
def test_an_unknown_metric_is_refused_with_the_nearest(wrong: str, near: str) -> None:
    data = {
        "source": {"local": "toy", "obtain": "made here", "splits": {"train": "train"}},
        "columns": {"text": "string"},
        "kind": "text",
        "answer": "text",
        "metrics": ["accuracy", wrong],
        "templates": {"ask": "{{ text }} ||| {{ answer }}"},
    }
    with pytest.raises(DataError, match=f"toy.yaml:7.*unknown metric '{wrong}': did you mean '{near}'"):
        parse_task("toy/free", Document(data, {("metrics",): 7}), where="toy.yaml")


def test_exact_match_of_questions_wants_to_know_the_questions() -> None:
    data = {
        "source": {"local": "toy", "obtain": "made here", "splits": {"train": "train"}},
        "columns": {"text": "string", "label": "integer"},
        "kind": "classification",
        "options": ["no", "yes"],
        "answer": "label",
        "metrics": ["multirc_em"],
        "templates": {"ask": "{{ text }} ||| {{ answer }}"},
    }
    with pytest.raises(DataError, match="'multirc_em' needs 'question', an expression"):
        parse_task("toy/free", Document(data, {}), where="toy.yaml")
    assert parse_task("toy/free", Document({**data, "question": "text"}, {}), where="toy.yaml").question
