"""What is refused before anything is computed, and that a model is left as it was."""

import pytest
import torch

from ramekin.errors import DataError, WeightsError
from ramekin.infer.ready import check_inputs, in_evaluation_mode, refuse_fp16, require_finite, start_token
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model


@pytest.fixture
def model():
    config = t5_config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    return build_model(config, seed=0, tied=False)


def test_modules_that_were_training_train_on_even_after_an_error(model):
    model.train()
    model.decoder.eval()
    before = [module.training for module in model.modules()]
    with pytest.raises(KeyboardInterrupt), in_evaluation_mode(model):
        assert not any(module.training for module in model.modules())
        raise KeyboardInterrupt
    assert [module.training for module in model.modules()] == before


def test_an_input_without_tokens_is_named():
    check_inputs([[1], [2, 3]])
    with pytest.raises(DataError, match="an input has no tokens: input 1: expected at least one"):
        check_inputs([[1], []])


def test_the_start_token_is_the_generation_configurations_or_else_the_models(model):
    model.generation_config.decoder_start_token_id = 9
    assert start_token(model) == 9
    model.generation_config.decoder_start_token_id = None
    assert start_token(model) == 0
    model.config.decoder_start_token_id = None
    with pytest.raises(WeightsError, match="which token starts its decoder: config.json"):
        start_token(model)


def test_fp16_is_refused_and_others_are_not(model):
    refuse_fp16(model)
    refuse_fp16(model.to(torch.bfloat16))
    with pytest.raises(WeightsError, match="fp16 is refused.*expected fp32 or bf16"):
        refuse_fp16(model.to(torch.float16))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_shown(bad):
    require_finite(torch.zeros(3))
    with pytest.raises(WeightsError, match=f"logits are not finite: expected finite numbers, got {bad}; fix"):
        require_finite(torch.tensor([1.0, bad, 2.0]))
