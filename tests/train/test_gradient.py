import pytest
import torch

from ramekin.tensors.collate import collate
from ramekin.tensors.plan import plan_epoch
from ramekin.train.gradient import accumulate, clip, loss_and_norm
from ramekin.train.objective import direct
from ramekin.train.placement import Placement

CPU = Placement(torch.device("cpu"), "fp32")


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def accumulated(model, items, budget):
    lengths = [item.lengths for item in items]
    (step,) = plan_epoch(lengths, seed=0, epoch=0, global_batch=len(items), micro_batch_tokens=budget)
    model.zero_grad(set_to_none=True)
    batches = [[items[index] for index in indices] for indices in step.micro_batches]
    count, done = accumulate(model, direct, batches, CPU, seed=0, step=0)
    return count, done, gradients(model)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("budget", [1, 30, 60, 200, 100_000])
def test_the_gradient_is_that_of_one_padded_batch(make_model, make_items, tied, budget):
    model, items = make_model(tied=tied), make_items(16)
    count, done, ours = accumulated(model, items, budget)
    batch = collate(items)
    model.zero_grad(set_to_none=True)
    reference = model(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
    ).loss
    reference.backward()
    for name, expected in gradients(model).items():
        error = (ours[name] - expected).norm() / expected.norm()
        assert error <= 1e-5, name
    loss, norm = loss_and_norm(done, model.parameters(), count.target_tokens)
    assert loss == pytest.approx(reference.item(), rel=1e-5)
    expected_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
    assert norm == pytest.approx(expected_norm.item(), rel=1e-5)


def test_the_count_is_of_real_and_padded_tokens(make_model, make_items):
    items = make_items(6)
    count, done, _ = accumulated(make_model(), items, 50)
    assert count.examples == 6
    assert count.input_tokens == sum(len(item.input_ids) for item in items)
    assert count.target_tokens == sum(len(item.target_ids) for item in items)
    assert count.padded_tokens == sum(d.batch.input_ids.numel() + d.batch.labels.numel() for d in done)
    assert count.padded_tokens >= count.input_tokens + count.target_tokens


def test_dropout_is_a_function_of_seed_step_and_micro_batch(make_model, make_items):
    model, items = make_model().train(), make_items(4)

    def losses(seed, step, before):
        torch.manual_seed(before)
        _, done = accumulate(model, direct, [items, items], CPU, seed=seed, step=step)
        return [micro_batch.losses for micro_batch in done]

    first = losses(0, 0, before=1)
    assert torch.equal(first[0], losses(0, 0, before=2)[0])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], losses(0, 1, before=1)[0])
    assert not torch.equal(first[0], losses(1, 0, before=1)[0])


def test_seeding_leaves_nothing_behind(make_model, make_items):
    before = len(torch.cuda._queued_calls)
    accumulate(make_model(), direct, [make_items(2)], CPU, seed=0, step=0)
    assert len(torch.cuda._queued_calls) == before


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 1e6])
def test_clipping_is_that_of_torch(make_model, make_items, max_norm):
    items = make_items(4)
    ours, theirs = make_model(), make_model()
    for model in (ours, theirs):
        accumulate(model, direct, [items], CPU, seed=0, step=0)
    norm = float(torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm))
    clip(ours.parameters(), max_norm=max_norm, norm=norm)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
