import math

import pytest
import torch

from ramekin.errors import ResourceError
from ramekin.tensors.collate import collate
from ramekin.train.gradient import accumulate, clip, cut_step, measure, within_memory
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.placement import Placement
from ramekin.train.team import Alone

CPU = Placement(torch.device("cpu"), "fp32")


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def accumulated(model, items, budget, team=None):
    model.zero_grad(set_to_none=True)
    cut = cut_step(items, team or Alone(), max_tokens=budget)
    done = accumulate(model, Likelihood(), cut, CPU, seed=0, step=0)
    return cut, done, gradients(model)


def norm_of(model):
    return torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])


def reference_gradient(model, items):
    batch = collate(items)
    model.zero_grad(set_to_none=True)
    loss = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
    loss.backward()
    return loss.item(), gradients(model)


def assert_same_gradient(ours, expected):
    assert ours.keys() == expected.keys()
    for name in expected:
        assert (ours[name] - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("budget", [1, 30, 60, 200, 100_000])
def test_the_gradient_is_that_of_one_padded_batch(make_model, make_items, tied, budget):
    model, items = make_model(tied=tied), make_items(16)
    cut, done, ours = accumulated(model, items, budget)
    measured = measure(done, norm_of(model), cut, CPU, Alone(), ())
    loss, expected = reference_gradient(model, items)
    assert_same_gradient(ours, expected)
    assert measured.loss == pytest.approx(loss, rel=1e-5)
    expected_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
    assert measured.grad_norm == pytest.approx(expected_norm.item(), rel=1e-5)


def test_losses_are_told_by_example_in_the_order_of_the_step(make_model, make_items):
    model, items = make_model(), make_items(9)
    cut, done, _ = accumulated(model, items, 40)
    measured = measure(done, norm_of(model), cut, CPU, Alone(), ())
    alone = [Likelihood()(model, collate([item])).values.sum().item() for item in items]
    assert measured.by_example == pytest.approx(alone, rel=1e-5)


def test_the_count_is_of_real_and_padded_tokens(make_model, make_items):
    items = make_items(6)
    cut, done, _ = accumulated(make_model(), items, 50)
    count = cut.count
    assert count.examples == 6
    assert count.input_tokens == sum(len(item.input_ids) for item in items)
    assert count.target_tokens == sum(len(item.target_ids) for item in items)
    assert count.computed_tokens == count.input_tokens + count.target_tokens
    assert count.padded_tokens == sum(d.batch.input_ids.numel() + d.batch.labels.numel() for d in done)
    assert count.padding_share == 1 - count.computed_tokens / count.padded_tokens


def test_dropout_is_a_function_of_seed_step_and_micro_batch(make_model, make_items):
    model, items = make_model().train(), make_items(4)

    def losses(seed, step, before):
        torch.manual_seed(before)
        cut = cut_step([*items, *items], Alone(), max_tokens=1)
        done = accumulate(model, Likelihood(), cut, CPU, seed=seed, step=step)
        return [micro_batch.losses.values for micro_batch in done]

    first = losses(0, 0, before=1)
    again = losses(0, 0, before=2)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1]), "equal examples, other micro-batches"
    assert not torch.equal(first[0], losses(0, 1, before=1)[0])
    assert not torch.equal(first[0], losses(1, 0, before=1)[0])


def test_seeding_leaves_nothing_behind(make_model, make_items):
    before = len(torch.cuda._queued_calls)
    accumulated(make_model(), make_items(2), 1000)
    assert len(torch.cuda._queued_calls) == before


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 1e6])
def test_clipping_is_that_of_torch(make_model, make_items, max_norm):
    items = make_items(4)
    ours, theirs = make_model(), make_model()
    for model in (ours, theirs):
        accumulated(model, items, 1000)
    norm = float(torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm))
    clip(ours.parameters(), max_norm=max_norm, norm=norm)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


# -- several processes


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_the_shares_of_all_processes_add_up_to_the_gradient(
    make_model, make_items, make_member, size, budget
):
    model, items = make_model(), make_items(16)
    cuts, summed = [], {}
    for rank in range(size):
        cut, _, ours = accumulated(model, items, budget, make_member(size, rank))
        cuts.append(cut)
        for name, gradient in ours.items():
            summed[name] = summed.get(name, 0) + gradient
    _, expected = reference_gradient(model, items)
    assert_same_gradient(summed, expected)
    assert sorted(place for cut in cuts for batch in cut.batches for place in cut.places(batch)) == list(
        range(16)
    )
    assert len({len(cut.batches) for cut in cuts}) == 1, "an equal number of micro-batches to each"
    numbers = [cut.first_number + turn * cut.stride for cut in cuts for turn in range(len(cut.batches))]
    assert len(set(numbers)) == len(numbers), "every micro-batch has a dropout of its own"
    assert len({cut.count for cut in cuts}) == 1


# -- memory


class Small:
    """An objective on a device that takes so many padded positions at a time."""

    parts = ()

    def __init__(self, capacity, *, fails_backward=False):
        self.capacity, self.fails_backward, self.calls = capacity, fails_backward, []

    def __call__(self, model, batch):
        positions = batch.input_ids.numel() + batch.labels.numel()
        self.calls.append(positions)
        losses = Likelihood()(model, batch)
        if positions > self.capacity and not self.fails_backward:
            raise torch.OutOfMemoryError("too much")
        if positions > self.capacity:
            losses.values.register_hook(self.fail)
        return losses

    def fail(self, gradient):
        raise torch.OutOfMemoryError("too much on the way back")


@pytest.mark.parametrize("fails_backward", [False, True], ids=["forward", "backward"])
def test_too_little_memory_halves_the_micro_batches_and_keeps_the_gradient(
    make_model, make_items, fails_backward
):
    model, items = make_model(), make_items(16)
    cut = cut_step(items, Alone(), max_tokens=100_000)
    objective = Small(90, fails_backward=fails_backward)
    done, enough = within_memory(model, objective, cut, CPU, seed=0, step=0, max_tokens=100_000)
    assert enough <= 90
    assert sorted(place for each in done for place in each.places) == list(range(16))
    ours = gradients(model)
    assert_same_gradient(ours, reference_gradient(model, items)[1])
    measured = measure(done, norm_of(model), cut, CPU, Alone(), ())
    assert measured.loss == pytest.approx(reference_gradient(model, items)[0], rel=1e-5)


def test_enough_memory_changes_nothing(make_model, make_items):
    objective = Small(math.inf)
    cut = cut_step(make_items(8), Alone(), max_tokens=70)
    _, enough = within_memory(make_model(), objective, cut, CPU, seed=0, step=0, max_tokens=70)
    assert (enough, len(objective.calls)) == (70, len(cut.batches))


def test_an_example_that_never_fits_is_named(make_model, make_items):
    items = make_items(5)
    cut = cut_step(items, Alone(), max_tokens=10_000)
    with pytest.raises(ResourceError, match=r"a single example does not fit .*step 4, cpu.*\(toy/"):
        within_memory(make_model(), Small(3), cut, CPU, seed=0, step=3, max_tokens=10_000)


def test_one_long_example_among_short_ones_that_never_fits_is_named(make_model, make_items):
    """Halving comes to an end though the largest micro-batch, which is that example, can be cut no further."""
    items = [*make_items(1, longest_input=200, seed=3), *make_items(9, longest_input=3, longest_target=2)]
    assert items[0].tokens > 4 * max(item.tokens for item in items[1:])
    cut = cut_step(items, Alone(), max_tokens=10_000)
    with pytest.raises(ResourceError, match="a single example does not fit"):
        within_memory(make_model(), Small(3), cut, CPU, seed=0, step=0, max_tokens=10_000)
