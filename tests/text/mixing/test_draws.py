"""The draws of a mixture: pure in (seed, t), exact in their counts, near their rates everywhere."""

import math
import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.text.mixing.draws import Draw, MixtureDraws

RATES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40)
SKEWED = [0.5, 0.25, 0.2, 0.03, 0.015, 0.004, 0.0009, 0.0001]


def counted(draws: list[Draw], leaves: int) -> tuple[int, ...]:
    found = Counter(draw.leaf for draw in draws)
    return tuple(found[leaf] for leaf in range(leaves))


@given(RATES, st.integers(0, 3), st.integers(0, 5000), st.integers(0, 300))
def test_any_stretch_is_that_of_the_whole(rates: list[float], seed: int, start: int, length: int) -> None:
    whole = MixtureDraws(rates, seed=seed).draws(0, start + length)
    alone = MixtureDraws(rates, seed=seed)
    assert alone.draws(start, start + length) == whole[start:]
    assert len(whole) == start + length


def test_the_order_in_which_draws_are_asked_for_changes_nothing() -> None:
    whole = MixtureDraws(SKEWED, seed=5).draws(0, 12_000)
    asked = list(range(0, 12_000, 37))
    random.Random(1).shuffle(asked)
    draws = MixtureDraws(SKEWED, seed=5)
    assert {t: draws.draw(t) for t in asked} == {t: whole[t] for t in asked}


@pytest.mark.parametrize("ranks", [1, 2, 7, 8])
def test_ranks_share_one_order(ranks: int) -> None:
    whole = MixtureDraws(SKEWED, seed=2).draws(0, 3000)
    of_ranks = []
    for rank in range(ranks):
        own = MixtureDraws(SKEWED, seed=2)
        of_ranks.append([own.draw(t) for t in range(rank, 600, ranks)])
    assert [of_ranks[t % ranks][t // ranks] for t in range(600)] == whole[:600]


@given(RATES, st.integers(0, 10_000))
def test_counts_are_those_counted(rates: list[float], stop: int) -> None:
    draws = MixtureDraws(rates, seed=1)
    counts = draws.counts(stop)
    assert counts == counted(draws.draws(0, stop), len(rates)) and sum(counts) == stop


@given(RATES)
def test_a_leafs_draws_are_numbered_in_their_order(rates: list[float]) -> None:
    found = MixtureDraws(rates, seed=3).draws(0, 3000)
    for leaf in range(len(rates)):
        numbers = [draw.nth for draw in found if draw.leaf == leaf]
        assert numbers == list(range(len(numbers)))


@given(RATES, st.integers(0, 2**40), st.integers(0, 9))
def test_counts_never_fall_and_are_never_five_draws_from_their_rates(
    rates: list[float], block: int, seed: int
) -> None:
    draws = MixtureDraws(rates, seed=seed)
    start = block * draws.block_draws
    before, after = draws.counts(start), draws.counts(start + draws.block_draws)
    assert sum(before) == start
    weights = [max(1, round(rate / math.fsum(rates) * 2**40)) for rate in rates]
    for weight, fewer, more in zip(weights, before, after, strict=True):
        assert more >= fewer
        assert abs(fewer * sum(weights) - weight * start) < 5 * sum(weights)


@pytest.mark.parametrize("leaves", [2, 8, 60, 1836])
@pytest.mark.parametrize("kind", ["equal", "zipf", "lognormal"])
def test_block_ends_are_within_two_draws_of_the_rates(leaves: int, kind: str) -> None:
    rng = random.Random(f"{leaves}{kind}")
    make = {
        "equal": lambda _: 1.0,
        "zipf": lambda n: 1 / (n + 1),
        "lognormal": lambda _: rng.lognormvariate(0, 3),
    }
    rates = [make[kind](n) for n in range(leaves)]
    draws, total = MixtureDraws(rates, seed=leaves), math.fsum(rates)
    for block in (1, 2, 3, 10, 117):
        stop = block * draws.block_draws
        assert max(abs(c - r / total * stop) for c, r in zip(draws.counts(stop), rates, strict=True)) < 2


def test_every_tenth_of_a_run_keeps_the_rates() -> None:
    """Within three standard deviations of independent draws; blocks hold them much nearer."""
    draws = MixtureDraws(SKEWED, seed=11)
    tenth = 10_000
    for start in range(0, 10 * tenth, tenth):
        counts = counted(draws.draws(start, start + tenth), len(SKEWED))
        for rate, count in zip(SKEWED, counts, strict=True):
            assert abs(count - tenth * rate) <= 3 * math.sqrt(tenth * rate * (1 - rate)) + 1


def test_a_rare_leaf_comes_early_for_some_seeds_and_on_average_as_its_rate_says() -> None:
    first = [MixtureDraws([0.9999, 0.0001], seed=seed).counts(2048)[1] for seed in range(2000)]
    assert set(first) == {0, 1}
    assert abs(sum(first) - 2000 * 0.2048) < 3 * math.sqrt(2000 * 0.2048 * 0.7952)


def test_seeds_and_blocks_have_orders_of_their_own() -> None:
    one, other = (MixtureDraws([1, 1], seed=seed).draws(0, 4096) for seed in (0, 1))
    leaves = [draw.leaf for draw in one]
    assert 1800 < sum(a.leaf == b.leaf for a, b in zip(one, other, strict=True)) < 2300
    assert leaves[:1024] != leaves[1024:2048]
    runs = sum(a != b for a, b in pairwise(leaves))
    assert 1900 < runs < 2200, "as often as not the next draw is of the other leaf"


def test_draws_are_pinned_so_that_a_run_can_be_made_again() -> None:
    draws = MixtureDraws([5, 3, 2], seed=0)
    assert (
        "".join(str(draw.leaf) for draw in draws.draws(1000, 1040))
        == "2110021021101021110001021021100102100100"
    )
    assert draws.draw(10**12) == Draw(0, 500_000_000_000)


def test_a_block_has_room_for_every_leaf() -> None:
    assert MixtureDraws([1.0], seed=0).block_draws == 1024
    assert MixtureDraws([1.0] * 1836, seed=0).block_draws == 8192
    assert min(MixtureDraws([1.0] * 1836, seed=0).counts(8192)) >= 3


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ([], "at least one rate"),
        ([1, 0], "every rate of a mixture must be above 0: got 0 for leaf 1"),
        ([float("nan")], "every rate"),
        ([1, float("inf")], "every rate"),
    ],
)
def test_what_cannot_be_drawn_from(rates: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MixtureDraws(rates, seed=0)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, 4)])
def test_draws_are_counted_from_0(start: int, stop: int) -> None:
    with pytest.raises(UsageError, match="draws are counted from 0 on"):
        MixtureDraws([1], seed=0).draws(start, stop)
