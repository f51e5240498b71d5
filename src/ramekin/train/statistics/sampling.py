"""Targets drawn from a model's own distribution, token by token.

What is drawn for an example is a function of the seed and of the example alone, whatever stands beside it.
This module knows nothing of what the targets are for.
"""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ramekin.infer.decoder import Decoder
from ramekin.infer.layers import Layers
from ramekin.infer.ready import require_finite, start_token
from ramekin.tensors.collate import collate_inputs
from ramekin.tensors.encode import Encoded
from ramekin.tensors.tokenizer import EOS_ID

__all__ = ["with_sampled_target"]


@torch.inference_mode()
def with_sampled_target(model: Any, item: Encoded, *, seed: int, max_target_tokens: int) -> Encoded:
    """The example with a target drawn from the model: `y_t ~ p(. | x, y_<t)`, until `</s>`.

    Args:
        model: in evaluation mode.
        item: its targets have no effect.
        seed: with the example's name it decides what is drawn.
        max_target_tokens: where a target that has no end is cut; what was drawn is then the beginning of one.
    """
    digest = hashlib.sha256(f"{seed}\0{item.provenance.id}".encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    input_ids, mask = collate_inputs([item.input_ids])
    device = model.device
    layers = Layers(model)
    decoder = Decoder(layers)
    decoder.admit([layers.read(input_ids.to(device), mask.to(device))], max_new_tokens=max_target_tokens)
    target: list[int] = []
    tokens = torch.tensor([start_token(model)], device=device)
    while len(target) < max_target_tokens and target[-1:] != [EOS_ID]:
        logits = decoder.step(tokens)[0].double()
        require_finite(logits)
        heights = torch.softmax(logits, 0).cumsum(0).cpu().numpy()
        # The last height differs from 1 by rounding; the draw is below it in any case.
        target.append(int(np.searchsorted(heights, rng.random() * heights[-1], side="right")))
        tokens = torch.tensor(target[-1:], device=device)
    return replace(item, target_ids=tuple(target), wrong_input_ids=())
