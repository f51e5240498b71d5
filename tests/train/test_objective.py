from dataclasses import replace

import pytest
import torch

from ramekin.errors import UsageError
from ramekin.tensors.collate import collate
from ramekin.train.objective import Likelihood, ObjectiveRecipe, sum_by_example, target_logits
from ramekin.weights.adapter import LoraRecipe, attach_lora
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

direct = Likelihood()

KINDS = {
    "untied": {"tied": False},
    "tied": {"tied": True},
    "relu": {"tied": True, "feed_forward_proj": "relu"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_transformers(make_model, make_items, kind):
    model, batch = make_model(**KINDS[kind]), collate(make_items(9))
    losses = direct(model, batch).values
    reference = model(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
    ).loss
    assert losses.shape == (batch.num_target_tokens,)
    torch.testing.assert_close(losses.mean(), reference, rtol=1e-6, atol=0)
    torch.testing.assert_close(losses.sum(), reference * batch.num_target_tokens, rtol=1e-6, atol=0)


@pytest.mark.parametrize("model_type", ["mt5", "umt5"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_family_keeps_its_own_scaling(make_items, model_type, tied):
    config = t5_config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    model = build_model({**config, "model_type": model_type}, seed=0, tied=tied)
    batch = collate(make_items(5))
    whole = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        decoder_input_ids=batch.decoder_input_ids,
    ).logits
    torch.testing.assert_close(target_logits(model, batch), whole.flatten(0, 1)[batch.target_positions])


def test_the_head_is_left_as_it_was(make_model, make_items):
    model, batch = make_model(), collate(make_items(3))
    direct(model, batch)
    assert not model.lm_head._forward_pre_hooks
    with pytest.raises(ValueError):
        target_logits(model, replace(batch, input_ids=None))
    assert not model.lm_head._forward_pre_hooks
    whole = model(input_ids=batch.input_ids, decoder_input_ids=batch.decoder_input_ids).logits
    assert whole.shape == (*batch.labels.shape, 64)


def test_an_adapter_has_the_same_loss_at_its_start(make_model, make_items):
    batch = collate(make_items(4))
    plain = direct(make_model(), batch).values
    wrapped = direct(attach_lora(make_model(), LoraRecipe(rank=2), seed=0), batch).values
    torch.testing.assert_close(plain, wrapped)


def test_losses_sum_by_example(make_model, make_items):
    items = make_items(5)
    model = make_model()
    batch = collate(items)
    sums = sum_by_example(direct(model, batch).values, batch, num_examples=5)
    alone = torch.stack([direct(model, collate([item])).values.sum() for item in items])
    torch.testing.assert_close(sums, alone)


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(UsageError, match="unknown objective 'dierct': did you mean 'direct'"):
        ObjectiveRecipe(name="dierct")
