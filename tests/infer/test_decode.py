"""Samples depend on what is asked alone, follow the model, and share one copy of what their input is read by."""

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from ramekin.errors import DataError, UsageError
from ramekin.infer.decoder import Decoder
from ramekin.infer.decoding import GREEDY, Decoding
from ramekin.infer.generate import decode, generate

WARM = Decoding(num_samples=5, sampling_temperature=1.0, seed=11)


def ends_often(model, bias=8.0):
    """The model with its outputs ending after different numbers of tokens."""
    with torch.no_grad():
        model.lm_head.weight[1] *= bias
    return model


def sampled(model, inputs, decoding=WARM, *, max_new_tokens=7, batch_tokens=10_000, **more):
    return decode(
        model,
        inputs,
        decoding=decoding,
        max_new_tokens=max_new_tokens,
        batch_tokens=batch_tokens,
        **more,
    )


@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
def test_the_batch_and_the_order_do_not_change_a_sample(tiny, prompts, kind):
    model, inputs = ends_often(tiny(kind)), prompts(16)
    alone = [sampled(model, [ids])[0] for ids in inputs]
    lengths = {len(output) for own in alone for output in own}
    assert min(lengths) <= 2
    assert max(lengths) == 7
    assert len({output for own in alone for output in own}) > 40
    counts = []
    for count in (3, 16):
        batches = []
        budget = count * (max(map(len, inputs)) + 5 * 7)
        assert sampled(model, inputs, batch_tokens=budget, on_batch=batches.append) == alone
        assert sampled(model, inputs[::-1], batch_tokens=budget)[::-1] == alone
        counts.append(len(batches))
    assert 16 > counts[0] > counts[1]


def test_sample_j_is_the_same_among_few_and_many_and_another_seed_draws_others(tiny, prompts):
    model, inputs = tiny(), prompts(4)
    many = sampled(model, inputs, Decoding(num_samples=12, sampling_temperature=1.0, seed=11))
    assert [own[:5] for own in many] == sampled(model, inputs)
    one = sampled(model, inputs, Decoding(sampling_temperature=1.0, seed=11))
    assert [own[:1] for own in many] == one
    other = sampled(model, inputs, Decoding(num_samples=5, sampling_temperature=1.0, seed=12))
    assert not any(set(a) & set(b) for a, b in zip(other, many, strict=True))


def test_equal_inputs_are_read_once_and_get_the_same_samples(tiny, prompts):
    model, inputs = tiny(), prompts(3) * 2
    read = []
    hook = model.encoder.register_forward_hook(
        lambda module, args, kwargs, output: read.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    told = []
    outputs = sampled(model, inputs, on_batch=told.append)
    hook.remove()
    assert read == [3]
    assert outputs[:3] == outputs[3:]
    assert sorted(index for batch in told for index in batch.indices) == list(range(6))
    for batch in told:
        assert list(batch.outputs) == [outputs[index] for index in batch.indices]


@torch.inference_mode()
def test_outputs_of_two_tokens_have_the_probabilities_of_a_forward_pass(tiny):
    """From 3 tokens a step: 9 outputs at most, fewer if `</s>` is among them; each against the chain rule."""
    model, ids, temperature = ends_often(tiny(seed=4)), [7, 30, 12, 1], 1.7
    source = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}

    def following(fed):
        logits = model(**source, decoder_input_ids=torch.tensor([fed])).logits[0, -1].double()
        best = logits.topk(3)
        return dict(
            zip(best.indices.tolist(), torch.softmax(best.values / temperature, 0).tolist(), strict=True)
        )

    expected = {}
    for first, p in following([0]).items():
        if first == 1:
            expected[(1,)] = p
        else:
            expected |= {(first, second): p * q for second, q in following([0, first]).items()}
    n = 6000
    drawn = Decoding(num_samples=n, sampling_temperature=temperature, top_k=3, seed=1)
    outputs = sampled(model, [ids], drawn, max_new_tokens=2)[0]
    counts = Counter(outputs)
    assert set(counts) <= set(expected)
    assert len(expected) >= 7
    assert min(expected.values()) * n > 8
    assert chisquare([counts[each] for each in expected], [p * n for p in expected.values()]).pvalue > 1e-3


def test_a_cold_sample_and_a_single_candidate_are_greedy(tiny, prompts):
    model, inputs = tiny(), prompts(6)
    greedy = [(tuple(row),) * 3 for row in generate(model, inputs, max_new_tokens=7, batch_tokens=300)]
    cold = Decoding(num_samples=3, sampling_temperature=1e-6)
    assert sampled(model, inputs, cold) == greedy
    assert sampled(model, inputs, Decoding(num_samples=3, sampling_temperature=2.0, top_k=1)) == greedy


def test_by_default_it_decodes_greedily(tiny, prompts):
    model, inputs = ends_often(tiny()), prompts(20)
    told, told_of_one = [], []
    ours = decode(model, inputs, max_new_tokens=6, batch_tokens=150, on_batch=told.append)
    one = generate(model, inputs, max_new_tokens=6, batch_tokens=150, on_batch=told_of_one.append)
    assert ours == [(tuple(row),) for row in one]
    assert [batch.indices for batch in told] == [batch.indices for batch in told_of_one]
    assert [own[0] for batch in told for own in batch.outputs] == [
        row for batch in told_of_one for row in batch.outputs
    ]


@pytest.mark.parametrize("decoding", [WARM, Decoding(num_beams=5)])
def test_known_answers_spare_whole_batches_and_are_kept(tiny, prompts, decoding):
    model, inputs = ends_often(tiny()), prompts(20)
    batches = []
    whole = sampled(model, inputs, decoding, batch_tokens=200, on_batch=batches.append)
    assert len(batches) > 3
    known = {index: whole[index] for batch in batches[:2] for index in batch.indices}
    half_known = batches[2].indices[0]
    known[half_known] = ((42, 1),) * decoding.num_samples
    again = []
    continued = sampled(model, inputs, decoding, batch_tokens=200, known=known, on_batch=again.append)
    assert again == batches[2:]
    assert continued[half_known] == known[half_known]
    assert [own for i, own in enumerate(continued) if i != half_known] == [
        own for i, own in enumerate(whole) if i != half_known
    ]


@pytest.fixture
def memory(monkeypatch):
    """(cross-attention's bytes, caches' bytes, rows) at every step of every batch."""
    seen, advance = [], Decoder.advance

    def watched(self, tokens):
        hidden = advance(self, tokens)
        seen.append((self.cross_bytes, self.cache_bytes, len(tokens)))
        return hidden

    monkeypatch.setattr(Decoder, "advance", watched)
    return seen


@pytest.mark.parametrize(
    "decodings",
    [
        (Decoding(sampling_temperature=9.0), Decoding(num_samples=16, sampling_temperature=9.0)),
        (GREEDY, Decoding(num_beams=16)),
    ],
    ids=["samples", "beams"],
)
def test_cross_attention_is_stored_once_for_1_and_for_16(tiny, prompts, memory, decodings):
    model, inputs = tiny(), prompts(5)
    numbers = 2 * 2 * 3 * 8  # keys and values of 2 layers, 3 heads of 8
    once = 4 * numbers * len(inputs) * max(map(len, inputs))
    for decoding in decodings:
        sampled(model, inputs, decoding, max_new_tokens=4, eos_id=10**6)
        assert memory[-1][2] == len(inputs) * decoding.num_rows, "the rows were not all there"
        assert {cross for cross, *_ in memory} == {once}
        assert max(cache for _, cache, _ in memory) == 4 * numbers * len(inputs) * decoding.num_rows * 4
        memory.clear()


@pytest.mark.parametrize("decoding", [GREEDY, WARM, Decoding(num_beams=4)])
@pytest.mark.parametrize("batch_tokens", [80, 400])
def test_caches_are_bounded_by_the_tokens_of_a_batch(tiny, prompts, memory, decoding, batch_tokens):
    sampled(tiny(), prompts(40), decoding, max_new_tokens=6, batch_tokens=batch_tokens)
    a_token = 4 * 2 * 2 * 3 * 8
    most = max(cross + cache for cross, cache, _ in memory)
    assert 0.5 * batch_tokens * a_token < most <= 1.15 * batch_tokens * a_token


def test_the_ended_leave_with_their_memory(tiny, prompts, memory):
    sampled(ends_often(tiny(), 12.0), prompts(12), max_new_tokens=20)
    assert memory[-1][2] < max(rows for *_, rows in memory) / 2
    assert memory[-1][0] < memory[0][0]


def test_a_soft_prompt_is_read_by_all_samples(tiny, prompts):
    from ramekin.weights.seq2seq import copy_model
    from ramekin.weights.soft_prompt import put_prompt

    plain, inputs = tiny(), prompts(6)
    model = copy_model(plain)
    put_prompt(model, model.shared.weight[10:15] + 0.5)
    outputs = sampled(model, inputs)
    assert outputs == [sampled(model, [ids])[0] for ids in inputs]
    assert outputs != sampled(plain, inputs)


def test_nothing_asked_nothing_answered(tiny):
    assert sampled(tiny(), []) == []


def test_known_answers_of_other_settings_are_refused(tiny, prompts):
    with pytest.raises(DataError, match=r"another number of outputs.*input 1: expected 5, got 1; fix"):
        sampled(tiny(), prompts(3), known={1: [(5, 1)]})


def test_more_beams_than_continuations_are_refused(tiny, prompts):
    with pytest.raises(UsageError, match=r"num_beams: expected at most 45, half the vocabulary, got 46"):
        sampled(tiny(), prompts(1), Decoding(num_beams=46))


def test_a_training_model_is_sampled_without_dropout_and_trains_on(tiny, prompts):
    model = tiny()
    expected = sampled(model, prompts(4))
    model.train()
    assert sampled(model, prompts(4)) == expected
    assert all(module.training for module in model.modules())
