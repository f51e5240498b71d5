import pytest
import torch
from transformers.trainer_pt_utils import LabelSmoother

from ramekin.errors import DataError
from ramekin.tensors.collate import collate
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.weights.adapter import LoraRecipe, attach_lora

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


def test_the_smoothed_loss_is_that_of_transformers(make_model, make_items):
    model, batch = make_model(), collate(make_items(9))
    output = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        decoder_input_ids=batch.decoder_input_ids,
    )
    reference = LabelSmoother(epsilon=0.1)(output, batch.labels)
    losses = Likelihood(0.1)(model, batch)
    torch.testing.assert_close(losses.values.mean(), reference, rtol=1e-6, atol=0)
    torch.testing.assert_close(losses.parts["likelihood"], direct(model, batch).values.sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("max_tokens", [1, 40, 100_000])
def test_the_gradient_is_that_of_the_plain_sum(make_model, make_items, assert_same, smoothing, max_tokens):
    for model, rel in ((make_model(), 1e-6), (make_model().double(), 1e-12)):
        assert_same(
            model, make_items(9), Likelihood(smoothing), max_tokens=max_tokens, rel=rel, smoothing=smoothing
        )


def test_an_adapter_has_the_same_loss_at_its_start(make_model, make_items):
    batch = collate(make_items(4))
    plain = direct(make_model(), batch).values
    wrapped = direct(attach_lora(make_model(), LoraRecipe(rank=2), seed=0), batch).values
    torch.testing.assert_close(plain, wrapped)


def test_bf16_autocast_leaves_the_loss_in_fp32(make_model, make_items):
    model, batch = make_model(), collate(make_items(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = direct(model, batch).values
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, direct(model, batch).values, rtol=0.1, atol=0.1)


def test_inputs_under_a_wrong_label_are_refused(make_model, make_pairs):
    with pytest.raises(DataError, match="has no use for them.*fix: train with objective=flipped"):
        direct(make_model(), collate(make_pairs(3)))
