"""Tensors as CTranslate2 holds them: what it computes from them, and how they lie in the file."""

import sys

import numpy as np
import pytest
import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.weights.config import t5_config
from ramekin.weights.ctranslate2_file import read_model_file
from ramekin.weights.ctranslate2_library import load_library, open_translator
from ramekin.weights.ctranslate2_spec import refuse_unfit, translator_spec, vocabulary_of, write_spec
from ramekin.weights.seq2seq import build_model, tensors_of, tie_state

pytest.importorskip("ctranslate2")
NAMES = ["<pad>", "</s>", "<unk>", *(f"w{number}" for number in range(61))]
KINDS = {
    "flan": {},
    "t5": {"tied": True, "feed_forward_proj": "relu"},
    "mt5": {"kind": "mt5"},
    "mt5 tied": {"kind": "mt5", "tied": True},
    "gated-silu": {"feed_forward_proj": "gated-silu"},
    "gelu": {"feed_forward_proj": "gelu"},
    "few buckets": {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 50},
    "epsilon": {"layer_norm_epsilon": 1e-2},
    "started by another token": {"decoder_start_token_id": 5},
}


def make(*, kind="t5", tied=False, **more):
    sizes = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3}  # fmt: skip
    model = build_model({**t5_config(**{**sizes, **more}), "model_type": kind}, seed=0, tied=tied)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
            if "EncDecAttention" in name or "relative_attention_bias" in name:
                parameter.mul_(1.5)
    return model


def written(model, folder, quantization="float32", spoil=lambda spec: None):
    folder.mkdir(exist_ok=True)
    spec = translator_spec(model, NAMES)
    spoil(spec)
    write_spec(spec, folder, quantization)
    return folder


def cases(count=6):
    rng = np.random.default_rng(0)
    lengths = [1, 2, 9, 40, 130, 300][:count]
    return [
        ([*rng.integers(3, 64, size=length).tolist(), 1], rng.integers(3, 64, size=7).tolist())
        for length in lengths
    ]


def torch_log_probs(model, source, target):
    start = model.config.decoder_start_token_id
    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[start, *target]])
        ).logits[0]
    return logits.double().log_softmax(-1).numpy()


def their_log_probs(folder, both):
    translator = open_translator(folder, threads=1)
    answers = translator.translate_batch(
        [[NAMES[token] for token in source] for source, _ in both],
        [[NAMES[token] for token in target] for _, target in both],
        beam_size=1, max_input_length=0, max_decoding_length=8, min_decoding_length=0, return_logits_vocab=True,
    )  # fmt: skip
    logits = [np.stack([np.asarray(step).reshape(-1) for step in answer.logits[0]]) for answer in answers]
    return [torch.from_numpy(each).double().log_softmax(-1).numpy() for each in logits]


@pytest.mark.parametrize("kind", KINDS)
def test_every_log_probability_is_torchs(kind, tmp_path):
    model = make(**KINDS[kind])
    both = cases()
    theirs = their_log_probs(written(model, tmp_path / "m"), both)
    for (source, target), found in zip(both, theirs, strict=True):
        assert np.abs(torch_log_probs(model, source, target) - found).max() < 1e-4


@pytest.mark.parametrize("tied", [True, False])
def test_outputs_are_scaled_exactly_where_the_model_scales_them(tied, tmp_path):
    model = make(tied=tied)
    assert tie_state(model).scaled is tied
    found = read_model_file(written(model, tmp_path / "m") / "model.bin")
    assert ("decoder/scale_outputs" in found.variables) is tied
    assert ("decoder/projection/weight" in found.aliases) is tied


def test_one_tensor_is_written_once(tmp_path):
    model = make(tied=True)
    found = read_model_file(written(model, tmp_path / "m") / "model.bin")
    tables = [name for name, each in found.variables.items() if each.shape == (64, 32)]
    assert len(tables) == 1
    held = sum(each.size for each in found.variables.values() if each.shape)
    assert held == 4 * sum(tensor.numel() for tensor in tensors_of(model).values())


@pytest.mark.parametrize("quantization", ["int8", "int8_bfloat16", "bfloat16"])
def test_quantising_leaves_the_model_as_it_was(quantization, tmp_path):
    model = make()
    before = {name: tensor.clone() for name, tensor in tensors_of(model).items()}
    written(model, tmp_path / "m", quantization)
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors_of(model).items())


def test_int8_is_near_and_a_quarter_as_large(tmp_path):
    model = make()
    both = cases()
    folder = written(model, tmp_path / "int8", "int8")
    found = read_model_file(folder / "model.bin")
    assert found.variables["encoder/layer_0/ffn/linear_0/weight"].dtype == "int8"
    assert found.variables["encoder/layer_0/ffn/linear_0/weight_scale"].dtype == "float32"
    assert found.variables["encoder/layer_0/ffn/layer_norm/gamma"].dtype == "float32"
    apart = [
        np.abs(torch_log_probs(model, *each) - own).mean()
        for each, own in zip(both, their_log_probs(folder, both), strict=True)
    ]
    assert 1e-4 < np.mean(apart) < 0.2


def test_a_row_of_zeros_stays_one(tmp_path):
    model = make()
    with torch.no_grad():
        model.lm_head.weight[7] = 0.0
    both = cases(2)
    found = their_log_probs(written(model, tmp_path / "m", "int8"), both)
    assert np.isfinite(np.concatenate(found)).all()


def test_bfloat16_is_bfloat16(tmp_path):
    found = read_model_file(written(make(), tmp_path / "m", "bfloat16") / "model.bin")
    assert {each.dtype for each in found.variables.values() if each.shape} == {"bfloat16"}


def test_umt5_is_refused_with_the_reason():
    with pytest.raises(WeightsError, match="position biases in every layer") as caught:
        translator_spec(make(kind="umt5"), NAMES)
    assert caught.value.fix == "use it with backend=torch"
    refuse_unfit({"model_type": "mt5"})


def test_a_lost_tensor_is_an_error(tmp_path):
    def spoil(spec):
        spec.decoder.layer[1].ffn.linear_1.weight = None

    with pytest.raises(WeightsError, match="decoder/layer_1/ffn/linear_1/weight"):
        written(make(), tmp_path / "m", spoil=spoil)


def test_a_vocabulary_of_another_size_is_an_error(tmp_path):
    spec = translator_spec(make(), NAMES)
    spec.encoder.embeddings[0].weight = torch.zeros(65, 32)
    with pytest.raises(WeightsError, match="size"):
        write_spec(spec, tmp_path, "float32")


def test_the_vocabulary_has_a_name_of_its_own_for_each_id(tokenizer_folder):
    tokenizer = load_tokenizer(tokenizer_folder)
    names = vocabulary_of(tokenizer, len(tokenizer) + 5)
    assert len(set(names)) == len(names) == len(tokenizer) + 5
    assert names[: len(tokenizer)] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert vocabulary_of(tokenizer, 10) == names[:10]


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UsageError) as caught:
        load_library()
    assert caught.value.fix == "pip install 'ramekin[fast]'"
