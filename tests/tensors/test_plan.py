import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.tensors.plan import (
    batches_by_length,
    batches_by_lengths,
    micro_batches,
    padded_tokens,
    shares,
)

lengths_of = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), max_size=80)
budgets = st.integers(1, 400)


@given(lengths_of, budgets, st.integers(1, 2))
def test_micro_batches_are_a_partition_within_the_budget(lengths, budget, rows):
    batches = micro_batches(lengths, max_tokens=budget, rows=rows)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or padded_tokens(lengths, batch, rows=rows) <= budget


def cost(lengths, batches, budget):
    return sum(padded_tokens(lengths, batch) + budget // 16 for batch in batches)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), min_size=1, max_size=8), budgets)
def test_no_cut_in_the_order_of_the_inputs_costs_less(lengths, budget):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    possible = []
    for bounds in itertools.product([False, True], repeat=len(lengths) - 1):
        ends = [i + 1 for i, is_cut in enumerate(bounds) if is_cut]
        cut = [order[i:j] for i, j in zip([0, *ends], [*ends, len(order)], strict=True)]
        if all(len(batch) == 1 or padded_tokens(lengths, batch) <= budget for batch in cut):
            possible.append(cost(lengths, cut, budget))
    assert cost(lengths, micro_batches(lengths, max_tokens=budget), budget) <= min(possible)


@given(lengths_of, budgets)
def test_the_largest_micro_batch_comes_first(lengths, budget):
    sizes = [padded_tokens(lengths, batch) for batch in micro_batches(lengths, max_tokens=budget)]
    assert sizes == sorted(sizes, reverse=True)


def test_long_targets_stand_apart():
    short, long = [(100 + n, 2) for n in range(20)], [(100 + n, 60) for n in range(0, 20, 4)]
    lengths = short + long
    for batch in micro_batches(lengths, max_tokens=1600):
        assert len({lengths[i][1] for i in batch}) == 1


def test_cutting_saves_padding():
    lengths = [(n * 7919 % 200 + 10, 3 + n % 13) for n in range(256)]
    batches = micro_batches(lengths, max_tokens=2048)
    spent = sum(padded_tokens(lengths, batch) for batch in batches)
    assert sum(map(sum, lengths)) / spent > 0.9
    assert len(batches) < 40


def test_nothing_needs_no_micro_batch():
    assert micro_batches([], max_tokens=10) == ()


def test_what_a_batch_costs():
    assert padded_tokens([(3, 1), (9, 2), (1, 4)], (0, 2)) == 2 * (3 + 4)
    assert padded_tokens([(3, 1), (9, 2)], (0, 1), rows=2) == 2 * 2 * (9 + 2)


@given(lengths_of, budgets, st.integers(1, 9))
def test_shares_are_a_partition_with_equal_numbers(lengths, budget, ranks):
    dealt = shares(lengths, ranks=ranks, max_tokens=budget)
    assert len(dealt) == ranks
    assert len({len(share) for share in dealt}) == 1
    assert sorted(i for share in dealt for batch in share for i in batch) == list(range(len(lengths)))
    sizes = [sum(map(len, share)) for share in dealt]
    assert max(sizes) - min(sizes) <= 1
    for batch in (batch for share in dealt for batch in share):
        assert len(batch) < 2 or padded_tokens(lengths, batch) <= budget
    for share, size in zip(dealt, sizes, strict=True):
        assert all(share) or size < len(share), "no process idles while it has examples left"


@given(lengths_of, budgets)
def test_one_process_has_all_micro_batches(lengths, budget):
    assert shares(lengths, ranks=1, max_tokens=budget) == (micro_batches(lengths, max_tokens=budget),)


def test_shares_cost_about_the_same():
    rng = random.Random(0)
    lengths = [(rng.randint(20, 250), rng.randint(2, 8)) for _ in range(64)]
    for ranks in (2, 4):
        dealt = shares(lengths, ranks=ranks, max_tokens=1024)
        costs = [sum(padded_tokens(lengths, batch) for batch in share) for share in dealt]
        assert max(costs) <= 1.1 * min(costs)


@given(st.lists(st.integers(1, 90), max_size=80), budgets)
def test_inference_batches_are_a_partition_within_the_budget(lengths, budget):
    batches = batches_by_length(lengths, max_tokens=budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    widths = [max(lengths[i] for i in batch) for batch in batches]
    assert widths == sorted(widths, reverse=True)
    for batch, width in zip(batches, widths, strict=True):
        assert len(batch) == 1 or len(batch) * width <= budget


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), min_size=1, max_size=8), budgets)
def test_no_inference_batches_of_the_longest_first_cost_less(lengths, budget):
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i][0], -lengths[i][1], i))
    ways = []
    for marks in itertools.product((False, True), repeat=len(order) - 1):
        ends = [*(place for place, marked in enumerate(marks, start=1) if marked), len(order)]
        cut = [order[begin:end] for begin, end in itertools.pairwise((0, *ends))]
        if all(len(batch) == 1 or padded_tokens(lengths, batch) <= budget for batch in cut):
            ways.append(cost(lengths, cut, budget))
    found = batches_by_lengths(lengths, max_tokens=budget)
    assert [index for batch in found for index in batch] == order
    assert cost(lengths, found, budget) == min(ways)


def test_the_first_inference_batch_is_full():
    """So that what does not fit into memory fails at once."""
    assert [len(batch) for batch in batches_by_length([10] * 23, max_tokens=100)] == [10, 10, 3]


def test_lengths_that_differ_are_not_padded_to_fill_a_batch():
    lengths = [*[300] * 4, *[40] * 90]
    batches = batches_by_length(lengths, max_tokens=8192)
    assert [sorted({lengths[i] for i in batch}) for batch in batches] == [[300], [40]]


def test_the_budget_is_positive():
    with pytest.raises(UsageError, match="max_tokens: expected >= 1, got 0"):
        micro_batches([(1, 1)], max_tokens=0)


def test_max_tokens_is_positive():
    with pytest.raises(UsageError, match="max_tokens: expected >= 1, got -1"):
        batches_by_length([1], max_tokens=-1)
