import math

import numpy as np
import pytest
import torch
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

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
    "adamwscale": {"optimizer": "adamwscale"},
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


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("adamw", 0.05, 1e-3),
        ("adamwscale", 0.05, 5e-5),
        ("adamwscale", 1.0, 1e-3),
        ("adamwscale", 1e-4, 1e-6),  # the size counts as 1e-3 at least
        ("adafactor", 0.05, 5e-5),
        ("adafactor", 1.0, 1e-3),
        ("adafactor unscaled", 0.05, 1e-3),
        ("adafactor unscaled", 1.0, 1e-3),
    ],
)
def test_what_a_rate_of_one_thousandth_means(make_recipe, kind, size, expected):
    """T5X's 1e-3 moves a kernel of RMS 0.05 by 5e-5 in the first step, the Trainer's by twenty times that."""
    model = Kernel(size)
    rms = update_rms(model, build_optimizer(model, make_recipe(learning_rate=1e-3, **KINDS[kind])))
    assert rms == pytest.approx(expected, rel=0.05)


def test_scaled_adafactor_never_takes_a_rate_above_one_over_root_t(make_recipe):
    """torch's rule; it has no effect before step 1 / rate²."""
    moved = {}
    for rate in (0.2, 0.25, 0.5):
        model = Kernel(1.0)
        optimizer = build_optimizer(model, make_recipe(optimizer="adafactor", learning_rate=rate))
        for _ in range(16):
            before = model.weight.detach().clone()
            update_rms(model, optimizer)
        size = before.pow(2).mean().sqrt()
        moved[rate] = ((model.weight.detach() - before).pow(2).mean().sqrt() / size).item()
    assert moved[0.25] == pytest.approx(moved[0.5], rel=0.01)
    assert moved[0.2] == pytest.approx(0.8 * moved[0.25], rel=0.05)


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


def rms(array):
    return math.sqrt(np.mean(array**2))


def adam(p, gradients, *, rate, decay, beta1=0.9, beta2=0.999, epsilon=None, scaled=False):
    """AdamW and AdamWScale, from their equations, in fp64."""
    epsilon = (1e-6 if scaled else 1e-8) if epsilon is None else epsilon
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(gradients, start=1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        one, two = 1 - beta1**t, 1 - beta2**t
        if scaled:
            p = p - rate * max(1e-3, rms(p)) * math.sqrt(two) / one * m / (np.sqrt(v) + epsilon)
            p = p - rate * decay * p
        else:
            p = p - rate * decay * p
            p = p - rate * (m / one) / (np.sqrt(v / two) + epsilon)
    return p


def adafactor(p, gradients, *, rate, decay, decay_rate=0.8, scaled=True):
    """Adafactor without momentum, from its equations, in fp64; torch decays by the rate itself."""
    row, column, full = 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        beta = 1 - t**-decay_rate
        if p.ndim == 2:
            row = beta * row + (1 - beta) * np.mean(g**2, axis=1)
            column = beta * column + (1 - beta) * np.mean(g**2, axis=0)
            variance = np.outer(row, column) / np.mean(row)
        else:
            variance = full = beta * full + (1 - beta) * g**2
        update = g / np.sqrt(variance)
        update = update / max(1.0, rms(update))
        size = max(1e-3, rms(p)) * min(rate, t**-0.5) if scaled else rate
        p = p - rate * decay * p - size * update
    return p


NUMBERS = {
    "adamw": {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3},
    "adamwscale": {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3},
    "adafactor": {"decay_rate": 0.6},
    "adafactor unscaled": {"decay_rate": 0.6},
}


@pytest.mark.parametrize("given", [False, True], ids=["its own numbers", "given numbers"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_follows_its_equations(make_recipe, kind, given):
    numbers = NUMBERS[kind] if given else {}
    recipe = make_recipe(learning_rate=1e-2, weight_decay=0.1, **KINDS[kind], **numbers)
    model = Kernel(0.3)
    start = {name: p.detach().double().numpy().copy() for name, p in model.named_parameters()}
    optimizer = build_optimizer(model, recipe)
    gradients = {name: [] for name in start}
    for step in range(8):
        generator = torch.Generator().manual_seed(step)
        for name, p in model.named_parameters():
            p.grad = torch.randn(p.shape, generator=generator) * 0.01
            gradients[name].append(p.grad.double().numpy())
        optimizer.step()
    reference = adam if kind.startswith("adamw") else adafactor
    scaled = kind in ("adamwscale", "adafactor")
    options = {"scaled": scaled, **numbers}
    for name, p in model.named_parameters():
        decay = 0.1 if name == "weight" else 0.0
        expected = reference(start[name], gradients[name], rate=1e-2, decay=decay, **options)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=0, atol=1e-6)
        assert np.abs(expected - start[name]).max() > 1e-2 * (0.05 if scaled else 1)


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


def test_weight_decay_leaves_the_vectors_of_ia3_alone(make_recipe):
    model = nn.Module()
    model.k = nn.Module()
    model.k.ia3_l = nn.ParameterDict({"default": nn.Parameter(torch.ones(8, 1))})
    model.k.lora_A = nn.ParameterDict({"default": nn.Parameter(torch.ones(1, 8))})
    optimizer = build_optimizer(model, make_recipe(weight_decay=0.1))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {id(model.k.ia3_l["default"]): 0.0, id(model.k.lora_A["default"]): 0.1}


def test_tensors_without_a_gradient_keep_their_count(make_recipe):
    """A tensor that joins later is corrected by its own number of steps."""
    late, whole = Kernel(0.3), Kernel(0.3)
    recipe = make_recipe(optimizer="adamwscale", learning_rate=1e-2)
    optimizers = [build_optimizer(model, recipe) for model in (late, whole)]
    for step in range(3):
        for model, optimizer in zip((late, whole), optimizers, strict=True):
            torch.manual_seed(step)
            model.weight.grad = torch.randn(64, 64)
            model.norm.grad = torch.ones(64) if model is whole or step == 2 else None
            optimizer.step()
    assert torch.equal(late.weight, whole.weight)
    once = adam(np.ones(64), [np.ones(64)], rate=1e-2, decay=0.0, scaled=True)
    np.testing.assert_allclose(late.norm.detach().numpy(), once, rtol=0, atol=1e-6)


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


@pytest.mark.parametrize("kind", ["adamw", "adamwscale"])
def test_adam_remembers_two_numbers_for_each_trained_one(make_model, make_recipe, kind):
    model = make_model()
    assert state_share(model, build_optimizer(model, make_recipe(**KINDS[kind]))) == 2.0


@pytest.mark.parametrize("kind", ["adafactor", "adafactor unscaled"])
def test_adafactor_remembers_a_row_and_a_column_of_each_matrix(make_model, make_recipe, kind):
    model = make_model(d_model=128, d_kv=32, d_ff=256, num_heads=4)
    share = state_share(model, build_optimizer(model, make_recipe(**KINDS[kind])))
    assert share == pytest.approx(factored_share(p.shape for p in model.parameters()))
    with torch.device("meta"):  # of Flan-T5-base's shape: 2 MB beside AdamW's 1,981
        flan_base = T5ForConditionalGeneration(
            T5Config(
                d_model=768, d_kv=64, d_ff=2048, num_layers=12, num_heads=12, feed_forward_proj="gated-gelu"
            )
        )
    shapes = [*(p.shape for p in flan_base.parameters()), flan_base.lm_head.weight.shape]
    assert sum(map(math.prod, shapes)) == 247_577_856
    assert factored_share(shapes) == pytest.approx(0.0022, rel=0.02)


def factored_share(shapes):
    """Rows and columns of every matrix and all of every vector, by number."""
    shapes = [tuple(shape) for shape in shapes]
    return sum(map(sum, shapes)) / sum(map(math.prod, shapes))


def state_share(model, optimizer):
    """Numbers in the optimizer's memory by trained number."""
    parameters = trainable_parameters(model)
    for p in parameters.values():
        p.grad = torch.ones_like(p)
    optimizer.step()
    state = read_state(optimizer, parameters).tensors
    held = sum(t.numel() for name, t in state.items() if not name.endswith(("::step", "::RMS")))
    return held / sum(p.numel() for p in parameters.values())
