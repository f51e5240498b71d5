"""What a training is evaluated by, with a tiny model on the built-in world."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from ramekin.errors import DataError, UsageError
from ramekin.recipes import train
from ramekin.recipes.compose import compose
from ramekin.recipes.models import open_named
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import places_of
from ramekin.recipes.progress import SilentProgress
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.training.evaluator import TrainingEvaluator, metric_names, training_evaluator
from ramekin.tensors.encode import Encoded
from ramekin.tensors.tokenizer import load_tokenizer, token_ids
from ramekin.train.events import EvalDone, TrainEvent

Evaluate = Callable[..., TrainingEvaluator]
WORDS = ("model=base", "tasks=[mini/rte,mini/stsb]", "limit=8", "eval_limit=4", "max_steps=2", "eval_every=1")


@pytest.fixture(autouse=True)
def _base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "base", seed=0)


def config_of(*words: str) -> TrainConfig:
    return compose("train", TrainConfig, [*WORDS, *words])


def evaluator_of(*words: str) -> TrainingEvaluator:
    config, progress = config_of(*words), SilentProgress()
    opened = open_named(config.model, places_of(config), progress, device="cpu")
    tokenizer = load_tokenizer(opened.tokenizer_folder)
    evaluator = training_evaluator(config, places_of(config), opened, tokenizer, progress)
    assert evaluator is not None
    return evaluator


@pytest.mark.parametrize("kinds", ["[scores]", "[loss]", "[scores,loss]"])
@pytest.mark.parametrize("tasks", ["[mini/rte]", "[mini/rte,mini/stsb]"])
def test_the_names_of_metrics_are_known_before_any_is_found(kinds: str, tasks: str) -> None:
    words = (f"eval_with={kinds}", f"eval_tasks={tasks}")
    config = config_of(*words)
    assert sorted(evaluator_of(*words)(None, 1)) == sorted(metric_names(config, places_of(config)))


@pytest.mark.parametrize("carried_out", [train.plan, lambda config: train.execute(config, SilentProgress())])
def test_a_metric_that_is_not_found_is_refused_before_the_first_step(
    carried_out: Callable[[TrainConfig], Outcome],
) -> None:
    """It was noticed at the first evaluation, which may be the last step."""
    with pytest.raises(
        UsageError, match="unknown metric 'mini/rte acuracy': did you mean 'mini/rte accuracy'"
    ):
        carried_out(config_of("best_metric='mini/rte acuracy'"))
    with pytest.raises(UsageError, match="unknown metric 'loss'"):
        carried_out(config_of("best_metric=loss"))
    train.plan(config_of("best_metric=loss", "eval_with=[loss]"))


@pytest.mark.parametrize("word", ["eval_split=''", "eval_with=[]"])
def test_a_metric_to_select_by_needs_an_evaluation(word: str) -> None:
    with pytest.raises(UsageError, match="best_metric: there is no evaluation"):
        config_of("best_metric=average", word)


def test_the_last_and_the_best_evaluation_are_kept_and_no_other() -> None:
    evaluator = evaluator_of()
    heard: list[TrainEvent] = []
    listen = evaluator.keeps_best(heard.append)
    found = {}
    for step, is_best in ((1, False), (2, True), (3, False), (4, False)):
        metrics = evaluator(None, step)
        found[step] = (evaluator._last or (0, None))[1]
        listen(EvalDone(step, metrics, is_best))
    assert [each.step for each in heard] == [1, 2, 3, 4]
    assert evaluator.evaluation(2) is found[2]
    assert evaluator.evaluation(4) is found[4]
    again = evaluator.evaluation(1)
    assert again is not None and again is not found[1]
    assert evaluator_of("eval_with=[loss]").evaluation(1) is None


def test_what_is_lost_of_rows_whose_loss_is_taken_is_counted() -> None:
    evaluator = evaluator_of("eval_with=[loss]", "max_input_tokens=8", "max_target_tokens=2")
    counts = {each.name: each.count for each in evaluator.counters}
    assert counts["validation inputs truncated"] == 8
    assert 0 < counts["validation targets truncated"] <= 8
    assert "validation inputs truncated" not in {each.name for each in evaluator_of().counters}


def test_a_run_tells_the_loss_of_its_result_and_what_was_lost() -> None:
    words = (
        "eval_with=[loss]",
        "eval_every=1",
        "learning_rate=1",
        "max_grad_norm=null",
        "max_target_tokens=2",
    )
    outcome = train.execute(
        config_of(*words, "best_metric=loss", "best_is=highest", "output=out"), SilentProgress()
    )
    lines = map(json.loads, Path("out/events.jsonl").read_text().splitlines())
    losses = [line["metrics"]["loss"] for line in lines if line["event"] == "eval"]
    assert losses[0] > losses[1]  # so that the first is the "best", and the last is not the result
    assert outcome.to_json()["validation_loss"] == losses[0]
    report = json.loads(Path("out/report.json").read_text())
    assert "validation targets truncated" in {each["name"] for each in report["facts"]["counters"]}


def tensors_of(item: Encoded) -> dict[str, torch.Tensor]:
    return {"input_ids": torch.tensor([item.input_ids]), "labels": torch.tensor([item.target_ids])}


def reference_loss(evaluator: TrainingEvaluator, items: Sequence[Encoded]) -> float:
    """The mean over target tokens by the loss that transformers computes, a row at a time."""
    found = [(evaluator.opened.model(**tensors_of(item)).loss.item(), len(item.target_ids)) for item in items]
    return sum(loss * tokens for loss, tokens in found) / sum(tokens for _, tokens in found)


ROOMY = ("eval_with=[loss]", "eval_tasks=[mini/rte]", "max_target_tokens=512")


def test_a_channel_model_is_validated_on_what_it_learns() -> None:
    direct = evaluator_of(*ROOMY).targets
    assert direct is not None
    turned = [dataclasses.replace(i, input_ids=i.target_ids, target_ids=i.input_ids) for i in direct.items]
    evaluator = evaluator_of(*ROOMY, "objective=channel")
    expected = reference_loss(evaluator, turned)
    assert evaluator(None, 1) == {"loss": pytest.approx(expected, rel=1e-5)}
    assert abs(expected - reference_loss(evaluator, direct.items)) > 1e-3


@pytest.mark.parametrize("weight", [0, 3])
def test_a_flipped_model_is_validated_on_the_instruction_under_the_right_label(weight: float) -> None:
    evaluator = evaluator_of(*ROOMY, "objective=flipped", f"objective.unlikelihood_weight={weight}")
    (taught,) = evaluator.taught
    assert all(example.targets.startswith("<extra_id_0>") for example in taught.examples)
    inputs = token_ids(evaluator.tokenizer, [example.inputs for example in taught.examples])
    targets = token_ids(evaluator.tokenizer, [example.targets for example in taught.examples])
    items = [
        Encoded((*i, 1), (*t, 1), example.provenance)
        for i, t, example in zip(inputs, targets, taught.examples, strict=True)
    ]
    assert evaluator(None, 1) == {"loss": pytest.approx(reference_loss(evaluator, items), rel=1e-5)}


def test_validation_rows_that_cannot_be_flipped_are_counted_or_refused(
    own_task: Callable[..., tuple[Path, Path]],
) -> None:
    words = ("eval_with=[loss]", "objective=flipped", "eval_limit=20")
    evaluator = evaluator_of(*words, "eval_tasks=[mini/rte]", "max_input_tokens=40")
    counts = {each.name: each.count for each in evaluator.counters}
    assert evaluator.targets is not None and len(evaluator.targets.items) == 20
    assert 0 < counts["validation inputs truncated"] < 20
    own_task([("snow", 0)], options=("山", "水"), split="validation")  # the vocabulary knows neither
    with pytest.raises(DataError, match="no row to take the loss of: own/wet validation"):
        evaluator_of(*words, "eval_tasks=[own/wet]", "tasks_root=tasks", "data_root=.")
    with pytest.raises(DataError, match="'flipped' cannot be learned from any row"):
        evaluator_of(*words, "eval_tasks=[mini/stsb]")
