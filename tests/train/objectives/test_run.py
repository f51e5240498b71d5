"""Objectives in a run: what its log says, and that it is continued as it was begun."""

import os
import signal

import pytest
import torch

from ramekin.errors import DataError, StoppedError, UsageError
from ramekin.tensors.collate import collate
from ramekin.train.events import StepDone
from ramekin.train.loop import finetune
from ramekin.train.objective import FlippedLikelihood, ObjectiveRecipe

FLIPPED = ObjectiveRecipe(name="flipped")


@pytest.fixture(name="train")
def _train(make_model, make_pairs, make_recipe, tmp_path):
    def train(objective=FLIPPED, *, items=None, run="run", progress=None, **changes):
        model = make_model()
        finetune(
            model,
            make_pairs(20) if items is None else items,
            make_recipe(**changes),
            run_dir=tmp_path / run,
            resume=True,
            objective=objective,
            progress=progress,
        )
        return model

    return train


def stop_after(step):
    def progress(event):
        if isinstance(event, StepDone) and event.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return progress


def test_both_terms_are_logged_unweighted(train, make_model, make_pairs, tmp_path, events):
    train(max_steps=2, global_batch=20, dropout=0.0)
    first = events(tmp_path / "run")[0]
    assert first["loss"] == pytest.approx(first["likelihood"] + 3 * first["unlikelihood"], rel=1e-6)
    batch = collate(make_pairs(20))
    losses = FlippedLikelihood(1.0, 1e-6)(make_model(), batch)
    tokens = int((~batch.under_wrong_label).sum())
    assert first["target_tokens"] == tokens
    for name, total in losses.parts.items():
        assert first[name] == pytest.approx(total.item() / tokens, rel=1e-5)


def test_a_stopped_run_goes_on_to_the_same_bits(train, tmp_path, events):
    whole = train(run="whole", dropout=0.1, log_every=3)
    with pytest.raises(StoppedError):
        train(run="stopped", dropout=0.1, log_every=3, progress=stop_after(2))
    rest = train(run="stopped", dropout=0.1, log_every=3)
    for one, other in zip(whole.parameters(), rest.parameters(), strict=True):
        assert torch.equal(one, other)
    told = [[{**line, "seconds": 0} for line in events(tmp_path / run)] for run in ("whole", "stopped")]
    assert told[0] == told[1]


def test_another_objective_does_not_continue_a_run(train):
    with pytest.raises(StoppedError):
        train(progress=stop_after(1))
    with pytest.raises(
        UsageError, match=r"objective.unlikelihood_weight=3.0.*objective.unlikelihood_weight=1.0"
    ):
        train(ObjectiveRecipe(name="flipped", unlikelihood_weight=1.0))


def test_data_that_does_not_fit_the_objective_is_refused(train, make_items, make_pairs):
    with pytest.raises(DataError, match="needs the inputs under a wrong label"):
        train(items=make_items(20))
    with pytest.raises(DataError, match="has no use for them"):
        train(ObjectiveRecipe(), items=make_pairs(20), run="other")
    with pytest.raises(DataError, match="some examples have inputs under a wrong label"):
        train(items=[*make_pairs(10), *make_items(10)], run="mixed", micro_batch_tokens=10_000)
