from dataclasses import replace

import pytest
import torch

from ramekin.errors import UsageError
from ramekin.train.feed import Listed
from ramekin.train.identity import identity_of, refuse_difference
from ramekin.weights.adapter import LoraRecipe, attach_lora


def difference(saved, current):
    with pytest.raises(UsageError, match="unfinished run in this folder is another one: somewhere") as caught:
        refuse_difference(saved, current, where="somewhere")
    return str(caught.value)


@pytest.fixture(name="identity")
def _identity(make_model, make_items, make_recipe):
    def identity(*, model=None, items=None, **changes):
        feed = Listed(items or make_items(9))
        return identity_of(model or make_model(), feed.identity, make_recipe(**changes), {"name": "direct"})

    return identity


def test_the_same_run_is_the_same(identity):
    refuse_difference(identity(), identity(), where="somewhere")


@pytest.mark.parametrize("key", ["checkpoint_every", "eval_every", "gradient_checkpointing", "log_every"])
def test_what_does_not_change_the_weights_may_change(identity, key):
    refuse_difference(identity(), identity(**{key: 3}), where="somewhere")


@pytest.mark.parametrize(
    ("key", "value"), [("learning_rate", 0.5), ("seed", 1), ("micro_batch_tokens", 99), ("dropout", None)]
)
def test_a_recipe_key_is_named_with_both_values(identity, key, value):
    before = getattr_of(identity(), key)
    message = difference(identity(), identity(**{key: value}))
    assert f"expected recipe.{key}={before}, got recipe.{key}={value}" in message


def getattr_of(identity, key):
    return identity["recipe"][key]


def test_every_different_key_is_named(identity):
    message = difference(identity(), identity(seed=5, learning_rate=0.25))
    assert "recipe.seed=5" in message
    assert "recipe.learning_rate=0.25" in message


def test_other_data_is_named(identity, make_items):
    items = make_items(9)
    swapped = [items[1], items[0], *items[2:]]
    relabelled = [replace(items[0], target_ids=(5, 1)), *items[1:]]
    for other in (swapped, relabelled):
        assert "data.sha256" in difference(identity(), identity(items=other))
    assert "data.examples=8" in difference(identity(), identity(items=items[:8]))


def test_other_starting_weights_are_named(identity, make_model):
    assert "model.sha256" in difference(identity(), identity(model=make_model(seed=2)))
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1e-6
    assert "model.sha256" in difference(identity(), identity(model=model))


def test_an_adapter_on_another_base_is_named(identity, make_model):
    one, other = (attach_lora(make_model(seed=seed), LoraRecipe(rank=2), seed=0) for seed in (1, 2))
    assert "model.sha256" in difference(identity(model=one), identity(model=other))


def test_what_selects_the_model_may_not_change(identity):
    chosen = {"best_metric": "accuracy", "eval_every": 2}
    assert "recipe.eval_every=3" in difference(identity(**chosen), identity(**{**chosen, "eval_every": 3}))


@pytest.mark.parametrize(("metric", "best"), [(None, "highest"), ("accuracy", "highest"), ("loss", "lowest")])
def test_which_value_is_the_best_is_told_whether_or_not_it_is_said(identity, metric, best):
    """States of older versions have it said."""
    chosen = {"best_metric": metric, "eval_every": 2}
    assert getattr_of(identity(**chosen), "best_is") == best
    refuse_difference(identity(**chosen, best_is=best), identity(**chosen), where="somewhere")
