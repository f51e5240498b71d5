"""Evaluations as headings, captions, counters and the names of files."""

import dataclasses
import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramekin.recipes.results as module
from ramekin.evaluate.evaluation import Evaluation, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.recipes.results import (
    caption_of,
    columns_of,
    model_folders,
    predictions_file,
    predictions_name,
)
from ramekin.text.score import Score


def part(
    task: str = "glue/rte", template: str = "ask", mode: str = "generate", **changes: object
) -> TaskEvaluation:
    score = Score("accuracy", 0.5, 4, 0.2, 0.8, 0.5, 0.25)
    made = TaskEvaluation(task, template, "validation", MODES[mode], "toy", (), (score,), {}, (), 0.0)
    return dataclasses.replace(made, **changes)


def evaluation(*parts: TaskEvaluation) -> Evaluation:
    return Evaluation(parts, 0, 64, 512, 0.1, 1, 1, {}, {})


def test_the_examples_of_the_docstrings() -> None:
    found = doctest.testmod(module)
    assert found.failed == 0 and found.attempted > 0


@pytest.mark.parametrize(
    ("parts", "columns"),
    [
        ((part(),), ("rte",)),
        ((part(), part("glue/cola")), ("rte", "cola", "Average")),
        ((part(), part(template="say")), ("rte#ask", "rte#say", "Average")),
        ((part(), part("super_glue/rte")), ("glue/rte#ask", "super_glue/rte#ask", "Average")),
        (
            (part(label="yes=agree"), part(label="yes=right")),
            ("glue/rte#ask/validation (yes=agree)", "glue/rte#ask/validation (yes=right)", "Average"),
        ),
    ],
)
def test_no_two_columns_have_one_heading(parts: tuple[TaskEvaluation, ...], columns: tuple[str, ...]) -> None:
    assert columns_of(evaluation(*parts)) == columns


def test_the_caption_tells_rules_exemplars_and_words() -> None:
    assert caption_of(evaluation(part())) == ""
    found = caption_of(
        evaluation(part(mode="t0", shots=2), part(mode="rank", shots=5, words={"yes": "agree"}), part())
    )
    assert found == (
        "Options are ranked by the rules of 't0', 'rank'. "
        "Exemplars before each question: 2, 5. Label words: 'yes' is 'agree'."
    )


class TestFiles:
    def test_predictions(self) -> None:
        assert predictions_file(part()) == "glue_rte-ask-validation.jsonl"
        found = predictions_file(part(label="yes=agree, no=disagree"))
        assert found.startswith("glue_rte-ask-validation-yes-agree-no-disagree-") and found.endswith(".jsonl")

    @given(st.lists(st.text(max_size=80), min_size=2, max_size=4, unique=True))
    def test_no_two_labels_share_a_file_or_leave_the_folder(self, labels: list[str]) -> None:
        names = {predictions_name("glue/rte", "ask", "validation", label) for label in labels}
        assert len(names) == len(labels)
        assert all("/" not in name and name.isascii() for name in names)

    def test_models_have_folders_of_their_own(self) -> None:
        assert model_folders(["runs/rte", "mini/base"]) == {"runs/rte": "runs-rte", "mini/base": "mini-base"}
        assert len(set(model_folders(["a/b", "a-b", "A/b"]).values())) == 3

    def test_long_paths_that_differ_at_their_ends_too(self) -> None:
        models = [f"/{'a/long/path/' * 8}{name}" for name in ("one", "two")]
        found = model_folders(models)
        assert len(set(found.values())) == 2
        assert all(len(name) < 80 and "/" not in name for name in found.values())

    @given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True))
    def test_whatever_the_models_are_called(self, models: list[str]) -> None:
        found = model_folders(models)
        assert list(found) == models and len(set(found.values())) == len(models)
        assert all(name and "/" not in name and not name.startswith(".") for name in found.values())
