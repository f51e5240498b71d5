"""The evaluation as JSON: complete, strict, without NaN; predictions as JSONL."""

import json

import pytest

from ramekin import files
from ramekin.evaluate.evaluation import to_json, write_predictions
from ramekin.evaluate.mode import MODES, Mode
from ramekin.evaluate.runner import evaluate


@pytest.fixture
def evaluation(model, tokenizer, written, eval_set, number_task, toy_task):
    written(["yes", "dog", "nan", "inf", "2.0"])
    return evaluate(
        model, tokenizer, [eval_set(toy_task(), [1, 0]), eval_set(number_task(), [1, 2, 3])], seed=7
    )


def test_every_number_comes_with_its_certainty(evaluation, tmp_path):
    document = to_json(evaluation)
    files.write_json(tmp_path / "report.json", document)  # refuses NaN
    assert json.loads((tmp_path / "report.json").read_text()) == document
    wet, near = document["tasks"]
    (score,) = wet["scores"]
    assert {
        k: score[k] for k in ("metric", "value", "n", "chance", "majority", "unparsable", "above_chance")
    } == {
        "metric": "accuracy",
        "value": 0.5,
        "n": 2,
        "chance": 0.5,
        "majority": 0.5,
        "unparsable": 1,
        "above_chance": False,
    }
    assert 0 < score["low"] < 0.5 < score["high"] < 1
    assert score["standard_error"] == pytest.approx(0.5 / 2**0.5)
    assert score["normalised"] == 0.0, "as good as chance"
    assert near["scores"][0]["note"] == "2 unparsable predictions counted as 0.0"
    assert [s["metric"] for s in near["scores"]] == ["spearman", "pearson"]
    assert (wet["n"], wet["options"], wet["origin"], wet["skipped"]) == (2, ["no", "yes"], "toy seed=0", 2)
    assert document["seed"] == 7
    assert document["versions"]["torch"]
    assert {
        "seconds",
        "batch_tokens",
        "max_input_tokens",
        "all_parameters",
        "ignored_settings",
    } <= document.keys()


def test_the_mode_is_printed_whole(evaluation):
    (mode,) = to_json(evaluation)["modes"].values()
    assert {part["mode"] for part in to_json(evaluation)["tasks"]} == {"fusionbench"}
    assert mode.keys() == {name for name in Mode.__dataclass_fields__}
    assert (mode["name"], mode["max_new_tokens"], mode["extraction"]) == ("fusionbench", 9, "exact")
    assert mode["keys"] == {"accuracy": "accuracy", "spearman": "spearman_rho"}
    json.dumps([each.to_json() for each in MODES.values()], allow_nan=False)


def test_predictions_are_one_a_line_and_strict_json(evaluation, tmp_path):
    path = tmp_path / "near.jsonl"
    write_predictions(path, evaluation.task("toy/near").predictions)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["prediction"] for row in rows] == ["nan", "inf", "2.0"]
    assert [row["parsed"] for row in rows] == [None, None, 2.0]
    assert rows[0].keys() == {"id", "inputs", "target", "prediction", "correct", "parsed"}
    assert rows[2]["id"] == "toy/near#ask/validation/2"
    assert rows[2]["inputs"].startswith("near ? ")
    write_predictions(path, [])
    assert path.read_text() == ""


def test_references_and_own_options_stand_in_the_rows_that_have_them(
    model, tokenizer, written, choice_set, tmp_path
):
    written(["cat", "new"])
    each = choice_set([(["cat", "dog"], 0, ["cat", "bird"]), (["old", "new"], 0, [])])
    (part,) = evaluate(model, tokenizer, [each]).tasks
    write_predictions(tmp_path / "pick.jsonl", part.predictions)
    rows = [json.loads(line) for line in (tmp_path / "pick.jsonl").read_text().splitlines()]
    assert (rows[0]["references"], rows[0]["options"]) == (["cat", "bird"], ["cat", "dog"])
    assert ("references" in rows[1], rows[1]["options"]) == (False, ["old", "new"])
    assert part.answers.accepted == (("cat", "bird"), ("old",))
    assert part.answers.choices == (("cat", "dog"), ("old", "new"))


def test_passages_stand_in_the_rows_that_have_them_and_in_the_scores(
    model, tokenizer, written, eval_set, toy_task, tmp_path
):
    written(["yes", "no", "yes", "no"])
    task = toy_task(passage="label")
    each = eval_set(task, [0, 1, 0, 1])
    (part,) = (evaluation := evaluate(model, tokenizer, [each])).tasks
    passages = [example.passage for example in each.examples]
    assert part.answers.clusters == tuple(passages)
    assert to_json(evaluation)["tasks"][0]["scores"][0]["clusters"] == 2
    write_predictions(tmp_path / "wet.jsonl", part.predictions)
    rows = [json.loads(line) for line in (tmp_path / "wet.jsonl").read_text().splitlines()]
    assert [row["passage"] for row in rows] == passages
    (plain,) = evaluate(model, tokenizer, [eval_set(toy_task(), [0, 1, 0, 1])]).tasks
    assert (plain.answers.clusters, plain.headline.clusters) == ((), 0)
    assert part.headline.value == plain.headline.value and part.headline.high > plain.headline.high


def test_exact_match_of_questions_by_the_rows_that_were_written(
    model, tokenizer, written, eval_set, toy_task, tmp_path
):
    written(["no", "yes", "no", "yes"])
    task = toy_task(question="label", metrics=["multirc_em"])
    each = eval_set(task, [0, 1, 1, 1])
    (part,) = evaluate(model, tokenizer, [each], mode="generate").tasks
    questions = tuple(example.question for example in each.examples)
    assert part.answers.questions == questions and len(set(questions)) == 2
    assert (part.headline.metric, part.headline.value, part.headline.n) == ("multirc_em", 0.5, 2)
    write_predictions(tmp_path / "wet.jsonl", part.predictions)
    rows = [json.loads(line) for line in (tmp_path / "wet.jsonl").read_text().splitlines()]
    assert tuple(row["question"] for row in rows) == questions and "passage" not in rows[0]
