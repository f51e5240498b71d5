import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.tensors.plan import batches_by_length, plan_epoch

lengths_of = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), max_size=80)
seeds = st.integers(0, 2**32)
small = st.integers(1, 20)
budgets = st.integers(1, 400)


def padded(lengths, batch):
    return len(batch) * (max(lengths[i][0] for i in batch) + max(lengths[i][1] for i in batch))


@given(lengths_of, seeds, small, budgets)
def test_an_epoch_is_a_partition_within_the_budget(lengths, seed, global_batch, budget):
    steps = plan_epoch(lengths, seed=seed, epoch=0, global_batch=global_batch, micro_batch_tokens=budget)
    assert sorted(i for step in steps for i in step.indices) == list(range(len(lengths)))
    sizes = [len(step.indices) for step in steps]
    assert all(size == global_batch for size in sizes[:-1])
    assert all(0 < size <= global_batch for size in sizes[-1:])
    for step in steps:
        for batch in step.micro_batches:
            assert batch
            assert len(batch) == 1 or padded(lengths, batch) <= budget


@given(lengths_of, seeds, small, budgets, budgets)
def test_the_budget_does_not_change_who_shares_a_step(lengths, seed, global_batch, one, other):
    plans = [
        plan_epoch(lengths, seed=seed, epoch=3, global_batch=global_batch, micro_batch_tokens=budget)
        for budget in (one, other)
    ]
    assert [sorted(step.indices) for step in plans[0]] == [sorted(step.indices) for step in plans[1]]


@given(lengths_of, seeds, small)
def test_lengths_do_not_change_who_shares_a_step(lengths, seed, global_batch):
    other = [(7, 7)] * len(lengths)
    plans = [
        plan_epoch(x, seed=seed, epoch=1, global_batch=global_batch, micro_batch_tokens=50)
        for x in (lengths, other)
    ]
    assert [sorted(step.indices) for step in plans[0]] == [sorted(step.indices) for step in plans[1]]


def test_the_plan_is_a_pure_function_of_seed_and_epoch():
    lengths = [(n % 37 + 1, n % 5 + 1) for n in range(500)]

    def plan(seed, epoch):
        return plan_epoch(lengths, seed=seed, epoch=epoch, global_batch=32, micro_batch_tokens=256)

    assert plan(1, 2) == plan(1, 2)
    assert len({plan(seed, epoch) for seed in (1, 2) for epoch in (0, 1, 2)}) == 6


def test_the_permutation_is_pinned():
    """A change here changes every run and breaks the resume of unfinished ones."""
    steps = plan_epoch([(1, 1)] * 10, seed=7, epoch=1, global_batch=5, micro_batch_tokens=1000)
    assert [step.indices for step in steps] == [(3, 5, 7, 8, 9), (0, 1, 2, 4, 6)]


def test_sorting_saves_padding():
    lengths = [(n * 7919 % 200 + 10, 3) for n in range(256)]
    (step,) = plan_epoch(lengths, seed=0, epoch=0, global_batch=256, micro_batch_tokens=2048)
    spent = sum(padded(lengths, batch) for batch in step.micro_batches)
    assert sum(map(sum, lengths)) / spent > 0.85


@given(st.lists(st.integers(1, 90), max_size=80), budgets)
def test_inference_batches_are_a_partition_within_the_budget(lengths, budget):
    batches = batches_by_length(lengths, max_tokens=budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    widths = [max(lengths[i] for i in batch) for batch in batches]
    assert widths == sorted(widths, reverse=True)
    for batch, width in zip(batches, widths, strict=True):
        assert len(batch) == 1 or len(batch) * width <= budget


@pytest.mark.parametrize("key", ["global_batch", "micro_batch_tokens"])
def test_sizes_are_positive(key):
    sizes = {"global_batch": 4, "micro_batch_tokens": 64, key: 0}
    with pytest.raises(UsageError, match=f"{key}: expected >= 1, got 0"):
        plan_epoch([(1, 1)], seed=0, epoch=0, **sizes)


def test_max_tokens_is_positive():
    with pytest.raises(UsageError, match="max_tokens: expected >= 1, got -1"):
        batches_by_length([1], max_tokens=-1)
