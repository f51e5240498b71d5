"""A plain reference for every objective: one example after the other, whole logits, float64, sums by hand."""

import math

import pytest
import torch

from ramekin.train.gradient import accumulate, cut_step, measure
from ramekin.train.placement import Placement
from ramekin.train.team import Alone

CPU = Placement(torch.device("cpu"), "fp32")


def token_distributions(model, input_ids, target_ids):
    """log P of the whole vocabulary at each token of one target: (targets, vocab)."""
    output = model(
        input_ids=torch.tensor([input_ids]),
        decoder_input_ids=torch.tensor([[0, *target_ids[:-1]]]),
        use_cache=False,
    )
    logits = output.logits[0]
    return logits - logits.exp().sum(-1, keepdim=True).log()


def reference_loss(model, items, *, smoothing=0.0, weight=0.0, clamp=1e-6):
    """(L_LM + weight x L_UL) / tokens, and the two terms by themselves."""
    likely = smoothed = unlikely = 0.0
    for item in items:
        right = token_distributions(model, item.input_ids, item.target_ids)
        for place, label in enumerate(item.target_ids):
            likely = likely - right[place, label]
            smoothed = smoothed - right[place].mean()
        if not item.wrong_input_ids:
            continue
        wrong = token_distributions(model, item.wrong_input_ids, item.target_ids)
        for place, label in enumerate(item.target_ids):
            chance = wrong[place, label].exp()
            sure = chance > math.exp(-clamp)
            unlikely = unlikely - (math.log(-math.expm1(-clamp)) if sure else torch.log(1 - chance))
    tokens = sum(len(item.target_ids) for item in items)
    loss = ((1 - smoothing) * likely + smoothing * smoothed + weight * unlikely) / tokens
    return loss, {"likelihood": likely / tokens, "unlikelihood": unlikely / tokens}


def reference(model, items, **numbers):
    """Loss, its terms, and gradients by name."""
    model.zero_grad(set_to_none=True)
    loss, terms = reference_loss(model, items, **numbers)
    loss.backward()
    terms = {name: float(torch.as_tensor(value).detach()) for name, value in terms.items()}
    return loss.item(), terms, {name: p.grad.clone() for name, p in model.named_parameters()}


def by_micro_batches(model, items, objective, *, max_tokens):
    """The same as the training loop computes it."""
    model.zero_grad(set_to_none=True)
    cut = cut_step(items, Alone(), max_tokens=max_tokens)
    done = accumulate(model, objective, cut, CPU, seed=0, step=0)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    measured = measure(done, norm, cut, CPU, Alone(), objective.parts)
    return measured, {name: p.grad.clone() for name, p in model.named_parameters()}


def assert_same(model, items, objective, *, max_tokens, rel, **numbers):
    """Loss, terms and every gradient of an objective are the reference's."""
    measured, ours = by_micro_batches(model, items, objective, max_tokens=max_tokens)
    model.double()
    loss, terms, expected = reference(model, items, **numbers)
    assert measured.loss == pytest.approx(loss, rel=rel)
    assert measured.parts == pytest.approx({name: terms[name] for name in objective.parts}, rel=rel)
    for name, gradient in expected.items():
        assert (ours[name] - gradient).norm() <= 10 * rel * gradient.norm(), name


@pytest.fixture(name="assert_same")
def _assert_same():
    return assert_same
