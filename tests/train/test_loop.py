import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import final

import pytest
import torch

from ramekin.errors import DataError, LockedError, ResourceError, StoppedError, UsageError, WeightsError
from ramekin.files import folder_lock
from ramekin.train.events import EvalDone, Notice, StepDone
from ramekin.train.loop import finetune
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.objectives.losses import Losses
from ramekin.weights.adapter import LoraRecipe, attach_lora

KILL = Path(__file__).parents[2] / "benchmarks" / "kill_resume.py"


@pytest.fixture(name="train")
def _train(make_model, make_items, make_recipe, tmp_path):
    """Train a fresh tiny model; returns (model, report)."""

    def train(
        run="run",
        *,
        model=None,
        items=None,
        resume=True,
        on_eval=None,
        progress=None,
        stop_after=None,
        **changes,
    ):
        model = make_model() if model is None else model
        items = make_items(20) if items is None else items
        recipe = make_recipe(**changes)
        if stop_after is not None:
            with pytest.raises(StoppedError):
                finetune(
                    model, items, recipe, run_dir=tmp_path / run, resume=resume, progress=stop_at(stop_after)
                )
            return model, None
        report = finetune(
            model, items, recipe, run_dir=tmp_path / run, resume=resume, on_eval=on_eval, progress=progress
        )
        return model, report

    return train


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


def stop_at(step, number=signal.SIGTERM):
    def progress(event):
        if isinstance(event, StepDone) and event.step == step:
            os.kill(os.getpid(), number)

    return progress


# -- what a run does


def test_a_run_learns_and_reports(train, make_items):
    _, report = train(max_steps=40, items=make_items(16), optimizer="adamw", dropout=0.0)
    assert report.steps == report.steps_this_time == 40
    assert report.epochs[0].loss > report.epochs[-1].loss + 0.5
    assert report.final_loss == report.epochs[-1].loss
    assert (report.examples, len(report.epochs)) == (320, 20)
    assert (report.precision, report.device) == ("fp32", "cpu")
    assert report.trainable_parameters == report.parameters
    assert 0 <= report.padding_share < 1


def test_every_example_is_seen_once_an_epoch(train, make_items):
    items = make_items(20)
    _, report = train(max_steps=None, epochs=2, items=items)
    assert report.steps == 6
    assert [(row.epoch, row.steps, row.examples) for row in report.epochs] == [(0, 3, 20), (1, 3, 20)]
    assert [row.target_tokens for row in report.epochs] == [sum(len(i.target_ids) for i in items)] * 2


def test_equal_runs_are_bitwise_equal(train):
    one, _ = train("one")
    other, _ = train("other")
    assert same(weights(one), weights(other))
    different, _ = train("different", seed=1)
    assert not same(weights(one), weights(different))


def test_micro_batches_do_not_change_the_step(train, logged):
    one, first = train("one", dropout=0.0, micro_batch_tokens=1)
    other, second = train("other", dropout=0.0, micro_batch_tokens=10_000)
    assert logged(first.state.parents[1]) == pytest.approx(logged(second.state.parents[1]), rel=1e-4)
    for name, tensor in weights(one).items():
        torch.testing.assert_close(tensor, weights(other)[name], rtol=1e-3, atol=1e-4)


def test_a_log_line_has_its_numbers(train, events):
    _, report = train(max_steps=5, learning_rate=0.5, schedule="constant", warmup_steps=2)
    lines = events(report.state.parents[1])
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["epoch"] for line in lines] == [0, 0, 0, 1, 1]
    assert [line["learning_rate"] for line in lines] == [0.25, 0.5, 0.5, 0.5, 0.5]
    assert set(lines[0]) == {
        *("event", "step", "epoch", "loss", "grad_norm", "learning_rate", "target_tokens", "seconds"),
        *("padding_share", "tasks"),
    }


def test_a_log_line_can_stand_for_several_steps(train, events):
    _, each = train("each", max_steps=5)
    _, fewer = train("fewer", max_steps=5, log_every=2)
    lines, windows = events(each.state.parents[1]), events(fewer.state.parents[1])
    assert [line["step"] for line in windows] == [2, 4, 5]
    pair = lines[:2]
    mean = sum(x["loss"] * x["target_tokens"] for x in pair) / sum(x["target_tokens"] for x in pair)
    assert windows[0]["loss"] == pytest.approx(mean)


def test_progress_sees_every_step(train):
    seen = []
    train(max_steps=4, progress=seen.append)
    assert [event.step for event in seen] == [1, 2, 3, 4]
    last = seen[-1]
    assert (last.total_steps, last.eta_seconds) == (4, 0.0)
    assert last.examples_per_second > 0
    assert last.tokens_per_second > last.examples_per_second


def test_dropout_mode_and_random_state_are_given_back(train, make_model):
    model = make_model()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    rates = []
    probe = model.encoder.block[0].layer[0]
    probe.register_forward_hook(lambda *_: rates.append((probe.dropout.p, probe.SelfAttention.dropout)))
    train(model=model, dropout=0.3)
    assert set(rates) == {(0.3, 0.3)}
    assert (probe.dropout.p, probe.SelfAttention.dropout, model.config.dropout_rate) == (0.1, 0.1, 0.1)
    assert not model.training
    assert torch.equal(torch.rand(3), expected)


def test_bf16_on_a_cpu_trains_fp32_weights_and_says_so(train, monkeypatch, events):
    monkeypatch.setattr("ramekin.train.placement._processor", lambda: "flags : avx2")
    model, report = train(max_steps=2, precision="bf16")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert report.precision == "bf16"
    assert "twelve times slower" in report.notices[0]
    assert events(report.state.parents[1], "notice")[0]["message"] == report.notices[0]


# -- evaluation


def test_evaluation_at_its_turns_and_at_the_end(train, events):
    modes = []

    def on_eval(model, step):
        modes.append((model.training, torch.is_grad_enabled()))
        torch.rand(7)
        return {"accuracy": step / 10}

    seen = []
    evaluated, report = train("evaluated", max_steps=5, eval_every=2, on_eval=on_eval, progress=seen.append)
    assert report.evals == tuple(EvalDone(step, {"accuracy": step / 10}) for step in (2, 4, 5))
    assert [event for event in seen if isinstance(event, EvalDone)] == list(report.evals)
    assert modes == [(False, False)] * 3
    plain, _ = train("plain", max_steps=5)
    assert same(weights(evaluated), weights(plain))
    assert [line["step"] for line in events(report.state.parents[1], "eval")] == [2, 4, 5]


# -- the best of them


def rising_and_falling(_, step):
    return {"accuracy": [0.1, 0.5, 0.4, 0.5, 0.2, 0.3, 0.1, 0.0][step - 1], "loss": step / 10}


def test_the_best_evaluation_is_the_result(train, tmp_path, events):
    best, report = train("best", eval_every=1, best_metric="accuracy", on_eval=rising_and_falling)
    plain, _ = train("plain", max_steps=6)
    second, _ = train("second", stop_after=2)
    assert report.best.step == 2
    assert [result.is_best for result in report.evals] == [True, True, False, False, False, False]
    assert same(weights(best), weights(second))
    assert not same(weights(best), weights(plain))
    assert [event.get("best") for event in events(tmp_path / "best", "eval")][:3] == [True, True, None]


def test_a_low_value_can_be_the_best(train):
    _, report = train(eval_every=1, best_metric="loss", on_eval=rising_and_falling)
    assert report.best.step == 1
    _, report = train(
        "low", eval_every=1, best_metric="accuracy", best_is="lowest", on_eval=rising_and_falling
    )
    assert report.best.step == 1
    _, report = train("high", eval_every=1, best_metric="loss", best_is="highest", on_eval=rising_and_falling)
    assert report.best.step == report.steps


def test_training_stops_when_nothing_gets_better(train):
    options = {"eval_every": 1, "max_steps": 8, "best_metric": "accuracy", "on_eval": rising_and_falling}
    model, report = train("patient", patience=3, **options)
    assert (report.steps, report.best.step, report.stopped_early) == (5, 2, True)
    again, second = train("patient", patience=3, **options)
    assert (second.steps_this_time, second.best.step) == (0, 2)
    assert same(weights(model), weights(again))
    assert not train("impatient", **options)[1].stopped_early


def test_evaluations_can_come_by_epoch(train):
    _, report = train(max_steps=7, eval_every_epochs=1, on_eval=lambda *_: {"x": 1.0})
    assert [result.step for result in report.evals] == [3, 6, 7]  # 20 examples: three steps of 8


def test_a_metric_to_select_by_needs_an_evaluation(train, tmp_path):
    with pytest.raises(UsageError, match="no evaluation to select the model by: best_metric"):
        train(best_metric="accuracy", eval_every=1)
    assert not (tmp_path / "run" / "state").exists()


def test_an_unknown_metric_names_the_nearest(train):
    with pytest.raises(UsageError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        train(eval_every=1, best_metric="acuracy", on_eval=rising_and_falling)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_is_kept(train, tmp_path, bad, events):
    """A correlation may be undefined; the run is saved all the same, and goes on."""

    def on_eval(_, step):
        return {"pearson": bad if step == 2 else step / 10}

    options = {"eval_every": 1, "checkpoint_every": 1, "max_steps": 3, "on_eval": on_eval}
    with pytest.raises(StoppedError):
        train(progress=stop_at(3), **options)
    _, report = train(**options)
    assert repr([result.metrics["pearson"] for result in report.evals]) == repr([0.1, bad, 0.3])
    lines = (tmp_path / "run" / "events.jsonl").read_text()
    assert "NaN" not in lines and "Infinity" not in lines
    assert events(tmp_path / "run", "eval")[1]["metrics"] == {"pearson": str(bad)}


@pytest.mark.parametrize("stops", [(1,), (2, 3), (3, 5), (4,)])
def test_a_stopped_run_keeps_its_best(train, stops):
    options = {"eval_every": 1, "checkpoint_every": 2, "best_metric": "accuracy"}
    straight, whole = train("straight", on_eval=rising_and_falling, **options)
    for step in stops:
        with pytest.raises(StoppedError):
            train("stopped", on_eval=rising_and_falling, progress=stop_at(step), **options)
    resumed, report = train("stopped", on_eval=rising_and_falling, **options)
    assert same(weights(straight), weights(resumed))
    assert (report.best, report.evals) == (whole.best, whole.evals)


# -- tasks and memory


def test_every_task_has_its_loss(train, make_items, tmp_path, events):
    items = make_items(20)
    _, report = train(max_steps=None, epochs=2, items=items)
    assert {name: loss.examples for name, loss in report.tasks.items()} == {"toy/dry": 20, "toy/wet": 20}
    tokens = {
        task: 2 * sum(len(i.target_ids) for i in items if i.provenance.task == task) for task in report.tasks
    }
    assert {name: loss.target_tokens for name, loss in report.tasks.items()} == tokens
    summed = sum(loss.summed_loss for loss in report.tasks.values())
    assert summed == pytest.approx(sum(row.loss * row.target_tokens for row in report.epochs))
    line = events(tmp_path / "run")[0]
    mean = sum(loss * count for loss, count in line["tasks"].values()) / line["target_tokens"]
    assert mean == pytest.approx(line["loss"])


@pytest.mark.parametrize("method", ["update", "grad_norm"])
def test_too_little_memory_for_the_optimizer_is_told(train, monkeypatch, method):
    def full(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(f"ramekin.train.strategy.Replicated.{method}", full)
    told = r"do not fit .*: step 1, cpu: got tried to allocate 2 GiB; fix: use optimizer=adafactor"
    with pytest.raises(ResourceError, match=told):
        train()


def test_a_warmup_that_is_never_over_is_told_once(train):
    told = "the warm-up of 12 steps is longer than the run of 6: the learning rate ends at 0.005 and never"
    with pytest.raises(StoppedError):
        train("long", warmup_steps=12, progress=stop_at(2))
    _, report = train("long", warmup_steps=12)
    assert report.notices == ("continuing after step 2",)
    assert train("again", warmup_steps=12)[1].notices[0].startswith(told)
    assert train("whole", warmup_steps=6)[1].notices == ()


def test_too_little_memory_is_told_and_remembered(train, monkeypatch):
    seen = []

    class Small:
        parts = ()

        def __call__(self, model, batch):
            seen.append(batch.input_ids.numel() + batch.labels.numel())
            if seen[-1] > 120:
                raise torch.OutOfMemoryError("too much")
            return Likelihood()(model, batch)

    monkeypatch.setattr("ramekin.train.loop.build_objective", lambda _: Small())
    options = {"micro_batch_tokens": 10_000, "dropout": 0.0}
    with pytest.raises(StoppedError):
        train("small", progress=stop_at(3), **options)
    assert sum(size > 120 for size in seen) <= 2, "once is enough"
    seen.clear()
    small, report = train("small", **options)
    assert max(seen) <= 120, "a resumed run need not find out again"
    assert report.steps == 6
    monkeypatch.undo()
    large, _ = train("large", **options)
    for name, tensor in weights(small).items():
        torch.testing.assert_close(tensor, weights(large)[name], rtol=1e-3, atol=1e-4)


# -- resume


KINDS = {
    "full": ({}, range(1, 7)),  # at every step, so within epochs and at their ends
    "adafactor": ({"optimizer": "adafactor"}, (3, 4)),
    "unscaled": ({"optimizer": "adafactor", "scale_parameter": False}, (3, 4)),
    "logged": ({"log_every": 3}, (2, 5)),
    "packed": ({"packing": True}, (3, 5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_resumes_bit_identical(train, kind, tmp_path, events):
    more, stops = KINDS[kind]
    changes = {"max_steps": 7, "warmup_steps": 2, **more}
    straight, whole = train("straight", **changes)
    for step in stops:
        with pytest.raises(StoppedError, match=f"stopped by SIGTERM after step {step}; the state is saved"):
            train("stopped", progress=stop_at(step), **changes)
    resumed, report = train("stopped", **changes)
    assert same(weights(straight), weights(resumed))
    assert report.steps_this_time == 7 - stops[-1]
    assert [row.loss for row in report.epochs] == [row.loss for row in whole.epochs]
    logs = [
        [(e["step"], e["loss"], e["grad_norm"]) for e in events(tmp_path / r)]
        for r in ("straight", "stopped")
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied_models_resume(train, make_model, tied):
    straight, _ = train("straight", model=make_model(tied=tied))
    with pytest.raises(StoppedError):
        train("stopped", model=make_model(tied=tied), progress=stop_at(3, signal.SIGINT))
    resumed, _ = train("stopped", model=make_model(tied=tied))
    assert same(weights(straight), weights(resumed))
    assert (resumed.lm_head.weight is resumed.shared.weight) is tied


def test_an_adapter_resumes_and_saves_only_itself(train, make_model):
    def adapted():
        return attach_lora(make_model(), LoraRecipe(rank=2, dropout=0.2), seed=3)

    straight, report = train("straight", model=adapted())
    with pytest.raises(StoppedError):
        train("stopped", model=adapted(), progress=stop_at(3))
    resumed, _ = train("stopped", model=adapted())
    assert same(weights(straight), weights(resumed))
    assert report.trainable_parameters < report.parameters
    base = weights(make_model())
    assert torch.equal(weights(resumed)["base_model.model.shared.weight"], base["shared.weight"])
    assert (report.state / "weights.safetensors").stat().st_size < 8 * report.trainable_parameters + 10_000


def test_a_killed_save_is_made_up_for_by_the_one_before(train, tmp_path, events):
    straight, _ = train("straight", checkpoint_every=2)
    with pytest.raises(StoppedError):
        train("damaged", checkpoint_every=2, progress=stop_at(5))
    (tmp_path / "damaged" / "state" / "step-000005" / "optimizer.safetensors").write_bytes(b"")
    seen = []
    resumed, report = train("damaged", checkpoint_every=2, progress=seen.append)
    assert same(weights(straight), weights(resumed))
    notices = [event.message for event in seen if isinstance(event, Notice)]
    assert "step-000005" in notices[0]
    assert notices[1] == "continuing after step 4"
    assert report.notices == tuple(notices)
    assert [event["step"] for event in events(tmp_path / "damaged")] == list(range(1, 7))


def test_a_kill_while_the_only_state_is_replaced_loses_nothing(train, tmp_path):
    """A run that was stopped after its last step ends in a state of that step, too."""
    straight, _ = train("straight", max_steps=3)
    train("killed", max_steps=3, stop_after=3)
    state = tmp_path / "killed" / "state"
    (state / "step-000003").rename(state / f".tmp-step-000003-old-{os.getpid()}")
    resumed, report = train("killed", max_steps=3)
    assert report.steps_this_time == 0
    assert same(weights(straight), weights(resumed))


def test_a_finished_run_returns_at_once(train):
    trained, first = train(eval_every=3, on_eval=lambda *_: {"x": 1.0})

    def never(*_):
        raise AssertionError("a finished run was continued")

    again, second = train(eval_every=3, on_eval=never, progress=never)
    assert second.steps_this_time == 0
    assert same(weights(trained), weights(again))
    assert (second.epochs, second.evals, second.steps) == (first.epochs, first.evals, first.steps)


def test_states_are_saved_at_their_turns_and_at_the_end(train):
    _, report = train(max_steps=7, checkpoint_every=2)
    assert sorted(path.name for path in report.state.parent.iterdir()) == ["step-000006", "step-000007"]
    assert report.state.name == "step-000007"


def test_a_state_that_has_grown_old_is_followed_by_the_next(train, tmp_path, monkeypatch):
    """Without a number of steps between states a kill would undo all of a run."""

    def killed(event):
        if isinstance(event, StepDone) and event.step == 4:
            raise SystemExit

    straight, _ = train("straight")
    monkeypatch.setattr("ramekin.train.loop.SAVE_SECONDS", 0.0)
    with pytest.raises(SystemExit):
        train("killed", progress=killed)
    resumed, report = train("killed")
    assert report.steps_this_time == 3
    assert same(weights(straight), weights(resumed))
    clock = iter(range(0, 10_000, 250))
    monkeypatch.setattr("ramekin.train.loop.SAVE_SECONDS", 600.0)
    monkeypatch.setattr("ramekin.train.loop.time.monotonic", lambda: next(clock))
    _, report = train("slow", max_steps=8)
    states = {path.name for path in report.state.parent.iterdir()}
    assert "step-000008" in states and len(states) == 2
    with monkeypatch.context() as patch:
        patch.setattr("ramekin.train.loop.SAVE_SECONDS", 0.0)
        _, report = train("told", checkpoint_every=4)
    assert {path.name for path in report.state.parent.iterdir()} == {"step-000004", "step-000006"}


def test_another_torch_is_told(train, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("ramekin.train.saving.torch.__version__", "2.0.0")
        with pytest.raises(StoppedError):
            train(progress=stop_at(2))
    _, report = train()
    assert report.notices[0].startswith("saved with torch 2.0.0, continued with ")
    assert train()[1].notices == ()


def test_an_evaluation_that_a_signal_prevented_is_made_after_the_resume(train, tmp_path, events):
    options = {"max_steps": 4, "eval_every": 2, "on_eval": lambda _, step: {"step": step}}
    for step in (2, 4):
        with pytest.raises(StoppedError):
            train(progress=stop_at(step), **options)
        assert [e["step"] for e in events(tmp_path / "run", "eval")] == list(range(2, step, 2))
    _, report = train(**options)
    assert [result.step for result in report.evals] == [2, 4]
    assert [e["step"] for e in events(tmp_path / "run", "eval")] == [2, 4]


def test_an_evaluation_that_a_kill_undid_is_logged_once(train, tmp_path, events):
    options = {"max_steps": 4, "eval_every": 2, "on_eval": lambda _, step: {"step": step}}

    def killed(event):
        if isinstance(event, EvalDone):
            raise SystemExit

    with pytest.raises(StoppedError):
        train(progress=stop_at(2), **options)
    for _ in range(2):
        with pytest.raises(SystemExit):
            train(progress=killed, **options)
    train(**options)
    assert [e["step"] for e in events(tmp_path / "run", "eval")] == [2, 4]


def test_a_signal_during_the_last_evaluation_is_not_lost(train):
    def on_eval(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    with pytest.raises(StoppedError):
        train(on_eval=on_eval)
    _, report = train(on_eval=on_eval)
    assert report.steps_this_time == 0


def test_another_recipe_is_refused_by_name(train, tmp_path):
    with pytest.raises(StoppedError):
        train(progress=stop_at(2))
    before = (tmp_path / "run" / "events.jsonl").read_text()
    with pytest.raises(UsageError, match=r"another one: .*expected recipe.learning_rate=0.01, got .*=0.02"):
        train(learning_rate=0.02)
    assert (tmp_path / "run" / "events.jsonl").read_text() == before


def test_a_run_is_not_overwritten_unasked(train):
    train()
    with pytest.raises(UsageError, match="the folder holds a run already: .*fix: add resume"):
        train(resume=False)


# -- what goes wrong


@final
class Poisoned:
    """The usual objective, until `poison` is applied to what it gives."""

    parts = ()

    def __init__(self, poison):
        self.poison = poison

    def __call__(self, model, batch):
        return Losses(self.poison(Likelihood()(model, batch).values, batch))


def test_a_bad_example_is_named_and_the_good_state_kept(train, make_items, monkeypatch):
    def poison(losses, batch):
        calls.append(0)
        bad = (batch.example_of_target == int(batch.input_ids.shape[0] > 1)) & (len(calls) > 10)
        return torch.where(bad, torch.nan, losses)

    calls = []
    monkeypatch.setattr("ramekin.train.loop.build_objective", lambda _: Poisoned(poison))
    with pytest.raises(WeightsError) as caught:
        train(items=make_items(20), max_steps=50, checkpoint_every=1)
    message = str(caught.value)
    assert "the loss is not finite at step" in message
    assert "tasks toy/" in message
    assert "examples toy/" in message
    assert "got loss nan" in message
    assert "the last good state is " in message


def test_a_bad_gradient_names_the_tasks_of_the_step(train, monkeypatch, make_items):
    def explode(losses, _):
        losses.register_hook(lambda gradient: gradient * torch.inf)
        return losses

    monkeypatch.setattr("ramekin.train.loop.build_objective", lambda _: Poisoned(explode))
    with pytest.raises(
        WeightsError, match=r"gradient is not finite at step 1; the step was not taken"
    ) as caught:
        train(items=make_items(8))
    assert "tasks toy/dry, toy/wet, examples " in str(caught.value)
    assert "and 3 more" in str(caught.value)
    assert "no state was saved yet" in str(caught.value)


def test_weights_that_were_bad_before_are_named(train, make_model, tmp_path):
    model = make_model()
    with torch.no_grad():
        model.encoder.final_layer_norm.weight[0] = torch.nan
    with pytest.raises(WeightsError, match=r"weight encoder.final_layer_norm.weight was already not finite"):
        train(model=model)
    assert not list(tmp_path.glob("run/state/*"))


def test_weights_that_overflow_are_never_saved(train, tmp_path):
    with pytest.raises(WeightsError, match="not finite"):
        train(learning_rate=1e12, max_grad_norm=None, schedule="constant", weight_decay=1e12, max_steps=50)
    assert not list(tmp_path.glob("run/state/step-*"))


def test_a_full_disk_leaves_the_state_before(train, tmp_path, monkeypatch):
    real = __import__("ramekin.train.state", fromlist=["write_tensors"]).write_tensors
    calls = []

    def write(path, tensors):
        calls.append(path)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        return real(path, tensors)

    monkeypatch.setattr("ramekin.train.state.write_tensors", write)
    with pytest.raises(ResourceError, match="cannot write: .*step-000003: got No space left"):
        train(checkpoint_every=1)
    monkeypatch.undo()
    assert sorted(p.name for p in (tmp_path / "run/state").iterdir()) == ["step-000001", "step-000002"]
    resumed, _ = train(checkpoint_every=1)
    straight, _ = train("straight")
    assert same(weights(straight), weights(resumed))


def test_two_runs_in_one_folder_are_refused(train, tmp_path):
    holder = threading.Event()
    with folder_lock(tmp_path / "run"), pytest.raises(LockedError, match="another process is writing"):
        train()
    holder.set()


def test_no_examples_is_an_error(train):
    with pytest.raises(DataError, match="no examples to train on"):
        train(items=[])


def test_half_precision_weights_are_refused(train, make_model):
    with pytest.raises(
        WeightsError, match=r"weights are trained in fp32: .*expected float32, got torch.bfloat16"
    ):
        train(model=make_model().to(torch.bfloat16))


def test_a_state_of_other_tensors_is_refused(train, tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        train(progress=stop_at(2))
    monkeypatch.setattr("ramekin.train.saving.refuse_difference", lambda *_, **__: None)
    monkeypatch.setattr(
        "ramekin.train.strategy.trainable_parameters", lambda model: {"other": model.shared.weight}
    )
    with pytest.raises(WeightsError, match="saved state is of another model: .*step-000002"):
        train()


# -- kills


def killed(*options):
    done = subprocess.run([sys.executable, str(KILL), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", ["full", "flipped"])
def test_kill_at_the_stages_of_saving(kind):
    figures = killed("--failpoints", "--steps", "6", "--every", "5", "--kind", kind)
    assert figures["kills"] == figures["runs"] == figures["equal"] == figures["logged_once"] >= 7


@pytest.mark.slow
def test_kill_at_every_stage_of_saving():
    figures = killed("--failpoints", "--steps", "8", "--kind", "all")
    assert figures["kills"] == figures["equal"] == figures["logged_once"] >= 3 * 30


@pytest.mark.slow
def test_kills_at_random_moments():
    figures = killed("--kills", "30", "--kind", "all")
    assert figures["kills"] == 30
    assert figures["good"]
