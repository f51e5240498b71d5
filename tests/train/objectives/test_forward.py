from dataclasses import replace

import pytest
import torch

from ramekin.tensors.collate import collate
from ramekin.train.objectives.forward import target_labels, target_logits
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model


@pytest.mark.parametrize("model_type", ["t5", "mt5", "umt5"])
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


def test_the_head_is_not_run_on_padding(make_model, make_items):
    model, items = make_model(), make_items(7)
    seen = []
    model.lm_head.register_forward_hook(
        lambda _, inputs, output: seen.append((inputs[0].shape, output.shape))
    )
    target_logits(model, collate(items))
    targets = sum(len(item.target_ids) for item in items)
    assert seen == [((targets, 16), (targets, 64))]


def test_the_head_is_left_as_it_was(make_model, make_items):
    model, batch = make_model(), collate(make_items(3))
    target_logits(model, batch)
    assert not model.lm_head._forward_pre_hooks
    with pytest.raises(ValueError):
        target_logits(model, replace(batch, input_ids=None))
    assert not model.lm_head._forward_pre_hooks
    whole = model(input_ids=batch.input_ids, decoder_input_ids=batch.decoder_input_ids).logits
    assert whole.shape == (*batch.labels.shape, 64)


def test_labels_are_those_of_the_items(make_items):
    items = make_items(6)
    assert target_labels(collate(items)).tolist() == [i for item in items for i in item.target_ids]
