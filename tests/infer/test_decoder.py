"""Stepwise logits equal one uncached forward pass over the whole target."""

import random

import pytest
import torch

import ramekin.infer.decoder as decoder_module
from ramekin.infer.decoder import Decoder
from ramekin.infer.layers import Layers
from ramekin.infer.linear import Packed
from ramekin.tensors.collate import collate_inputs
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model


def tiny(kind="t5", *, tied=False):
    config = t5_config(
        vocab_size=50, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_decoder_layers=3, num_heads=2
    )
    return build_model({**config, "model_type": kind}, seed=0, tied=tied)


INPUTS = [[4, 9, 3, 8, 1], [7, 1], [5, 6, 30, 1]]
TARGETS = torch.tensor([[0, 11, 12, 13, 14], [0, 21, 1, 0, 0], [0, 31, 32, 1, 0]])


def begun(model, *batches, max_new_tokens):
    """A decoder that has read batches of inputs, apart."""
    layers = Layers(model, packed=Packed())
    decoder = Decoder(layers)
    decoder.admit([layers.read(*collate_inputs(each)) for each in batches], max_new_tokens=max_new_tokens)
    return decoder


def full_logits(model):
    """(batch, length, vocab) from one forward with the true mask."""
    input_ids, mask = collate_inputs(INPUTS)
    return model(input_ids=input_ids, attention_mask=mask, decoder_input_ids=TARGETS, use_cache=False).logits


@torch.inference_mode()
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
def test_steps_give_the_logits_of_one_forward(kind, tied):
    model = tiny(kind, tied=tied)
    expected = full_logits(model)
    decoder = begun(model, INPUTS, max_new_tokens=5)
    stepped = torch.stack([decoder.step(TARGETS[:, t]) for t in range(5)], dim=1)
    torch.testing.assert_close(stepped, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_rows_that_are_kept_go_on_as_before():
    model = tiny()
    expected = full_logits(model)
    decoder = begun(model, INPUTS, max_new_tokens=5)
    for t in range(2):
        decoder.step(TARGETS[:, t])
    decoder.keep([2, 0])
    for t in range(2, 4):
        torch.testing.assert_close(
            decoder.step(TARGETS[[2, 0], t]), expected[[2, 0], t], atol=1e-5, rtol=1e-5
        )
    decoder.keep([1])
    torch.testing.assert_close(decoder.step(TARGETS[[0], 4]), expected[[0], 4], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_rows_part_and_change_places():
    """A row goes on as two, and rows as numerous as before change places, as beams do."""
    model = tiny()
    written = torch.tensor([[0, 11, 12, 13], [0, 11, 22, 23], [0, 31, 32, 33], [0, 31, 32, 43]])
    ids, mask = collate_inputs([INPUTS[0], INPUTS[0], INPUTS[2], INPUTS[2]])
    expected = model(input_ids=ids, attention_mask=mask, decoder_input_ids=written, use_cache=False).logits
    decoder = begun(model, [INPUTS[0], INPUTS[2]], max_new_tokens=4)
    bytes_of_two = decoder.cache_bytes
    assert (
        bytes_of_two == 2 * 3 * 2 * 2 * 4 * 8 * 4
    )  # keys and values: 3 layers, 2 rows, 2 heads, 4 tokens of 8
    plan = [([0, 2], [0, 1]), ([0, 2], [0, 0, 1]), ([0, 1, 2], [2, 0, 1]), ([2, 0, 1], [0, 2, 0, 1])]
    held = [0, 2]
    for t, (fed, moves) in enumerate(plan):
        logits = decoder.step(written[fed, t])
        torch.testing.assert_close(logits, expected[fed, t], atol=1e-5, rtol=1e-5)
        decoder.keep(moves)
        held = [fed[move] for move in moves]
    assert held == [2, 1, 2, 0]
    assert decoder.cache_bytes == 2 * bytes_of_two
    assert decoder.cross_bytes == begun(model, [INPUTS[0], INPUTS[2]], max_new_tokens=1).cross_bytes


@torch.inference_mode()
def test_padding_on_the_left_reads_the_same():
    """Positions are relative and pads are masked: trap 7 of the fact sheet."""
    model = tiny()
    right = begun(model, INPUTS, max_new_tokens=1).step(TARGETS[:, 0])
    ids = torch.tensor([[0] * (6 - len(row)) + row for row in INPUTS])
    layers = Layers(model)
    decoder = Decoder(layers)
    decoder.admit([layers.read(ids, (ids != 0).long())], max_new_tokens=1)
    left = decoder.step(TARGETS[:, 0])
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["t5", "umt5"])
def test_inputs_that_were_read_apart_or_came_later_are_decoded_as_alone(kind):
    """Each row at an age of its own, through arrivals, departures and forks."""
    model = tiny(kind)
    layers = Layers(model)
    decoder = Decoder(layers)
    rng = random.Random(0)
    rows = []  # (input, what it was fed)

    def admit(*batches):
        decoder.admit([layers.read(*collate_inputs(each)) for each in batches], max_new_tokens=12)
        rows.extend((ids, [0]) for each in batches for ids in each)

    def step():
        logits = decoder.step(torch.tensor([fed[-1] for _, fed in rows]))
        for (ids, fed), row in zip(rows, logits, strict=True):
            expected = model(
                input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([fed]), use_cache=False
            ).logits[0, -1]
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-5)
            fed.append(rng.randrange(2, 50))

    def keep(*places):
        decoder.keep(places)
        rows[:] = [(ids, [*fed[:-1], fed[-1] + number % 3]) for number, (ids, fed) in
                   enumerate(rows[place] for place in places)]  # fmt: skip

    admit(INPUTS[:2], INPUTS[2:])
    step()
    step()
    admit([[8, 8, 8, 8, 8, 8, 8, 8, 1]], [[3, 1], [4, 5, 1]])
    step()
    keep(0, 0, 2, 3, 3, 5)  # the second is gone, and the fourth
    step()
    admit([[9, 9, 1]])
    step()
    keep(1, 3, 4, 6)
    for _ in range(4):
        step()
    keep(3)
    step()
    keep()
    assert decoder.num_rows == 0
    assert decoder.cross_bytes == 0
    admit(INPUTS)
    step()


@torch.inference_mode()
def test_many_groups_become_few_and_nothing_changes(monkeypatch):
    model = tiny()
    inputs = [[5 + place, *range(3, 4 + place), 1] for place in range(9)]
    tokens = torch.arange(9) + 10
    apart = begun(model, *([each] for each in inputs), max_new_tokens=3)
    monkeypatch.setattr(decoder_module, "_MAX_GROUPS", 3)
    few = begun(model, *([each] for each in inputs), max_new_tokens=3)
    assert (len(apart._groups), len(few._groups)) == (8, 3)
    for decoder in (apart, few):
        decoder.keep([0, 0, 1, 2, 4, 5, 6, 7, 8, 8])
    fed = torch.cat([tokens[:4], tokens[4:], tokens[:1]])
    torch.testing.assert_close(apart.step(fed), few.step(fed), atol=1e-5, rtol=1e-5)
