"""An evaluation read back from its folder, and the difference to it."""

import dataclasses
import json
from pathlib import Path

import pytest

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation, to_json
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.statistics import compare, compare_averages
from ramekin.files import write_json
from ramekin.recipes.earlier import differences, read_earlier
from ramekin.recipes.results import write_predictions_of
from ramekin.text.metrics import score_predictions


def part(task: str, right: list[int]) -> TaskEvaluation:
    written = ["yes" if hit else "no" for hit in right]
    score = score_predictions("accuracy", written, ["yes"] * len(right), options=("yes", "no"))
    predictions = tuple(
        Prediction(
            f"{task}#ask/v/{row}", "asked", "yes", text, text == "yes", text, option_scores={"yes": -1.0}
        )
        for row, text in enumerate(written)
    )
    return TaskEvaluation(
        task, "ask", "v", MODES["rank"], "toy", ("yes", "no"), (score,), {"accuracy": 0.5}, predictions, 0.1
    )


def evaluation(*parts: TaskEvaluation, mode: str = "rank") -> Evaluation:
    parts = tuple(dataclasses.replace(each, mode=MODES[mode]) for each in parts)
    return Evaluation(parts, 0, 64, 512, 0.1, 1, 1, {}, {})


BEFORE = evaluation(part("toy/wet", [1, 0] * 20), part("toy/dry", [1, 0, 0, 0] * 10))
AFTER = evaluation(part("toy/wet", [1, 1] * 20), part("toy/dry", [1, 0, 0, 1] * 10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / "evaluation.json", to_json(BEFORE))
    write_predictions_of(tmp_path / "predictions", BEFORE)
    return tmp_path


def test_what_was_written_is_read(folder: Path) -> None:
    assert read_earlier(folder).tasks == BEFORE.tasks


def test_scored_targets_are_written_without_an_answer_and_read_back(tmp_path: Path) -> None:
    scored = Prediction("toy/wet#ask/v/0", "asked", "yes", "", False, None, log_prob=-1.5, num_tokens=2)
    whole = dataclasses.replace(part("toy/wet", [1]), predictions=(scored,))
    write_json(tmp_path / "evaluation.json", to_json(Evaluation((whole,), 0, 64, 512, 0.1, 1, 1, {}, {})))
    write_predictions_of(tmp_path / "predictions", Evaluation((whole,), 0, 64, 512, 0.1, 1, 1, {}, {}))
    (file,) = (tmp_path / "predictions").iterdir()
    assert json.loads(file.read_text()).keys() == {"id", "inputs", "target", "log_prob", "num_tokens"}
    assert read_earlier(tmp_path).tasks == (whole,)


def test_a_file_from_before_standard_errors_is_read_too(folder: Path) -> None:
    path = folder / "evaluation.json"
    told = json.loads(path.read_text())
    for task in told["tasks"]:
        for score in task["scores"]:
            del score["standard_error"], score["normalised"]
    path.write_text(json.dumps(told))
    (wet, _) = read_earlier(folder).tasks
    assert wet.headline.value == BEFORE.tasks[0].headline.value
    assert wet.headline.standard_error == pytest.approx((0.5 * 0.5 / 40) ** 0.5, rel=0.1)


def test_passages_come_back_and_stand_in_for_those_that_an_older_file_lacks(tmp_path: Path) -> None:
    wet = part("toy/wet", [1, 0] * 20)
    rows = [dataclasses.replace(p, passage=str(row // 4)) for row, p in enumerate(wet.predictions)]
    now = dataclasses.replace(wet, predictions=tuple(rows))
    for name, each in (("new", now), ("old", wet)):
        write_json(tmp_path / name / "evaluation.json", to_json(evaluation(each)))
        write_predictions_of(tmp_path / name / "predictions", evaluation(each))
    assert read_earlier(tmp_path / "new").tasks[0].answers.clusters == now.answers.clusters != ()
    (found,) = differences(read_earlier(tmp_path / "old"), evaluation(now)).tasks.values()
    assert found.test == "paired_cluster_bootstrap"


def test_differences_are_those_of_the_statistics_in_the_order_of_the_columns(folder: Path) -> None:
    found = differences(read_earlier(folder), AFTER)
    pairs = list(zip(BEFORE.tasks, AFTER.tasks, strict=True))
    assert found.tasks == {"wet": compare(*pairs[0]), "dry": compare(*pairs[1])}
    assert found.average == compare_averages(BEFORE.tasks, AFTER.tasks)
    assert found.average.difference == pytest.approx((0.5 + 0.25) / 2) and found.average.low > 0
    assert list(found.to_json()["differences"]) == ["wet", "dry", "Average"]
    turned = evaluation(*reversed(AFTER.tasks))
    assert differences(read_earlier(folder), turned).tasks == dict(reversed(found.tasks.items()))


def test_one_task_has_no_average(folder: Path) -> None:
    found = differences(read_earlier(folder), evaluation(AFTER.tasks[1]))
    assert found.average is None and [each.n for each in found.listed] == [40]


def test_a_perplexity_and_a_share_have_no_average(tmp_path: Path) -> None:
    loss = dataclasses.replace(BEFORE.tasks[1].headline, metric="perplexity", value=2.0, low=1.5, high=2.5)
    scored = Prediction("toy/dry#ask/v/0", "asked", "yes", "", False, None, log_prob=-1.5, num_tokens=2)
    both = dataclasses.replace(
        BEFORE,
        tasks=(
            BEFORE.tasks[0],
            dataclasses.replace(
                BEFORE.tasks[1], scores=(loss,), predictions=(scored,), majority={"perplexity": 0.0}
            ),
        ),
    )
    write_json(tmp_path / "evaluation.json", to_json(both))
    write_predictions_of(tmp_path / "predictions", both)
    found = differences(read_earlier(tmp_path), both)
    assert found.average is None and len(found.tasks) == 2


def test_other_rules_tasks_or_rows_are_refused(folder: Path) -> None:
    earlier = read_earlier(folder)
    with pytest.raises(DataError, match="different rules.*expected mode=t0, got mode=rank"):
        differences(earlier, evaluation(*AFTER.tasks, mode="t0"))
    with pytest.raises(DataError, match="has not these rows.*toy/damp#ask/v"):
        differences(earlier, evaluation(part("toy/damp", [1])))
    with pytest.raises(DataError, match="did not answer the same examples"):
        differences(earlier, evaluation(part("toy/wet", [1, 0])))


def test_a_folder_that_holds_none_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="no evaluation to compare with.*output folder"):
        read_earlier(folder / "predictions")
    (folder / "predictions" / "toy_dry-ask-v.jsonl").unlink()
    with pytest.raises(DataError, match="cannot be read.*toy_dry-ask-v"):
        read_earlier(folder)
    (folder / "evaluation.json").write_text(json.dumps({"tasks": []}))
    with pytest.raises(DataError, match="cannot be read.*mode"):
        read_earlier(folder)
