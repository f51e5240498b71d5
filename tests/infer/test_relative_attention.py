"""A bias laid out in parts is the bias, and memory does not grow with the square of the length."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

import ramekin.infer.relative_attention as module
from ramekin.infer.layers import Layers
from ramekin.infer.relative_attention import RelativeAttention


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("numbers", [1, 100, 10**9])
@pytest.mark.parametrize("is_masked", [False, True])
def test_in_parts_and_as_a_whole(monkeypatch, numbers, is_masked):
    batch, heads, length = 2, 3, 11
    table, steps = randn(heads, 2 * length - 1), torch.arange(length)
    whole = table[:, steps[None] - steps[:, None] + length - 1][None]
    mask = None
    if is_masked:
        mask = torch.zeros(batch, 1, 1, length)
        mask[1, :, :, 7:] = torch.finfo(torch.float32).min
        whole = whole + mask
    queries, keys, values = (randn(batch, heads, length, 4, seed=seed) for seed in (1, 2, 3))
    expected = scaled_dot_product_attention(queries, keys, values, attn_mask=whole, scale=1.0)
    monkeypatch.setattr(module, "_NUMBERS", numbers)
    found = RelativeAttention(table, mask).attend(queries, keys, values)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
@pytest.mark.parametrize("length", [1, 2, 50])
def test_the_table_is_transformers_own_bias(tiny, kind, length):
    model = tiny(kind, buckets=8)
    layers = Layers(model)
    steps = torch.arange(length)
    for stack, blocks in ((model.encoder, layers._encoder), (model.decoder, layers._decoder)):
        for theirs, ours in zip(stack.block, blocks, strict=True):
            if not ours.attention.has_bias:
                continue
            expected = theirs.layer[0].SelfAttention.compute_bias(length, length)[0]
            found = ours.attention.distances(length)[:, steps[None] - steps[:, None] + length - 1]
            assert torch.equal(found, expected)


@torch.inference_mode()
def test_a_long_input_is_read_in_parts_to_the_same_states(tiny, monkeypatch):
    model = tiny()
    ids = torch.randint(3, 90, (1, 300), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    whole = Layers(model).read(ids, mask)._states
    monkeypatch.setattr(module, "_NUMBERS", 3 * 300 * 64)
    torch.testing.assert_close(Layers(model).read(ids, mask)._states, whole, atol=1e-5, rtol=1e-5)
