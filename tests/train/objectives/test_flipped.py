import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.tensors.collate import collate
from ramekin.train.objectives.flipped import FlippedLikelihood, unlikelihood
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.objectives.log_probs import log_probs
from ramekin.weights.adapter import LoraRecipe, attach_lora

flipped = FlippedLikelihood(3.0, 1e-6)


@pytest.mark.parametrize("weight", [0.5, 3.0])
@pytest.mark.parametrize("max_tokens", [1, 80, 100_000])
def test_the_gradient_is_that_of_the_plain_sum(make_model, make_pairs, assert_same, weight, max_tokens):
    objective = FlippedLikelihood(weight, 1e-6)
    for model, rel in ((make_model(), 1e-6), (make_model().double(), 1e-12)):
        assert_same(model, make_pairs(9), objective, max_tokens=max_tokens, rel=rel, weight=weight)


def sure_of_what_is_wrong(model, items, *, scale):
    """The items with the targets that the model would write under the wrong label, and a sharper head."""
    model.lm_head.weight.data *= scale

    def written(item, length=4):
        ids = [0]
        for _ in range(length):
            inputs = {"input_ids": torch.tensor([item.wrong_input_ids]), "use_cache": False}
            ids.append(int(model(**inputs, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        return tuple(ids[1:])

    return [replace(item, target_ids=written(item)) for item in items]


def test_the_clamp_holds_in_a_whole_step(make_model, make_pairs, assert_same):
    model = make_model()
    items = sure_of_what_is_wrong(model, make_pairs(6), scale=5)
    objective = FlippedLikelihood(3.0, 0.1)
    losses = objective(model, collate(items)).values[collate(items).under_wrong_label] / 3
    most = -math.log(-math.expm1(-0.1))
    held = torch.isclose(losses, torch.tensor(most))
    assert held.any() and not held.all() and losses.max() <= most + 1e-6
    assert_same(model, items, objective, max_tokens=80, rel=1e-5, weight=3.0, clamp=0.1)


def test_the_terms_are_those_of_their_rows(make_model, make_pairs):
    model, batch = make_model(), collate(make_pairs(7))
    losses = flipped(model, batch)
    denied = batch.under_wrong_label
    values = torch.where(denied, losses.values / 3.0, losses.values)
    torch.testing.assert_close(losses.parts["likelihood"], values[~denied].sum().detach())
    torch.testing.assert_close(losses.parts["unlikelihood"], values[denied].sum().detach())
    assert denied.sum() * 2 == len(denied), "the same tokens in both terms"


def test_without_weight_the_gradient_is_that_of_likelihood(make_model, make_pairs):
    model, items = make_model(), make_pairs(5)
    FlippedLikelihood(0.0, 1e-6)(model, collate(items)).values.sum().backward()
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    Likelihood()(model, collate([replace(i, wrong_input_ids=()) for i in items])).values.sum().backward()
    for one, other in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-4, atol=1e-5)


@given(st.integers(2, 9), st.integers(0, 99))
def test_the_derivatives_are_those_of_finite_differences(vocab, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, vocab, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.randint(0, vocab, (6,), generator=generator)
    assert torch.autograd.gradcheck(
        lambda x: unlikelihood(log_probs(x, labels).of_label, clamp=1e-6), (logits,)
    )


@pytest.mark.parametrize("short", [1e-2, 1e-4, 1.1e-6, 1e-7, 1e-9, 0.0])
def test_near_certainty_the_loss_and_its_gradient_are_finite(short):
    """Label 0 has p = 1 - short under the wrong label."""
    rest = math.log(short / 3) if short else -1000.0
    logits = torch.tensor([[math.log1p(-short), rest, rest, rest]], requires_grad=True)
    loss = unlikelihood(log_probs(logits, torch.tensor([0])).of_label, clamp=1e-6)
    loss.sum().backward()
    assert loss.item() == pytest.approx(-math.log(max(short, 1e-6)), rel=0.01)
    assert torch.isfinite(logits.grad).all()
    # d -log(1 - p) / d x_0 is p; beyond the clamp nothing pulls any more.
    assert logits.grad[0, 0].item() == pytest.approx(1 - short if short > 1e-6 else 0.0, abs=0.1)


def test_impossible_tokens_cost_nothing():
    log_p = torch.tensor([-math.inf, -200.0, -20.0], requires_grad=True)
    loss = unlikelihood(log_p, clamp=1e-6)
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.zeros(3), rtol=0, atol=1e-7)
    assert torch.isfinite(log_p.grad).all()


def test_a_sure_model_has_a_finite_gradient(make_model, make_pairs):
    """The instruction is certain under the wrong label: 1 - p is beyond fp32."""
    model = make_model()
    batch = collate(sure_of_what_is_wrong(model, make_pairs(3), scale=1e4))
    losses = flipped(model, batch)
    torch.testing.assert_close(losses.values[batch.under_wrong_label] / 3, torch.full((12,), -math.log(1e-6)))
    losses.values.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert torch.isfinite(losses.values).all()


def test_bf16_autocast_leaves_the_loss_in_fp32(make_model, make_pairs):
    model, batch = make_model(), collate(make_pairs(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = flipped(model, batch)
    assert losses.values.dtype == losses.parts["unlikelihood"].dtype == torch.float32
    torch.testing.assert_close(losses.values, flipped(model, batch).values, rtol=0.1, atol=0.1)


def test_an_adapter_has_the_same_loss_at_its_start(make_model, make_pairs):
    batch = collate(make_pairs(4))
    wrapped = attach_lora(make_model(), LoraRecipe(rank=2), seed=0)
    torch.testing.assert_close(flipped(make_model(), batch).values, flipped(wrapped, batch).values)


def test_examples_without_wrong_inputs_are_refused(make_model, make_items):
    with pytest.raises(
        DataError, match="needs the inputs under a wrong label.*wrong_inputs in every example"
    ):
        flipped(make_model(), collate(make_items(3)))
