"""Suites that were answered, made by hand: which rows each model gets right."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.recipes.evaluations.asking import AskedEntry, Missing
from ramekin.recipes.evaluations.found import SuiteResult, suite_result
from ramekin.text.metrics import METRICS, score_answers
from ramekin.text.suite import Suite, SuitePart, SuiteSettings, SuiteTask, suite_entries

Rights = Mapping[str, Sequence[Sequence[int]]]
"""For each entry's name, for each of its templates, which rows are right."""


def answered(task: str, template: str, right: Sequence[int], **changes: Any) -> TaskEvaluation:
    """A task under one template: options a and b, the target always a."""
    predictions = tuple(
        Prediction(
            f"{task}#{template}/v/{row}",
            "asked",
            "a",
            "a" if hit else "b",
            bool(hit),
            "a" if hit else "b",
            option_scores={"a": -1.0 if hit else -2.0, "b": -2.0 if hit else -1.0},
        )
        for row, hit in enumerate(right)
    )
    part = TaskEvaluation(task, template, "v", MODES["rank"], "toy", ("a", "b"), (), {}, predictions, 0.5)
    scores = (score_answers("accuracy", part.answers),)
    majority = {"accuracy": METRICS["accuracy"].majority(part.answers)}
    return dataclasses.replace(part, scores=scores, majority=majority, **changes)


def suite_of(*parts: tuple[str, Sequence[str]], **changes: Any) -> Suite:
    """A suite of parts: (title, names of tasks)."""
    made = tuple(
        SuitePart(title, tuple((SuiteTask(name, SuiteSettings("rank")),) for name in names))
        for title, names in parts
    )
    return Suite("toys", made, **changes)


@pytest.fixture
def toy_suite() -> Callable[..., Suite]:
    return suite_of


@pytest.fixture
def result() -> Callable[..., SuiteResult]:
    """What a model came to: `result(suite, {"toy/wet": [[1, 0]]}, missing=["toy/dry"])`."""

    def make(
        suite: Suite, rights: Rights, *, model: str = "m", missing: Sequence[str] = (), **changes: Any
    ) -> SuiteResult:
        asked, parts = [], []
        entries = [each for each in suite_entries(suite) if each.name not in missing]
        for entry in entries:
            own = [
                answered(entry.task, f"t{place}", right, **changes)
                for place, right in enumerate(rights[entry.name])
            ]
            asked.append(AskedEntry(entry, (_NO_SET,) * len(own)))
            parts += own
        gone = tuple(Missing(each, "no file") for each in suite_entries(suite) if each.name in missing)
        evaluation = Evaluation(tuple(parts), 0, 64, 512, 0.5, 10, 20, {"torch": "2"}, {})
        return suite_result(model, suite, asked, gone, evaluation, seed=3)

    return make


_NO_SET: Any = None
"""What was asked, of which a result takes the count alone."""
