"""Greedy decoding equals transformers' own, whatever shares a batch, and each input is decoded once."""

import random

import pytest
import torch

from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.infer.generate import generate, ignored_settings
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

VOCAB = 90


def tiny(kind="t5", *, tied=False, seed=0, feed_forward="gated-gelu", ends=3.0):
    """A random model whose logits are far apart and whose rows end after different numbers of tokens."""
    config = t5_config(
        vocab_size=VOCAB,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=3,
        feed_forward_proj=feed_forward,
    )
    model = build_model({**config, "model_type": kind}, seed=seed, tied=tied)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "EncDecAttention" in name or "relative_attention_bias" in name:
                parameter.mul_(6.0)
        model.lm_head.weight[1] *= ends
    return model


def prompts(n, *, longest=30, seed=0):
    rng = random.Random(seed)
    return [[rng.randrange(3, VOCAB) for _ in range(rng.randrange(1, longest))] + [1] for _ in range(n)]


def reference(model, inputs, max_new_tokens, batch):
    """transformers' generate on padded batches in the given order; rows cut after their `</s>`."""
    rows = []
    for start in range(0, len(inputs), batch):
        part = inputs[start : start + batch]
        width = max(map(len, part))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in part])
        written = model.generate(
            input_ids=ids,
            attention_mask=(ids != 0).long(),
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
        ).tolist()
        rows += [row[1 : row.index(1) + 1] if 1 in row else row[1:] for row in written]
    return rows


@pytest.mark.parametrize("batch", [1, 8, 32])
@pytest.mark.parametrize(
    "model",
    [tiny(), tiny(tied=True, seed=1), tiny(seed=2, feed_forward="relu"), tiny("mt5"), tiny("umt5", seed=3)],
    ids=["flan", "t5-1.0", "relu", "mt5", "umt5"],
)
def test_tokens_equal_transformers_generate(model, batch):
    inputs = prompts(33)
    ours = generate(model, inputs, max_new_tokens=9, batch_tokens=400)
    assert ours == reference(model, inputs, 9, batch)
    assert len({tuple(row) for row in ours}) > 5, "the test model says too little to tell decoders apart"


def test_rows_that_end_early_leave_the_batch_and_change_nothing():
    model = tiny(ends=8.0)
    inputs = prompts(40)
    ours = generate(model, inputs, max_new_tokens=24, batch_tokens=10_000)
    lengths = {len(row) for row in ours}
    assert min(lengths) == 1
    assert max(lengths) == 24
    assert len(lengths) > 4
    assert ours == reference(model, inputs, 24, 40)


@pytest.mark.parametrize("batch_tokens", [1, 60, 400, 100_000])
def test_the_batch_does_not_change_an_answer(batch_tokens):
    model, inputs = tiny(), prompts(30)
    alone = [generate(model, [ids], max_new_tokens=6, batch_tokens=1)[0] for ids in inputs]
    assert generate(model, inputs, max_new_tokens=6, batch_tokens=batch_tokens) == alone
    backwards = generate(model, inputs[::-1], max_new_tokens=6, batch_tokens=batch_tokens)
    assert backwards[::-1] == alone


def test_a_row_longer_than_the_budget_gets_a_batch_of_its_own():
    inputs = [[5] * 700 + [1], [7, 1]]
    ours = generate(tiny(), inputs, max_new_tokens=3, batch_tokens=64)
    assert ours == reference(tiny(), inputs, 3, 1)


def test_exactly_max_new_tokens_steps_without_an_end():
    model = tiny(ends=0.0)
    for count in (1, 9):
        written = generate(model, prompts(8), max_new_tokens=count, batch_tokens=100)
        assert all(len(row) == count for row in written)


def test_equal_inputs_are_decoded_once_and_every_asker_is_answered():
    model, inputs = tiny(), prompts(5) * 3
    rows = 0

    def count(module, args, kwargs, output):
        nonlocal rows
        rows += len(kwargs["input_ids"])

    model.encoder.register_forward_hook(count, with_kwargs=True)
    told = []
    written = generate(model, inputs, max_new_tokens=4, batch_tokens=100, on_batch=told.append)
    assert rows == 5
    assert written[:5] == written[5:10] == written[10:]
    assert sorted(index for batch in told for index in batch.indices) == list(range(15))
    for batch in told:
        assert [list(row) for row in batch.outputs] == [written[index] for index in batch.indices]


def test_known_answers_spare_whole_batches_and_are_kept():
    model, inputs = tiny(), prompts(20)
    batches = []
    whole = generate(model, inputs, max_new_tokens=5, batch_tokens=120, on_batch=batches.append)
    assert len(batches) > 3
    known = {index: whole[index] for batch in batches[:2] for index in batch.indices}
    half_known = batches[2].indices[0]
    known[half_known] = [42, 1]
    again = []
    continued = generate(
        model, inputs, max_new_tokens=5, batch_tokens=120, known=known, on_batch=again.append
    )
    assert [b.indices for b in again] == [b.indices for b in batches[2:]]
    assert continued[half_known] == [42, 1]
    assert [row for i, row in enumerate(continued) if i != half_known] == [
        row for i, row in enumerate(whole) if i != half_known
    ]


def test_nothing_asked_nothing_answered():
    assert generate(tiny(), [], max_new_tokens=3, batch_tokens=10) == []


def test_a_training_model_is_decoded_without_dropout_and_trains_on():
    model = tiny()
    expected = generate(model, prompts(6), max_new_tokens=6, batch_tokens=100)
    model.train()
    model.encoder.eval()
    modes = [module.training for module in model.modules()]
    assert generate(model, prompts(6), max_new_tokens=6, batch_tokens=100) == expected
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_training_mode_comes_back_after_an_error():
    model = tiny()
    model.train()
    with torch.no_grad():
        model.lm_head.weight[7, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"logits are not finite: expected finite numbers, got nan; fix"):
        generate(model, prompts(2), max_new_tokens=2, batch_tokens=100)
    assert all(module.training for module in model.modules())


def test_bf16_is_decoded():
    """In bf16 two logits are often equal or nearly so: most rows, not all, are those of transformers."""
    inputs = prompts(40)
    written = generate(tiny().to(torch.bfloat16), inputs, max_new_tokens=5, batch_tokens=400)
    theirs = reference(tiny().to(torch.bfloat16), inputs, 5, 4)
    assert sum(a == b for a, b in zip(written, theirs, strict=True)) >= 32
    assert all(a[0] == b[0] for a, b in zip(written[:4], theirs[:4], strict=True))


def test_fp16_is_refused():
    with pytest.raises(WeightsError, match="fp16 is refused.*expected fp32 or bf16"):
        generate(tiny().to(torch.float16), [[5, 1]], max_new_tokens=2, batch_tokens=9)


def test_an_empty_input_is_refused():
    with pytest.raises(DataError, match="an input has no tokens: input 1"):
        generate(tiny(), [[5, 1], []], max_new_tokens=2, batch_tokens=9)


def test_limits_below_one_are_refused():
    with pytest.raises(UsageError, match="nothing can be written: max_new_tokens"):
        generate(tiny(), [[5, 1]], max_new_tokens=0, batch_tokens=9)
    with pytest.raises(UsageError, match="max_tokens: expected >= 1, got 0"):
        generate(tiny(), [[5, 1]], max_new_tokens=1, batch_tokens=0)


def test_the_start_token_is_the_checkpoints():
    model = tiny()
    model.generation_config.decoder_start_token_id = 9
    ours = generate(model, prompts(6), max_new_tokens=5, batch_tokens=100)
    assert ours == reference(model, prompts(6), 5, 6)
    assert ours != generate(tiny(), prompts(6), max_new_tokens=5, batch_tokens=100)


def test_a_model_without_start_token_is_refused():
    model = tiny()
    model.generation_config.decoder_start_token_id = model.config.decoder_start_token_id = None
    with pytest.raises(
        WeightsError, match=r"which token starts its decoder: config.json.*decoder_start_token_id"
    ):
        generate(model, [[5, 1]], max_new_tokens=2, batch_tokens=9)


def test_settings_that_other_code_would_honour_are_named():
    model = tiny()
    assert ignored_settings(model) == {}
    model.generation_config.repetition_penalty = 1.3
    model.generation_config.num_beams = 4
    assert ignored_settings(model) == {"num_beams": 4, "repetition_penalty": 1.3}


class _LowRank(torch.nn.Module):
    """A projection with a low-rank addition, as adapters put in a layer's place."""

    def __init__(self, inner, seed):
        super().__init__()
        self.inner, generator = inner, torch.Generator().manual_seed(seed)
        self.a = torch.nn.Parameter(torch.randn(2, inner.in_features, generator=generator))
        self.b = torch.nn.Parameter(torch.randn(inner.out_features, 2, generator=generator) * 0.3)

    def forward(self, x):
        return self.inner(x) + x @ self.a.T @ self.b.T


def test_adapters_inside_the_model_keep_working():
    plain, model = tiny(), tiny()
    for seed, block in enumerate(model.decoder.block):
        for attention in (block.layer[0].SelfAttention, block.layer[1].EncDecAttention):
            attention.q, attention.v = _LowRank(attention.q, seed), _LowRank(attention.v, seed + 10)
    ours = generate(model, prompts(12), max_new_tokens=7, batch_tokens=200)
    assert ours == reference(model, prompts(12), 7, 12)
    assert ours != generate(plain, prompts(12), max_new_tokens=7, batch_tokens=200)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")  # PEFT reads it
@pytest.mark.parametrize("model", [tiny(), tiny(tied=True), tiny("mt5"), tiny("umt5", seed=3)])
def test_a_soft_prompt_is_read_as_by_pefts_generate(model):
    from peft import PromptTuningConfig, get_peft_model

    from ramekin.weights.seq2seq import copy_model
    from ramekin.weights.soft_prompt import put_prompt

    prompt = model.shared.weight[10:15] + 0.5
    config = PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=5, num_transformer_submodules=1)
    theirs, ours = get_peft_model(copy_model(model), config), copy_model(model)
    theirs.prompt_encoder["default"].embedding.weight.data.copy_(prompt)
    put_prompt(ours, prompt)
    written = generate(ours, prompts(33), max_new_tokens=9, batch_tokens=400)
    assert written == reference(theirs, prompts(33), 9, 8)
    assert written == reference(ours, prompts(33), 9, 33)
    assert written != generate(model, prompts(33), max_new_tokens=9, batch_tokens=400)


@pytest.mark.slow
def test_a_peft_model_is_decoded_in_its_wrapper():
    from ramekin.weights.adapter import LoraRecipe, attach_lora, merge_attached

    wrapped = attach_lora(tiny(), LoraRecipe(rank=4), seed=0)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    ours = generate(wrapped, prompts(12), max_new_tokens=7, batch_tokens=200)
    assert ours != generate(tiny(), prompts(12), max_new_tokens=7, batch_tokens=200)
    assert ours == generate(merge_attached(wrapped), prompts(12), max_new_tokens=7, batch_tokens=200)
