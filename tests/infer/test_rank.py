"""Log-probabilities equal transformers' on single rows, whatever shares a batch, and nothing is done twice."""

import random

import pytest
import torch

import ramekin.infer.rank as module
from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.infer.rank import rank

FAMILIES = {
    "t5-1.0": {"tied": True, "seed": 1, "feed_forward": "relu"},
    "t5-1.1": {},
    "umt5": {"kind": "umt5", "seed": 3},
    "mt5": {"kind": "mt5", "seed": 4},
    "few buckets": {"buckets": 8},
}


def choices(count, *, seed=0, most=5, longest=7):
    """Ragged options: equal beginnings, one the beginning of another, with and without `</s>`."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        stem = [rng.randrange(3, 90) for _ in range(rng.randrange(0, 4))]
        tails = [[rng.randrange(3, 90) for _ in range(rng.randrange(1, longest))] for _ in range(most)]
        options = [[*stem, *tail, *([1] if rng.random() < 0.7 else [])] for tail in tails]
        options += [options[0][:1], [*options[0], 5]]
        found.append(options[: rng.randrange(1, len(options) + 1)])
    return found


@torch.inference_mode()
def by_hand(model, input_ids, option):
    """One unpadded row through the whole of transformers: the sum of its tokens' log-probabilities."""
    logits = model(
        input_ids=torch.tensor([input_ids]),
        decoder_input_ids=torch.tensor([[model.config.decoder_start_token_id, *option[:-1]]]),
        use_cache=False,
    ).logits[0]
    log_probs = logits.double().log_softmax(dim=-1)
    return sum(float(log_probs[place, token]) for place, token in enumerate(option))


def flat(rows):
    return torch.tensor([value for row in rows for value in row], dtype=torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probs_are_those_of_transformers_on_single_rows(tiny, prompts, family):
    model, inputs, options = tiny(**FAMILIES[family]), prompts(14), choices(14)
    expected = [[by_hand(model, ids, each) for each in row] for ids, row in zip(inputs, options, strict=True)]
    ranked = rank(model, inputs, options, batch_tokens=300)
    assert [len(row) for row in ranked] == [len(row) for row in options]
    torch.testing.assert_close(flat(ranked), flat(expected), atol=1e-4, rtol=0)
    assert flat(expected).std() > 1, "the test model says too little to tell scorers apart"


@pytest.mark.parametrize("batch_tokens", [1, 90, 400, 100_000])
@pytest.mark.parametrize("max_nodes", [3, 256])
def test_batch_order_and_passes_do_not_change_a_log_prob(tiny, prompts, monkeypatch, batch_tokens, max_nodes):
    model, inputs, options = tiny(sharpness=2.0), prompts(24), choices(24)
    alone = [rank(model, [i], [o], batch_tokens=1)[0] for i, o in zip(inputs, options, strict=True)]
    monkeypatch.setattr(module, "_MAX_NODES", max_nodes)
    together = rank(model, inputs, options, batch_tokens=batch_tokens)
    torch.testing.assert_close(flat(together), flat(alone), atol=1e-5, rtol=0)
    order = random.Random(1).sample(range(24), 24)
    mixed = rank(
        model, [inputs[i] for i in order], [options[i][::-1] for i in order], batch_tokens=batch_tokens
    )
    back = [mixed[order.index(i)][::-1] for i in range(24)]
    torch.testing.assert_close(flat(back), flat(alone), atol=1e-5, rtol=0)
    assert flat(alone).std() > 1


def test_all_tokens_together_have_probability_one(tiny, prompts):
    everything = [[token] for token in range(90)]
    for row in rank(tiny(), prompts(3), [everything] * 3, batch_tokens=500):
        assert torch.tensor(row).logsumexp(0).item() == pytest.approx(0.0, abs=1e-5)


def watched(model):
    """Counts rows of the encoder, and positions of cross-attention's keys and of the head."""
    seen = {"encoded": 0, "crossed": 0, "headed": 0}

    def encoder(_, args, kwargs, output):
        seen["encoded"] += len(kwargs["input_ids"])

    def keys(_, args, output):
        seen["crossed"] += output.shape[0]

    def head(_, args, output):
        seen["headed"] += output.shape[0]

    model.encoder.register_forward_hook(encoder, with_kwargs=True)
    model.decoder.block[0].layer[1].EncDecAttention.k.register_forward_hook(keys)
    model.lm_head.register_forward_hook(head)
    return seen


def test_each_input_is_encoded_once_for_all_its_options(tiny, prompts):
    model, inputs = tiny(), prompts(5)
    seen = watched(model)
    yes_no = [[7, 1], [8, 1]]
    ranked = rank(model, inputs * 3, [yes_no] * 15, batch_tokens=200)
    assert seen == {"encoded": 5, "crossed": 5, "headed": 5 * 3}
    assert ranked[:5] == ranked[5:10] == ranked[10:]


def test_equal_options_and_equal_beginnings_are_computed_once(tiny, prompts):
    model = tiny()
    seen = watched(model)
    options = [[7, 8, 9, 1], [7, 8, 9, 1], [7, 8, 3, 1], [7, 8]]
    (first,) = rank(model, prompts(1), [options], batch_tokens=200)
    assert first[0] == first[1]
    assert seen["headed"] == 5, "the start, 7, 7 8, 7 8 9 and 7 8 3"
    ids = prompts(1)[0]
    seen.update(encoded=0, headed=0)
    apart = rank(model, [ids] * 4, [[option] for option in options], batch_tokens=200)
    assert (seen["encoded"], seen["headed"]) == (1, 5), "an input's options are one tree, whoever asks"
    assert [row[0] for row in apart] == pytest.approx(first, abs=1e-6)


def test_padding_never_reaches_the_head(tiny, prompts):
    model = tiny()
    seen = watched(model)
    rank(model, prompts(2), [[[7, 1]], [[1, 2, 3, 4, 5, 6, 7, 8]]], batch_tokens=10_000)
    assert seen["headed"] == 2 + 8


def test_no_option_no_answer_and_no_work(tiny, prompts):
    model = tiny()
    seen = watched(model)
    ranked = rank(model, prompts(3), [[], [[5]], []], batch_tokens=100)
    assert [len(row) for row in ranked] == [0, 1, 0]
    assert seen["encoded"] == 1
    assert rank(model, [], [], batch_tokens=10) == []


def test_one_input_of_many_texts_is_answered_batch_by_batch(tiny, prompts):
    """As a channel asks: few labels, and a prompt of its own for every position."""
    inputs, options = [[5, 1], [6, 7, 1]] * 40, [[text] for text in prompts(80)]
    told = []
    ranked = rank(
        tiny(), inputs, options, batch_tokens=300, on_batch=lambda batch: told.append(batch.indices)
    )
    assert len(told) > 4
    assert sorted(index for batch in told for index in batch) == list(range(80))
    expected = [by_hand(tiny(), i, o[0]) for i, o in zip(inputs, options, strict=True)]
    assert flat(ranked).tolist() == pytest.approx(expected, abs=1e-4, rel=1e-5)


def test_known_answers_spare_whole_batches_and_are_kept(tiny, prompts):
    model, inputs, options = tiny(), prompts(20), choices(20)
    batches = []
    whole = rank(model, inputs, options, batch_tokens=120, on_batch=batches.append)
    assert len(batches) > 3
    assert sorted(index for batch in batches for index in batch.indices) == list(range(20))
    for batch in batches:
        assert [list(values) for values in batch.log_probs] == [whole[index] for index in batch.indices]
    known = {index: whole[index] for batch in batches[:2] for index in batch.indices}
    half_known = next(batch for batch in batches[2:] if len(batch.indices) > 1).indices[0]
    known[half_known] = [-4.0] * len(options[half_known])
    again = []
    continued = rank(model, inputs, options, batch_tokens=120, known=known, on_batch=again.append)
    assert [b.indices for b in again] == [b.indices for b in batches[2:]]
    expected = [*whole]
    expected[half_known] = known[half_known]
    assert continued == expected, "the same batches, so equal to the bit"


def test_the_longest_come_first(tiny, prompts):
    inputs = prompts(12)
    batches = []
    rank(tiny(), inputs, [[[5, 1]]] * 12, batch_tokens=60, on_batch=batches.append)
    lengths = [max(len(inputs[index]) for index in batch.indices) for batch in batches]
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) > 2


def test_dropout_is_off_and_training_goes_on_afterwards(tiny, prompts):
    model, inputs, options = tiny(), prompts(6), choices(6)
    expected = rank(model, inputs, options, batch_tokens=100)
    model.train()
    assert rank(model, inputs, options, batch_tokens=100) == expected
    assert all(part.training for part in model.modules())


def test_the_start_token_is_the_checkpoints(tiny, prompts):
    model, inputs, options = tiny(), prompts(4), choices(4)
    before = rank(model, inputs, options, batch_tokens=100)
    model.generation_config.decoder_start_token_id = model.config.decoder_start_token_id = 9
    expected = [[by_hand(model, ids, each) for each in row] for ids, row in zip(inputs, options, strict=True)]
    ranked = rank(model, inputs, options, batch_tokens=100)
    torch.testing.assert_close(flat(ranked), flat(expected), atol=1e-4, rtol=0)
    assert ranked != before


def test_bf16_is_scored_with_its_sums_in_fp32(tiny, prompts):
    model, inputs, options = tiny(), prompts(6), choices(6)
    exact = rank(model, inputs, options, batch_tokens=100)
    rounded = rank(model.to(torch.bfloat16), inputs, options, batch_tokens=100)
    torch.testing.assert_close(flat(rounded), flat(exact), atol=0.5, rtol=0.05)
    assert any(value != torch.tensor(value).bfloat16().item() for row in rounded for value in row)


def test_adapters_inside_the_model_keep_working(tiny, prompts):
    model, inputs, options = tiny(), prompts(6), choices(6)
    plain = rank(model, inputs, options, batch_tokens=100)
    torch.manual_seed(0)
    for block in model.decoder.block:
        for attention in (block.layer[0].SelfAttention, block.layer[1].EncDecAttention):
            attention.v = torch.nn.Sequential(attention.v, torch.nn.Linear(24, 24))
    ranked = rank(model, inputs, options, batch_tokens=100)
    expected = [[by_hand(model, ids, each) for each in row] for ids, row in zip(inputs, options, strict=True)]
    torch.testing.assert_close(flat(ranked), flat(expected), atol=1e-4, rtol=0)
    assert ranked != plain


def test_bad_requests_are_refused(tiny):
    with pytest.raises(DataError, match="an option has no tokens: input 1, option 1: expected at least one"):
        rank(tiny(), [[5, 1], [6, 1]], [[[3]], [[3], []]], batch_tokens=10)
    with pytest.raises(DataError, match="an input has no tokens: input 0"):
        rank(tiny(), [[]], [[[3]]], batch_tokens=10)
    with pytest.raises(DataError, match="differ in number: expected 2 lists of options, got 1"):
        rank(tiny(), [[5, 1], [6, 1]], [[[3]]], batch_tokens=10)
    with pytest.raises(UsageError, match="max_tokens: expected >= 1, got 0"):
        rank(tiny(), [[5, 1]], [[[3]]], batch_tokens=0)
    with pytest.raises(WeightsError, match="fp16 is refused"):
        rank(tiny().to(torch.float16), [[5, 1]], [[[3]]], batch_tokens=10)


def test_nan_is_refused_and_training_mode_comes_back(tiny):
    model = tiny()
    model.train()
    with torch.no_grad():
        model.lm_head.weight[7, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"logits are not finite: expected finite numbers, got nan; fix"):
        rank(model, [[5, 1]], [[[3]]], batch_tokens=10)
    assert all(part.training for part in model.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_soft_prompt_is_read_by_every_option(tiny, prompts, family):
    from ramekin.weights.soft_prompt import put_prompt

    model, inputs, options = tiny(**FAMILIES[family]), prompts(6), choices(6)
    plain = flat(rank(model, inputs, options, batch_tokens=300))
    put_prompt(model, model.shared.weight[10:14] + 0.5)
    expected = [[by_hand(model, ids, each) for each in row] for ids, row in zip(inputs, options, strict=True)]
    ranked = flat(rank(model, inputs, options, batch_tokens=300))
    torch.testing.assert_close(ranked, flat(expected), atol=1e-4, rtol=0)
    assert (ranked - plain).abs().max() > 0.1
