"""The self-test: sound conversions pass, spoilt ones are refused with the place and both numbers."""

import numpy as np
import pytest
import torch

from ramekin.errors import WeightsError
from ramekin.infer.ctranslate_check import EXACT, WORST, self_test
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.weights.config import t5_config
from ramekin.weights.ctranslate2_library import open_translator
from ramekin.weights.ctranslate2_spec import translator_spec, vocabulary_of, write_spec
from ramekin.weights.seq2seq import build_model, tensors_of

pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


@pytest.fixture
def check(tokenizer, tmp_path):
    """`check(kind=…, tied=…, spoil=…)`: write a tiny model, spoilt on the way, and test it."""

    def checking(
        *, kind="t5", tied=False, spoil=None, quantization="float32", sharpness=1.0, model=None, seed=0
    ):
        if model is None:
            model = make(len(tokenizer), kind=kind, tied=tied, sharpness=sharpness)
        names = vocabulary_of(tokenizer, len(tokenizer))
        spec = translator_spec(model, names)
        if spoil:
            spoil(spec)
        write_spec(spec, tmp_path, quantization)
        translator = open_translator(tmp_path, threads=1)
        exact = quantization == "float32"
        return self_test(model, translator, names, tokenizer, is_exact=exact, seed=seed)

    return checking


def make(vocab_size, *, kind="t5", tied=False, sharpness=1.0):
    config = t5_config(vocab_size=vocab_size, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4)
    model = build_model({**config, "model_type": kind}, seed=0, tied=tied)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm" in name:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
            if "EncDecAttention" in name or "relative_attention_bias" in name:
                parameter.mul_(sharpness)
    return model


@pytest.mark.parametrize(("kind", "tied"), [("t5", False), ("t5", True), ("mt5", False), ("mt5", True)])
def test_a_sound_conversion_passes(check, kind, tied):
    found = check(kind=kind, tied=tied)
    assert found.positions >= 50 and found.inputs >= 6 and found.longest > 1024
    assert found.typical_difference <= EXACT and found.max_anywhere <= WORST
    assert found.equal_greedy == 1.0 and found.compute_type == "float32"


def test_it_is_the_same_every_time_and_another_seed_another(check):
    assert check() == check()
    assert check().max_difference != check(seed=1).max_difference


def scaled(spec):
    spec.decoder.scale_outputs = 32**-0.5


def scaled_by_a_thousandth(spec):
    spec.decoder.scale_outputs = 1.001


def swapped_layers(spec):
    spec.decoder.layer[0], spec.decoder.layer[1] = spec.decoder.layer[1], spec.decoder.layer[0]


def transposed(spec):
    matrix = spec.encoder.layer[1].self_attention.linear[1]
    matrix.weight = matrix.weight.T.contiguous()


def other_head(spec):
    head = spec.decoder.projection.weight.clone()
    head[5] += 0.05
    spec.decoder.projection.weight = head


def embedding_as_head(spec):
    spec.decoder.projection.weight = spec.decoder.embeddings.weight


def other_start(spec):
    spec.config.decoder_start_token = "</s>"


def other_gelu(spec):
    for stack in (spec.encoder, spec.decoder):
        stack.activation = np.int8(3)


def shorter_reach(spec):
    for layer in spec.encoder.layer:
        layer.self_attention.relative_attention_max_distance = np.int32(64)


def keys_and_values_swapped(spec):
    linear = spec.decoder.layer[0].attention.linear[1]
    linear.weight = torch.cat(linear.weight.chunk(2)[::-1])


def gate_and_value_swapped(spec):
    ffn = spec.encoder.layer[2].ffn
    ffn.linear_0.weight, ffn.linear_0_noact.weight = ffn.linear_0_noact.weight, ffn.linear_0.weight


SPOILS = [scaled, scaled_by_a_thousandth, swapped_layers, transposed, other_head, embedding_as_head, other_start,
          other_gelu, shorter_reach, keys_and_values_swapped, gate_and_value_swapped]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_spoilt_conversion_is_refused(check, spoil):
    with pytest.raises(WeightsError, match="computes other log-probabilities") as caught:
        check(spoil=spoil)
    error = caught.value
    assert error.kind == "self-test" and "position" in error.where and "tokens" in error.where
    expected, got = float(error.expected.split(",")[0]), float(error.got.split(";")[0])
    assert expected != got


def test_a_quantised_one_is_refused_where_it_loses_too_much(check):
    with pytest.raises(WeightsError, match="nats on average") as caught:
        check(spoil=scaled, quantization="int8", sharpness=2.0, kind="mt5")
    assert caught.value.fix.startswith("quantization=float32, or max_loss=")


def test_int8_passes_and_tells_its_loss(check):
    found = check(quantization="int8")
    assert 1e-4 < found.mean_difference < 0.1 and 0.5 < found.equal_greedy <= 1.0
    assert found.compute_type == "int8_float32"


def test_nan_never_passes(check):
    def spoil(spec):
        head = spec.decoder.projection.weight.clone()
        head[9] = float("nan")
        spec.decoder.projection.weight = head

    for quantization in ("float32", "bfloat16"):
        with pytest.raises(WeightsError):
            check(spoil=spoil, quantization=quantization)


def test_rounding_is_no_fault_where_torchs_is_as_large(check, tokenizer, monkeypatch):
    """With bounds below the rounding of fp32, what torch computes in fp64 decides."""
    monkeypatch.setattr("ramekin.infer.ctranslate_check.EXACT", 1e-9)
    monkeypatch.setattr("ramekin.infer.ctranslate_check.WORST", 1e-9)
    model = make(len(tokenizer), sharpness=2.0)
    before = {name: tensor.clone() for name, tensor in tensors_of(model).items()}
    assert check(model=model).typical_difference > 1e-9
    for spoil in (scaled_by_a_thousandth, shorter_reach):
        with pytest.raises(WeightsError, match="computes other log-probabilities"):
            check(model=model, spoil=spoil)
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors_of(model).items())
    assert all(tensor.dtype == torch.float32 for tensor in tensors_of(model).values())
