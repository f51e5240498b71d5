"""Beam search finds the tokens of transformers' own, and by its definition the best there is if it is wide."""

import math
from itertools import product

import pytest
import torch

from ramekin.errors import WeightsError
from ramekin.infer.beams import Candidate, Hypothesis, Search, extend
from ramekin.infer.decoding import Decoding
from ramekin.infer.generate import decode, generate
from ramekin.infer.rank import rank
from ramekin.infer.request import Request

EOS = 1


def eager_to_end(model, factor):
    """The model with its rows ending after different numbers of tokens, the sooner the larger the factor."""
    with torch.no_grad():
        model.lm_head.weight[EOS] *= factor
    return model


def by_transformers(model, inputs, *, batch, max_new_tokens, **settings):
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
            early_stopping=False,
            max_new_tokens=max_new_tokens,
            **settings,
        ).tolist()
        rows += [tuple(row[1 : row.index(EOS) + 1] if EOS in row else row[1:]) for row in written]
    return rows


def searched(model, inputs, *, batch_tokens=500, max_new_tokens=9, **settings):
    outputs = decode(
        model,
        inputs,
        decoding=Decoding(**settings),
        max_new_tokens=max_new_tokens,
        batch_tokens=batch_tokens,
    )
    assert {len(own) for own in outputs} == {1}
    return [own[0] for own in outputs]


@pytest.mark.parametrize("num_beams", [2, 4])
@pytest.mark.parametrize("factor", [0.0, 3.0, 8.0])
@pytest.mark.parametrize(("kind", "seed"), [("t5", 0), ("t5", 1), ("mt5", 2), ("umt5", 3)])
def test_tokens_equal_transformers_generate(tiny, prompts, kind, seed, factor, num_beams):
    model, inputs = eager_to_end(tiny(kind, seed=seed), factor), prompts(16, seed=seed)
    ours = searched(model, inputs, num_beams=num_beams)
    for batch in (1, 16):
        assert ours == by_transformers(model, inputs, batch=batch, max_new_tokens=9, num_beams=num_beams)
    lengths = {len(row) for row in ours}
    assert lengths == {9} if factor == 0 else len(lengths) > 2
    assert ours != [tuple(row) for row in generate(model, inputs, max_new_tokens=9, batch_tokens=500)]


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 0.6, 2.0])
def test_length_penalties_are_those_of_transformers(tiny, prompts, length_penalty):
    model, inputs = eager_to_end(tiny(seed=5), 3.0), prompts(20)
    settings = {"num_beams": 4, "length_penalty": length_penalty}
    ours = searched(model, inputs, **settings)
    assert ours == by_transformers(model, inputs, batch=5, max_new_tokens=9, **settings)
    if length_penalty < 1:
        longer = searched(model, inputs, num_beams=4, length_penalty=length_penalty + 2)
        assert sum(map(len, longer)) > sum(map(len, ours))


@pytest.mark.parametrize("batch_tokens", [1, 150, 100_000])
def test_the_batch_does_not_change_a_result(tiny, prompts, batch_tokens):
    model, inputs = eager_to_end(tiny(), 5.0), prompts(24)
    alone = [searched(model, [ids], num_beams=3)[0] for ids in inputs]
    assert len({len(row) for row in alone}) > 3
    assert searched(model, inputs, num_beams=3, batch_tokens=batch_tokens) == alone
    assert searched(model, inputs[::-1], num_beams=3, batch_tokens=batch_tokens)[::-1] == alone


def test_limits_of_one_token_and_of_many_beams(tiny, prompts):
    model, inputs = eager_to_end(tiny(), 3.0), prompts(6)
    best = [tuple(row) for row in generate(model, inputs, max_new_tokens=1, batch_tokens=500)]
    assert searched(model, inputs, num_beams=4, max_new_tokens=1) == best
    wide = searched(model, inputs, num_beams=45, max_new_tokens=4, batch_tokens=10_000)
    assert wide == by_transformers(model, inputs, batch=6, max_new_tokens=4, num_beams=45)


def test_bf16_is_searched(tiny, prompts):
    """What is found is about as probable as what transformers finds: in bf16 near-ties are many."""
    model, inputs = eager_to_end(tiny(), 3.0).to(torch.bfloat16), prompts(8)
    settings = {"num_beams": 3, "max_new_tokens": 6}
    found = searched(model, inputs, **settings)
    theirs = by_transformers(model, inputs, batch=8, **settings)
    assert sum(a == b for a, b in zip(found, theirs, strict=True)) >= 6
    for ids, pair in zip(inputs, zip(found, theirs, strict=True), strict=True):
        scores = [
            value / len(output)
            for output in pair
            for value in rank(model, [ids], [[output]], batch_tokens=500)[0]
        ]
        assert scores[0] == pytest.approx(scores[1], abs=0.15)


def test_logits_that_are_no_numbers_are_refused(tiny, prompts):
    model = tiny()
    with torch.no_grad():
        model.lm_head.weight[7, 0] = math.nan
    with pytest.raises(WeightsError, match="logits are not finite"):
        searched(model, prompts(2), num_beams=2)


def language(seed, vocab):
    """Logits of what follows each beginning: a random table, filled as it is asked."""
    table = {}

    def logits(place, fed):
        if (place, fed) not in table:
            generator = torch.Generator().manual_seed(hash((seed, place, fed)) % 2**31)
            table[place, fed] = (torch.randn(vocab, generator=generator) * 2).tolist()
        return table[place, fed]

    return logits


def best_of_all(logits, place, vocab, limit, start):
    """The most probable output of all, by trying each."""
    found = {}
    for length in range(1, limit + 1):
        for tokens in product(range(vocab), repeat=length):
            ended = [at for at, token in enumerate(tokens) if token == EOS]
            if ended == [length - 1] or (not ended and length == limit):
                steps = [logits(place, (start, *tokens[:at])) for at in range(length)]
                log_probs = torch.log_softmax(torch.tensor(steps, dtype=torch.float64), dim=-1)
                found[tokens] = float(log_probs[range(length), tokens].sum())
    return max(found, key=found.get)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_wide_search_without_penalty_finds_the_most_probable_output(toy, seed, limit):
    """Four tokens, so at most 3 ** 3 beginnings go on: no beam is lost among 27."""
    vocab, start = 60, 2
    narrow = language(seed, 4)

    def padded(place, fed):
        return narrow(place, fed) + [-1e4] * (vocab - 4)

    decoding = Decoding(num_beams=27, length_penalty=0.0)
    _, found = toy(padded, [Request((5, 1), limit, decoding)] * 3, start_id=start)
    assert [own[0] for own in found] == [best_of_all(narrow, place, 4, limit, start) for place in range(3)]


def test_inputs_whose_search_is_over_leave_when_a_quarter_is(toy):
    """Search of place p is over after p + 1 tokens: two ends are then more probable than all else."""

    def logits(place, fed):
        eager = len(fed) > place
        return [0.0, 9.0 if eager else -30.0, 3.0, 2.0]

    decoder, found = toy(logits, [Request((5, 1), 30, Decoding(num_beams=2))] * 8)
    assert [len(own[0]) for own in found] == [1, 2, 3, 4, 5, 6, 7, 8]
    rows = decoder.rows_of_steps
    assert rows[:2] == [8, 16]
    assert rows[-1] == 2
    assert sorted(rows[1:], reverse=True) == rows[1:]
    assert len(set(rows)) > 4


class TestExtend:
    """The rules by hand."""

    two = Decoding(num_beams=2)

    def step(self, search, candidates, decoding=two, *, is_last=False):
        made = [Candidate(*each) for each in candidates]
        return extend(search, made, decoding, ends=lambda ids: ids[-1] == EOS, is_last=is_last)

    def test_an_end_below_the_first_is_dropped(self):
        after = self.step(Search(), [(-1.0, 0, 5), (-2.0, 0, 6), (-3.0, 0, EOS), (-4.0, 0, 7)])
        assert [beam.tokens for beam in after.beams] == [(5,), (6,)]
        assert after.finished == ()
        assert not after.is_over

    def test_beams_are_filled_from_below_when_others_end(self):
        start = Search((Hypothesis(-1.0, (5,)), Hypothesis(-2.0, (6,))))
        after = self.step(start, [(-1.5, 0, EOS), (-2.1, 1, EOS), (-4.0, 1, 8), (-5.0, 0, 9)])
        assert [(beam.tokens, beam.parent) for beam in after.beams] == [((6, 8), 1), ((5, 9), 0)]
        assert [each.tokens for each in after.finished] == [(5, EOS), (6, EOS)]
        assert [each.score for each in after.finished] == [-0.75, -1.05]
        assert after.is_over

    def test_the_search_goes_on_while_a_beam_beats_the_worst_finished(self):
        start = Search((Hypothesis(-1.0, (5,)), Hypothesis(-2.0, (6,))), (Hypothesis(-3.0, (EOS,)),))
        candidates = [(-1.5, 0, EOS), (-2.0, 0, 7), (-4.0, 1, 8), (-5.0, 0, 9)]
        assert not self.step(start, candidates).is_over  # -2.0 / 2 against -3.0
        no_penalty = Decoding(num_beams=2, length_penalty=0.0)
        assert not self.step(start, candidates, no_penalty).is_over  # -2.0 against -3.0
        worse = [(-1.5, 0, EOS), (-3.5, 0, 7), (-4.0, 1, 8), (-5.0, 0, 9)]
        assert self.step(start, worse, no_penalty).is_over
        assert not self.step(start, worse).is_over  # -3.5 / 2

    def test_the_last_step_counts_the_first_as_finished(self):
        start = Search((Hypothesis(-1.0, (5,)), Hypothesis(-2.0, (6,))))
        after = self.step(start, [(-1.5, 0, 8), (-2.1, 1, EOS), (-2.2, 0, EOS), (-2.3, 0, 9)], is_last=True)
        assert [each.tokens for each in after.finished] == [(5, 8), (6, EOS)]
        assert after.is_over

    def test_the_best_are_kept_among_old_and_new(self):
        finished = (Hypothesis(-0.9, (EOS,)), Hypothesis(-1.0, (4, EOS)))
        start = Search((Hypothesis(-1.0, (5, 5)), Hypothesis(-2.0, (6, 6))), finished)
        after = self.step(start, [(-2.85, 0, EOS), (-3.3, 1, EOS), (-4.0, 1, 8), (-5.0, 0, 9)])
        assert [each.tokens for each in after.finished] == [(EOS,), (5, 5, EOS)]

    def test_each_hypothesis_knows_its_sums_and_alternatives(self):
        start = Search((Hypothesis(-1.0, (5,), 0, (-1.0,), (((5, -1.0),),)),))
        made = [Candidate(-1.5, 0, 8, (((8, -0.5),),)), Candidate(-3.0, 0, EOS, (((8, -0.5),),))]
        after = extend(start, made, self.two, ends=lambda ids: ids[-1] == EOS, is_last=False)
        assert after.beams[0].sums == (-1.0, -1.5)
        assert after.finished[0] == Hypothesis(-1.5, (5, EOS), 0, (-1.0, -3.0), (((5, -1.0),), ((8, -0.5),)))

    def test_without_a_beam_that_goes_on_the_search_is_over(self):
        after = self.step(Search(), [(-1.0, 0, EOS)])
        assert after.is_over
        assert [each.tokens for each in after.finished] == [(EOS,)]


def test_the_best_beams_are_several_outputs(tiny, prompts):
    """`num_return_sequences` of transformers."""
    model, inputs = eager_to_end(tiny(), 4.0), prompts(10)
    outputs = decode(
        model, inputs, decoding=Decoding(num_beams=4, num_samples=3), max_new_tokens=7, batch_tokens=9000
    )
    for ids, own in zip(inputs, outputs, strict=True):
        rows = model.generate(
            torch.tensor([ids]), do_sample=False, num_beams=4, num_return_sequences=3, early_stopping=False,
            max_new_tokens=7,
        ).tolist()  # fmt: skip
        assert own == tuple(tuple(row[1 : row.index(EOS) + 1] if EOS in row else row[1:8]) for row in rows)
