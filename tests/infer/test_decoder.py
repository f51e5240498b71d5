"""Stepwise logits equal one uncached forward pass over the whole target."""

import pytest
import torch

from ramekin.errors import WeightsError
from ramekin.infer.decoder import Decoder
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
    decoder = Decoder(model, *collate_inputs(INPUTS), max_new_tokens=5)
    stepped = torch.stack([decoder.step(TARGETS[:, t]) for t in range(5)], dim=1)
    torch.testing.assert_close(stepped, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_rows_that_are_kept_go_on_as_before():
    model = tiny()
    expected = full_logits(model)
    decoder = Decoder(model, *collate_inputs(INPUTS), max_new_tokens=5)
    for t in range(2):
        decoder.step(TARGETS[:, t])
    decoder.keep(torch.tensor([2, 0]))
    for t in range(2, 4):
        torch.testing.assert_close(
            decoder.step(TARGETS[[2, 0], t]), expected[[2, 0], t], atol=1e-5, rtol=1e-5
        )
    decoder.keep(torch.tensor([1]))
    torch.testing.assert_close(decoder.step(TARGETS[[0], 4]), expected[[0], 4], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_rows_part_and_change_places():
    """A row goes on as two, and rows as numerous as before change places, as beams do."""
    model = tiny()
    written = torch.tensor([[0, 11, 12, 13], [0, 11, 22, 23], [0, 31, 32, 33], [0, 31, 32, 43]])
    ids, mask = collate_inputs([INPUTS[0], INPUTS[0], INPUTS[2], INPUTS[2]])
    expected = model(input_ids=ids, attention_mask=mask, decoder_input_ids=written, use_cache=False).logits
    decoder = Decoder(model, *collate_inputs([INPUTS[0], INPUTS[2]]), max_new_tokens=4)
    bytes_of_two = decoder.cache_bytes
    assert (
        bytes_of_two == 2 * 3 * 2 * 2 * 4 * 8 * 4
    )  # keys and values: 3 layers, 2 rows, 2 heads, 4 tokens of 8
    plan = [([0, 2], [0, 1]), ([0, 2], [0, 0, 1]), ([0, 1, 2], [2, 0, 1]), ([2, 0, 1], [0, 2, 0, 1])]
    held = [0, 2]
    for t, (fed, moves) in enumerate(plan):
        logits = decoder.step(written[fed, t])
        torch.testing.assert_close(logits, expected[fed, t], atol=1e-5, rtol=1e-5)
        decoder.keep(torch.tensor(moves))
        held = [fed[move] for move in moves]
    assert held == [2, 1, 2, 0]
    assert decoder.cache_bytes == 2 * bytes_of_two
    assert (
        decoder.cross_bytes
        == Decoder(model, *collate_inputs([INPUTS[0], INPUTS[2]]), max_new_tokens=1).cross_bytes
    )


@torch.inference_mode()
def test_padding_on_the_left_reads_the_same():
    """Positions are relative and pads are masked: trap 7 of the fact sheet."""
    model = tiny()
    right = Decoder(model, *collate_inputs(INPUTS), max_new_tokens=1).step(TARGETS[:, 0])
    ids = torch.tensor([[0] * (6 - len(row)) + row for row in INPUTS])
    left = Decoder(model, ids, (ids != 0).long(), max_new_tokens=1).step(TARGETS[:, 0])
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


def test_another_architecture_is_refused():
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=20, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=8,
    )  # fmt: skip
    with pytest.raises(WeightsError, match=r"cannot be decoded: BartFor.*expected one of MT5For.*T5For"):
        Decoder(BartForConditionalGeneration(config), *collate_inputs(INPUTS), max_new_tokens=1)
