"""Draws follow the model's distribution under exactly the filters asked for, each by its own number."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ramekin.errors import WeightsError
from ramekin.infer.choice import Asked, choose
from ramekin.infer.decoding import Decoding
from ramekin.infer.sampling import draw, num_bits, sample_key, token_weights, uniforms


def random_logits(rows, vocab, *, seed=0, spread=3.0):
    return torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed)) * spread


def shares(logits, **settings):
    """The probabilities that the weights stand for, float64."""
    weights = token_weights(logits, Decoding(**{"sampling_temperature": 1.0, **settings})).double()
    return weights / weights.sum(dim=-1, keepdim=True)


def tokens_of(logits, count, decoding, *, inputs=((5, 1),), position=0):
    """`count` samples of each row, one row an input."""
    return chosen(logits, [(ids, range(count), position) for ids in inputs], decoding)


def chosen(logits, rows, decoding):
    """The tokens of (input, samples, position) of each row."""
    asked = [
        Asked(decoding, position, samples, sample_key(decoding.seed, ids)) for ids, samples, position in rows
    ]
    return [each.tokens for each in choose(logits, asked)]


def chi_square_p(tokens, expected):
    """The p-value of the counts of tokens against their probabilities; rare tokens are pooled."""
    counts = torch.bincount(torch.tensor(tokens), minlength=len(expected)).double()
    wanted = expected * len(tokens)
    assert counts[wanted == 0].sum() == 0, "a token was drawn that cannot be"
    rare = wanted < 8
    pooled = [*counts[~rare].tolist(), counts[rare].sum().item()]
    wanted = [*wanted[~rare].tolist(), wanted[rare].sum().item()]
    if wanted[-1] < 8:
        pooled, wanted = [*pooled[:-2], sum(pooled[-2:])], [*wanted[:-2], sum(wanted[-2:])]
    return chisquare(pooled, wanted).pvalue


class TestUniforms:
    def test_they_are_uniform_over_whatever_differs(self):
        n = 4000
        ways = (
            uniforms(sample_key(0, [7]), [(j, 0) for j in range(n)], 1)[:, 0],
            uniforms(sample_key(0, [7]), [(0, t) for t in range(n)], 1)[:, 0],
            uniforms(sample_key(0, [7]), [(0, 0)], n)[0],
            torch.cat([uniforms(sample_key(0, [k, k + 1]), [(0, 0)], 1)[0] for k in range(n)]),
            torch.cat([uniforms(sample_key(k, [7]), [(0, 0)], 1)[0] for k in range(n)]),
        )
        for numbers in ways:
            assert bool(((numbers >= 0) & (numbers < 1)).all())
            assert chisquare(torch.histc(numbers, bins=20, min=0, max=1).tolist()).pvalue > 1e-3
        correlation = torch.corrcoef(torch.stack(ways))
        assert float((correlation - torch.eye(5)).abs().max()) < 0.06

    def test_everything_asked_decides(self):
        draws = [(sample, position) for sample in range(5) for position in range(5)]
        numbers = [
            uniforms(sample_key(seed, ids), draws, 3)
            for seed in (0, 1)
            for ids in ([1, 2], [12], [2, 1], [1, 2, 0])
        ]
        assert len(torch.cat(numbers).unique()) == 2 * 4 * 25 * 3

    def test_the_numbers_stay_those_they_were(self):
        """Another version of ramekin draws these samples: pinned."""
        assert uniforms(sample_key(0, [5, 1]), [(0, 0)], 2)[0].tolist() == [
            0.6744565083386547,
            0.2472300510805665,
        ]
        assert uniforms(sample_key(3, [32000, 17, 1]), [(39, 255)], 1)[0].tolist() == [0.33609437836934175]


class TestWeights:
    def test_temperature_by_hand(self):
        """Odds of 1 : 2 : 4 become, squared, 1 : 4 : 16, and, rooted, 1 : √2 : 2."""
        logits = torch.tensor([[0.0, math.log(2), math.log(4)]])
        for temperature, odds in ((1.0, (1, 2, 4)), (0.5, (1, 4, 16)), (2.0, (1, 2**0.5, 2))):
            expected = [odd / sum(odds) for odd in odds]
            assert shares(logits, sampling_temperature=temperature)[0].tolist() == pytest.approx(
                expected, rel=1e-6
            )

    def test_filters_by_hand_and_in_their_order(self):
        """Shares 8 : 6 : 4 : 2 of 20; of the first two, 8 of 14 is more than half, of all it is not."""
        logits = torch.tensor([[4.0, 8.0, 2.0, 6.0]]).log()
        assert shares(logits, top_k=2)[0].tolist() == pytest.approx([0, 8 / 14, 0, 6 / 14], rel=1e-6)
        assert shares(logits, top_p=0.5)[0].tolist() == pytest.approx([0, 8 / 14, 0, 6 / 14], rel=1e-6)
        assert shares(logits, top_k=2, top_p=0.5)[0].tolist() == [0, 1, 0, 0]
        cold = shares(logits, sampling_temperature=0.5, top_p=0.5)  # 64 of 120 is more than half
        assert cold[0].tolist() == [0, 1, 0, 0]
        assert shares(logits, top_p=1e-9)[0].tolist() == [0, 1, 0, 0]

    @settings(max_examples=90, deadline=None)
    @given(
        seed=st.integers(0, 10**6),
        temperature=st.floats(0.05, 5.0),
        top_k=st.sampled_from([0, 1, 2, 7, 90, 500]),
        top_p=st.sampled_from([0.05, 0.3, 0.9, 0.99, 1.0]),
        typical_p=st.sampled_from([0.05, 0.4, 0.8, 0.99, 1.0]),
        vocab=st.sampled_from([3, 90, 1200]),
    )
    def test_the_distribution_is_that_of_transformers_filters(
        self, seed, temperature, top_k, top_p, typical_p, vocab
    ):
        from transformers import (
            TemperatureLogitsWarper,
            TopKLogitsWarper,
            TopPLogitsWarper,
            TypicalLogitsWarper,
        )

        logits = random_logits(3, vocab, seed=seed)
        expected = TemperatureLogitsWarper(temperature)(None, logits)
        if top_k:
            expected = TopKLogitsWarper(top_k)(None, expected)
        if top_p < 1:
            expected = TopPLogitsWarper(top_p)(None, expected)
        if typical_p < 1:
            expected = TypicalLogitsWarper(typical_p)(None, expected)
        expected = torch.softmax(expected.double(), dim=-1)
        found = shares(
            logits, sampling_temperature=temperature, top_k=top_k, top_p=top_p, typical_p=typical_p
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)

    def test_typical_tokens_by_hand(self):
        """Shares 1/2, 1/4, 1/8, 1/8: 1, 2, 3 and 3 bits; the entropy is 1.75, so that 2 bits are the nearest."""
        logits = torch.tensor([[4.0, 2.0, 1.0, 1.0]]).log()
        assert shares(logits, typical_p=0.2)[0].tolist() == [0, 1, 0, 0]
        assert shares(logits, typical_p=0.6)[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
        assert shares(logits, typical_p=0.8)[0].tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0])
        assert shares(logits, top_k=2, typical_p=0.5)[0].tolist() == [1, 0, 0, 0]

    def test_of_equally_typical_tokens_the_first_are_kept(self):
        logits = torch.zeros(2, 100)
        logits[1, 40:60] = -torch.inf
        kept = shares(logits, typical_p=0.499) > 0
        assert kept[0].tolist() == [True] * 50 + [False] * 50
        assert kept[1].tolist() == [True] * 40 + [False] * 60

    def test_top_p_reaches_beyond_what_is_sorted_first(self):
        """Of 3000 almost equal tokens, the most probable 2700 or so hold nine tenths."""
        logits = random_logits(2, 3000, spread=0.01)
        found = shares(logits, top_p=0.9)
        for row, probability in zip(found, torch.softmax(logits.double(), dim=-1), strict=True):
            order = probability.argsort(descending=True)
            count = int((row > 0).sum())
            assert (row[order[:count]] > 0).all()
            assert probability[order[: count - 1]].sum() < 0.9 <= probability[order[:count]].sum() + 1e-7

    def test_among_equals_top_k_keeps_all_and_top_p_the_smaller_ids(self):
        logits = torch.tensor([[1.0, 5.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
        assert (shares(logits, top_k=2) > 0).tolist() == [[True] * 4] * 2
        assert (shares(logits, top_p=0.7) > 0).tolist() == [
            [False, True, False, False],
            [True, True, True, False],
        ]
        assert (shares(torch.zeros(1, 1000), top_p=0.2) > 0)[0].nonzero()[:, 0].tolist() == list(range(200))

    def test_logits_are_left_as_they_were(self):
        logits = random_logits(2, 9)
        before = logits.clone()
        token_weights(logits, Decoding(sampling_temperature=0.3, top_k=3, top_p=0.5))
        assert torch.equal(logits, before)

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_logits_that_are_no_numbers_are_refused(self, bad):
        with pytest.raises(WeightsError, match="logits are not finite"):
            token_weights(torch.tensor([[0.0, bad, 1.0]]), Decoding(sampling_temperature=1.0))

    def test_extreme_temperatures_are_greedy_and_uniform(self):
        logits = random_logits(1, 50, spread=100.0)
        assert shares(logits, sampling_temperature=1e-6)[0].argmax() == logits.argmax()
        assert shares(logits, sampling_temperature=1e-6).max() == 1
        torch.testing.assert_close(
            shares(logits, sampling_temperature=1e9), torch.full((1, 50), 0.02, dtype=torch.float64)
        )


class TestDraws:
    @settings(max_examples=60, deadline=None)
    @given(
        weights=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0, 1e-3]), min_size=1, max_size=20).filter(
            any
        ),
        data=st.data(),
    )
    def test_each_bit_is_drawn_given_those_below(self, weights, data):
        """By the book: the ids that are left are halved by their lowest open bit, odd ones last."""
        bits = num_bits(len(weights))
        numbers = data.draw(st.lists(st.floats(0, 1 - 2**-52), min_size=bits, max_size=bits))
        left = range(2**bits)
        for bit, number in enumerate(numbers):
            halves = [[token for token in left if token >> bit & 1 == which] for which in (0, 1)]
            sums = [sum(weights[token] for token in half if token < len(weights)) for half in halves]
            if abs(number * sum(sums) - sums[0]) < 1e-6:
                return  # at the border rounding decides
            left = halves[number * sum(sums) >= sums[0]]
        found = draw(torch.tensor([weights]), torch.tensor([[numbers]], dtype=torch.float64))
        assert found.tolist() == [list(left)]

    @pytest.mark.parametrize("number", [0.0, 1 - 2.0**-52])
    def test_no_number_draws_a_token_of_weight_zero(self, number):
        for seed in range(200):
            weights = random_logits(1, 13, seed=seed, spread=9.0).exp()
            weights[0, torch.rand(13, generator=torch.Generator().manual_seed(seed)) < 0.8] = 0.0
            if bool(weights.any()):
                token = draw(weights, torch.full((1, 1, 4), number, dtype=torch.float64))
                assert weights[0, token.item()] > 0

    def test_rounding_rarely_changes_one(self):
        """Noise of 1e-5 on 5000 logits: of 200,000 draws a few, where cumulated shares give hundreds."""
        logits = random_logits(1, 5000)
        noisy = logits + random_logits(1, 5000, seed=1, spread=1e-5)
        numbers = torch.rand(1, 200_000, 13, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        warm = Decoding(sampling_temperature=1.0)
        first, second = (draw(token_weights(each, warm), numbers) for each in (logits, noisy))
        assert int((first != second).sum()) < 20
        heights = [torch.softmax(each.double(), -1).cumsum(-1)[0] for each in (logits, noisy)]
        first, second = (torch.searchsorted(each, numbers[0, :, 0].contiguous()) for each in heights)
        assert int((first != second).sum()) > 200

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_they_follow_softmax(self, dtype):
        logits = random_logits(2, 300, spread=2.0).to(dtype)
        inputs, warm = ((5, 1), (9, 9, 1)), Decoding(sampling_temperature=1.0, num_samples=20_000)
        for row, tokens in enumerate(tokens_of(logits, 20_000, warm, inputs=inputs, position=3)):
            assert chi_square_p(tokens, torch.softmax(logits[row].double(), dim=-1)) > 1e-3
        wrong = torch.softmax(logits[0].double() * 1.1, dim=-1)
        assert chi_square_p(tokens_of(logits[:1], 20_000, warm)[0], wrong) < 1e-6, "the test tells nothing"

    def test_they_follow_the_filtered_distribution(self):
        logits = random_logits(1, 200)
        decoding = Decoding(sampling_temperature=0.8, top_k=30, top_p=0.95, seed=4)
        expected = torch.softmax(logits[0].double() / 0.8, dim=-1)
        order = expected.argsort(descending=True)[:30]
        kept = expected[order] / expected[order].sum()
        order = order[(kept.cumsum(0) - kept) < 0.95]
        wanted = torch.zeros(200, dtype=torch.float64)
        wanted[order] = expected[order] / expected[order].sum()
        assert chi_square_p(tokens_of(logits, 10_000, decoding)[0], wanted) > 1e-3

    def test_no_limit_is_set_that_was_not_asked_for(self):
        """transformers would draw from 50 tokens: it adds top_k=50."""
        for decoding in (Decoding(sampling_temperature=1.0), Decoding(sampling_temperature=1.0, top_p=1.0)):
            assert len(set(tokens_of(torch.zeros(1, 100), 400, decoding)[0])) > 90

    def test_a_draw_does_not_depend_on_what_else_is_drawn(self):
        logits, decoding = random_logits(4, 90), Decoding(sampling_temperature=1.0, seed=2)
        inputs = [[7, 1], [8, 1], [9, 9, 1], [7, 7, 1]]
        whole = tokens_of(logits, 6, decoding, inputs=inputs, position=5)
        backwards = tokens_of(logits.flip(0), 6, decoding, inputs=inputs[::-1], position=5)
        assert backwards[::-1] == whole
        few = chosen(logits[[2, 0]], [(inputs[2], [5, 1, 0], 5), (inputs[0], [4], 5)], decoding)
        assert few == [[whole[2][5], whole[2][1], whole[2][0]], [whole[0][4]]]
