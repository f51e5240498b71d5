"""The fast routines compute what the modules do, and what is more than its weights is called."""

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.models.t5.modeling_t5 import T5LayerNorm

from ramekin.infer import linear
from ramekin.infer.linear import Packed, activation, joined, layer_norm, projection


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[True, False], ids=["onednn", "plain"])
def routine(request, monkeypatch):
    if request.param and not linear._has_onednn(torch.zeros(2, 2)):
        pytest.skip("this torch has no oneDNN")
    if not request.param:
        monkeypatch.setattr(linear, "_has_onednn", lambda weight: False)


@torch.inference_mode()
@pytest.mark.usefixtures("routine")
@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("shape", [(1, 33), (7, 33), (3, 5, 33), (300, 33)])
def test_a_projection_is_the_modules(packs, shape):
    module = nn.Linear(33, 21, bias=False)
    x = randn(*shape)
    found = projection(module, packed=Packed() if packs else None)(x)
    assert found.shape == (*shape[:-1], 21)
    torch.testing.assert_close(found, module(x), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.usefixtures("routine")
def test_an_input_that_lies_across_memory_is_read_right():
    module, x = nn.Linear(6, 4, bias=False), randn(6, 9).t()
    torch.testing.assert_close(projection(module, packed=Packed())(x), module(x), atol=1e-6, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.usefixtures("routine")
@pytest.mark.parametrize("packs", [False, True])
def test_several_are_each_as_alone(packs):
    modules, x = [nn.Linear(8, size, bias=False) for size in (3, 5, 2)], randn(4, 2, 8)
    found = joined(modules, packed=Packed() if packs else None)(x)
    for own, module in zip(found, modules, strict=True):
        torch.testing.assert_close(own, module(x), atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_weights_are_read_at_each_call_unless_they_are_copied():
    module, x = nn.Linear(8, 3, bias=False), randn(4, 8)
    live, copied = projection(module), projection(module, packed=Packed())
    before = copied(x)
    module.weight.mul_(2.0)
    torch.testing.assert_close(live(x), module(x), atol=1e-6, rtol=1e-5)
    if linear._has_onednn(module.weight):
        torch.testing.assert_close(copied(x), before, atol=1e-6, rtol=1e-5)


def test_what_is_more_than_its_weights_is_called():
    class Own(nn.Linear):
        pass

    hooked = nn.Linear(4, 4, bias=False)
    hooked.register_forward_pre_hook(lambda *_: None)
    for module in (Own(4, 4, bias=False), nn.Linear(4, 4), hooked, nn.Identity()):
        assert projection(module, packed=Packed()) is module
    with torch.inference_mode():
        mixed = joined([nn.Linear(4, 4, bias=False), hooked], packed=Packed())(randn(2, 4))
        torch.testing.assert_close(mixed[1], hooked(randn(2, 4)))


def test_other_precisions_are_torchs_own():
    assert not linear._has_onednn(torch.zeros(2, 2, dtype=torch.bfloat16))
    module, x = nn.Linear(8, 3, bias=False, dtype=torch.bfloat16), randn(4, 8).bfloat16()
    with torch.inference_mode():
        assert torch.equal(projection(module, packed=Packed())(x), module(x))


@torch.inference_mode()
def test_the_normalisation_is_t5s():
    module = T5LayerNorm(16, eps=1e-6)
    module.weight.copy_(randn(16, seed=1))
    x = randn(3, 2, 16) * 50
    torch.testing.assert_close(layer_norm(module)(x), module(x), atol=1e-5, rtol=1e-6)
    half = T5LayerNorm(16).bfloat16()
    assert layer_norm(half) is half


@torch.inference_mode()
@pytest.mark.parametrize("name", ["gelu_new", "relu", "silu", "gelu"])
def test_activations_are_those_of_the_model(name):
    module, x = ACT2FN[name], randn(5, 40) * 4
    torch.testing.assert_close(activation(module)(x), module(x), atol=1e-6, rtol=1e-5)


def test_a_normalisation_of_another_kind_is_called():
    class Norm(nn.Module):
        pass

    module = Norm()
    assert layer_norm(module) is module


def test_weights_that_are_shared_are_copied_once():
    first, packed = nn.Linear(8, 3, bias=False), Packed()
    if not linear._has_onednn(first.weight):
        pytest.skip("this torch has no oneDNN")
    second = nn.Linear(8, 3, bias=False)
    second.weight = first.weight
    for module in (first, second):
        projection(module, packed=packed)
        joined([module, first], packed=packed)
    assert len(packed._made) == 2


def test_few_numbers_of_rows_are_asked_of_onednn(monkeypatch):
    """It keeps a routine for each, which requests that come and go would make thousands of."""
    layer = nn.Linear(8, 5, bias=False)
    if not linear._has_onednn(layer.weight):
        pytest.skip("this torch has no oneDNN")
    asked = set()
    rounded = linear._round_rows
    monkeypatch.setattr(linear, "_round_rows", lambda rows: asked.add(rounded(rows)) or rounded(rows))
    with torch.inference_mode():
        for packed in (Packed(), None):
            run = projection(layer, packed=packed)
            for rows in (0, *range(1, 300)):
                x = randn(rows, 8, seed=rows)
                torch.testing.assert_close(run(x), layer(x), atol=1e-6, rtol=1e-6)
            x = randn(3, 11, 8)
            torch.testing.assert_close(run(x), layer(x), atol=1e-6, rtol=1e-6)
            assert run(x).shape == (3, 11, 5)
    assert len(asked) <= 17 + 8 * 5


def test_rounding_adds_an_eighth_at_most():
    for rows in range(1, 10_000):
        assert rows <= linear._round_rows(rows) <= rows * 9 / 8
