"""The decoder's layers over a batch equal transformers' own, and the biases are those of the distances."""

import warnings

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from ramekin.errors import WeightsError
from ramekin.infer.layers import Layers
from ramekin.infer.linear import Packed
from ramekin.tensors.collate import collate_inputs
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

INPUTS = [[4, 9, 3, 8, 1], [7, 1], [5, 6, 30, 1]]
TARGETS = torch.tensor([[0, 11, 12, 13, 14], [0, 21, 1, 0, 0], [0, 31, 32, 1, 0]])


def tiny(kind="t5", *, tied=False, buckets=32, feed_forward="gated-gelu"):
    config = t5_config(
        vocab_size=50, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_decoder_layers=3, num_heads=2,
        feed_forward_proj=feed_forward, relative_attention_num_buckets=buckets, relative_attention_max_distance=24,
    )  # fmt: skip
    return build_model({**config, "model_type": kind}, seed=0, tied=tied)


def causal(layers, length):
    """Self-attention as in a plain teacher-forced pass, its biases laid out from those of the distances."""
    tables = layers.distance_biases(length)
    steps = torch.arange(length)
    back = steps[:, None] - steps[None]

    def attend(index, queries, keys, values):
        bias = tables[index][:, (length - 1 - back).clamp(max=length - 1)]
        mask = bias.masked_fill(back < 0, torch.finfo(bias.dtype).min)[None]
        return scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=1.0)

    return attend


@torch.inference_mode()
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("feed_forward", ["gated-gelu", "relu"])
def test_a_teacher_forced_pass_equals_transformers(kind, tied, packs, feed_forward):
    model = tiny(kind, tied=tied, feed_forward=feed_forward)
    ids, mask = collate_inputs(INPUTS)
    expected = model(input_ids=ids, attention_mask=mask, decoder_input_ids=TARGETS, use_cache=False).logits
    layers = Layers(model, packed=Packed() if packs else None)
    read = layers.read(ids, mask)
    logits = layers.logits(layers.decode(TARGETS, causal(layers, 5), read.attend))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    read.keep([2, 0])
    logits = layers.logits(layers.decode(TARGETS[[2, 0]], causal(layers, 5), read.attend))
    torch.testing.assert_close(logits, expected[[2, 0]], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_several_rows_of_an_input_read_one_copy():
    """In any order and number, and what is left is stored alone when others go."""
    model = tiny()
    layers = Layers(model)
    read = layers.read(*collate_inputs(INPUTS))
    one_each = read.num_bytes
    assert (
        one_each == 2 * 3 * 3 * 2 * 5 * 8 * 4
    )  # keys and values: 3 layers, 3 inputs, 2 heads of 8, 5 tokens
    owners = [2, 0, 1, 2, 2, 0]
    read.keep(owners)
    assert read.num_bytes == one_each
    targets = torch.tensor([[0, 11 + row, 12, 40 - row] for row in range(6)])
    for rows in ([0, 1, 2, 3, 4, 5], [3, 0, 4, 2], [1, 1, 2]):
        owners, targets = [owners[row] for row in rows], targets[rows]
        read.keep(rows)
        assert read.num_bytes == one_each * len(set(owners)) // 3
        ids, mask = collate_inputs([INPUTS[owner] for owner in owners])
        expected = model(
            input_ids=ids, attention_mask=mask, decoder_input_ids=targets, use_cache=False
        ).logits
        logits = layers.logits(layers.decode(targets, causal(layers, 4), read.attend))
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["t5", "umt5"])
def test_the_biases_are_those_of_each_distance(kind):
    """Farther than the buckets reach too, and each layer's own where it has its own."""
    model = tiny(kind, buckets=8)
    layers = Layers(model)
    tables = layers.distance_biases(40)
    assert len(tables) == 3
    assert torch.equal(tables[0], tables[2]) == (kind == "t5")
    for index, block in enumerate(model.decoder.block):
        attention = (block if kind == "umt5" else model.decoder.block[0]).layer[0].SelfAttention
        whole = attention.compute_bias(40, 40)[0]
        for query, key in ((39, 0), (39, 39), (20, 3), (7, 6), (0, 0)):
            assert torch.equal(tables[index][:, 39 - (query - key)], whole[:, query, key])


def test_an_adapter_in_a_model_keeps_working():
    """LoRA's layers stand in place of linear ones: they are called, not read around."""
    from peft import LoraConfig, get_peft_model

    plain = tiny()
    targets = ["q", "k", "v", "o", "wi_0", "wi_1", "wo", "lm_head"]
    config = LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
        wrapped = get_peft_model(tiny(), config).eval()
    ids, mask = collate_inputs(INPUTS)

    def logits(model):
        layers = Layers(model, packed=Packed())
        read = layers.read(ids, mask)
        return layers.logits(layers.decode(TARGETS, causal(layers, 5), read.attend))

    with torch.inference_mode():
        expected = wrapped(input_ids=ids, attention_mask=mask, decoder_input_ids=TARGETS).logits
        torch.testing.assert_close(logits(wrapped), expected, atol=1e-5, rtol=1e-5)
        assert float((logits(plain) - expected).abs().max()) > 0.1


@torch.inference_mode()
def test_a_hook_on_a_layer_is_not_passed_over():
    model = tiny()
    seen = []
    for part in (model.encoder.block[0].layer[0].SelfAttention.q, model.decoder.block[1].layer[2].layer_norm):
        part.register_forward_hook(lambda *_: seen.append(1))
    layers = Layers(model, packed=Packed())
    read = layers.read(*collate_inputs(INPUTS))
    layers.decode(TARGETS, causal(layers, 5), read.attend)
    assert len(seen) == 2


@torch.inference_mode()
def test_weights_that_change_count_where_they_are_not_copied():
    model, (ids, mask) = tiny(), collate_inputs(INPUTS)
    layers = Layers(model)
    before = layers.read(ids, mask)._states.clone()
    model.encoder.block[0].layer[1].DenseReluDense.wo.weight.mul_(2.0)
    assert not torch.allclose(layers.read(ids, mask)._states, before)


def test_another_architecture_is_refused():
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=20, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=8,
    )  # fmt: skip
    with pytest.raises(WeightsError, match=r"cannot be decoded: BartFor.*expected one of MT5For.*T5For"):
        Layers(BartForConditionalGeneration(config))
