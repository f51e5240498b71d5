import pytest
import torch
from torch import nn

from ramekin.errors import UsageError, WeightsError
from ramekin.train.optimizers import (
    OptimizerState,
    build_optimizer,
    read_state,
    trainable_parameters,
    write_state,
)
from ramekin.weights.adapter import LoraRecipe, attach_lora

KINDS = {
    "adamw": {"optimizer": "adamw"},
    "adafactor": {"optimizer": "adafactor"},
    "adafactor unscaled": {"optimizer": "adafactor", "scale_parameter": False},
}


class Kernel(nn.Module):
    def __init__(self, size):
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(64, 64) * size)
        self.norm = nn.Parameter(torch.ones(64))


def update_rms(model, optimizer):
    before = model.weight.detach().clone()
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return (model.weight.detach() - before).pow(2).mean().sqrt().item()


def test_adafactor_has_the_meaning_of_t5x(make_recipe):
    """The first update is the rate times the tensor's own size, so 20 times less on a kernel of RMS 0.05."""
    for size in (0.05, 1.0):
        model = Kernel(size)
        rms = update_rms(
            model, build_optimizer(model, make_recipe(optimizer="adafactor", learning_rate=1e-3))
        )
        assert rms == pytest.approx(1e-3 * size, rel=0.05)


def test_unscaled_adafactor_has_the_meaning_of_the_trainer(make_recipe):
    recipe = make_recipe(optimizer="adafactor", scale_parameter=False, learning_rate=1e-3)
    for size in (0.05, 1.0):
        model = Kernel(size)
        assert update_rms(model, build_optimizer(model, recipe)) == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize("gradient_rms", [1.0, 1e-4, 1e-6, 1e-8])
def test_scaled_adafactor_equals_that_of_transformers(make_recipe, gradient_rms):
    """Also where gradients are as small as those of a large model; rows without any stay as they are."""
    from transformers.optimization import Adafactor

    ours, theirs = Kernel(0.05), Kernel(0.05)
    mine = build_optimizer(ours, make_recipe(optimizer="adafactor", learning_rate=1e-3))
    other = Adafactor(theirs.parameters(), lr=1e-3, scale_parameter=True, relative_step=False)
    rows = torch.linspace(0, 3, 64)[:, None]  # of very different sizes, the first without a gradient
    for step in range(20):
        for model, optimizer in ((ours, mine), (theirs, other)):
            generator = torch.Generator().manual_seed(step)
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator) * gradient_rms
                parameter.grad = noise * rows if parameter.ndim == 2 else noise
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=0, atol=1e-7)
    torch.testing.assert_close(
        ours.norm, theirs.norm, rtol=0, atol=2e-7
    )  # near 1, where fp32 has steps of 1e-7
    assert torch.equal(ours.weight[0], Kernel(0.05).weight[0])


def test_adamw_equals_the_plain_one(make_recipe):
    ours, theirs = Kernel(0.3), Kernel(0.3)
    mine = build_optimizer(ours, make_recipe(learning_rate=1e-2, weight_decay=0.1))
    other = torch.optim.AdamW(
        [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.norm], "weight_decay": 0.0}],
        lr=1e-2,
        foreach=False,
    )
    for _ in range(5):
        update_rms(ours, mine)
        update_rms(theirs, other)
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.norm, theirs.norm)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_decay_leaves_norms_alone(make_model, make_recipe, kind):
    model = make_model()
    optimizer = build_optimizer(model, make_recipe(weight_decay=0.1, **KINDS[kind]))
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        norms = ["layer_norm" in names[id(p)] for p in group["params"]]
        assert all(norms) if group["weight_decay"] == 0 else not any(norms)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_goes_round_exactly(make_recipe, kind):
    recipe = make_recipe(**KINDS[kind])
    model = Kernel(0.3)
    optimizer = build_optimizer(model, recipe)
    for _ in range(3):
        update_rms(model, optimizer)
    state = read_state(optimizer, trainable_parameters(model))
    state = OptimizerState({k: v.clone() for k, v in state.tensors.items()}, dict(state.numbers))
    again = Kernel(0.3)
    with torch.no_grad():
        again.weight.copy_(model.weight)
        again.norm.copy_(model.norm)
    restored = build_optimizer(again, recipe)
    write_state(restored, trainable_parameters(again), state)
    for _ in range(2):
        update_rms(model, optimizer)
        update_rms(again, restored)
    assert torch.equal(model.weight, again.weight)
    assert torch.equal(model.norm, again.norm)


def test_state_of_another_model_is_refused(make_recipe):
    model = Kernel(0.3)
    optimizer = build_optimizer(model, make_recipe())
    with pytest.raises(WeightsError, match="saved optimizer is of another model: other"):
        write_state(
            optimizer, trainable_parameters(model), OptimizerState({"other::step": torch.ones(())}, {})
        )


def test_an_adapter_trains_only_its_own_tensors(make_model):
    parameters = trainable_parameters(attach_lora(make_model(), LoraRecipe(rank=2), seed=0))
    assert parameters
    assert all("lora_" in name for name in parameters)


def test_a_frozen_model_is_an_error(make_model):
    model = make_model()
    model.requires_grad_(False)
    with pytest.raises(UsageError, match="no trainable parameters"):
        trainable_parameters(model)


def test_unfused_adamw_where_there_is_no_kernel(make_recipe, monkeypatch):
    real = torch.optim.AdamW

    def refuse_fused(groups, **options):
        if options.get("fused"):
            raise RuntimeError("no fused kernel")
        return real(groups, **options)

    monkeypatch.setattr(torch.optim, "AdamW", refuse_fused)
    model = Kernel(0.3)
    assert not build_optimizer(model, make_recipe()).param_groups[0]["fused"]
