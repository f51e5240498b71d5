"""What keeps examples apart that share a row of a batch, and which models it can be kept apart in.

Three masks: the encoder attends within an example, the decoder within it and backwards, and from the decoder
to the same example's inputs. Nothing else is needed where attention knows positions as distances alone, as
T5's relative bias does: two positions of an example are as far apart in a shared row as in a row of its own
(Raffel et al. 2020, arXiv 1910.10683). It knows nothing of losses.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError
from ramekin.tensors.collate import NO_SEGMENT

__all__ = ["Masks", "across", "masks_between", "refuse_unpackable"]

_PACKABLE = {"t5", "mt5", "umt5"}
_MASKED_BY_ADDING = {"eager", "sdpa"}
_FORBIDDEN = torch.finfo(torch.bfloat16).min
"""Added to what may not be attended to: exp of it is 0, and it is finite in fp32 and in bf16."""


@final
class Masks(NamedTuple):
    """What is added to attention scores: (batch, 1, length attending, length attended to), 0 or very low."""

    encoder: Tensor
    decoder: Tensor
    cross: Tensor


def masks_between(inputs: Tensor, targets: Tensor) -> Masks:
    """The masks of rows whose examples are these segments.

    Padding attends to padding, or across to everything, so that no position is without any to attend to;
    nobody reads what comes of it.

    Args:
        inputs: segments (batch, input_length).
        targets: segments (batch, target_length).
    """
    allowed = (
        inputs[:, :, None] == inputs[:, None, :],
        (targets[:, :, None] == targets[:, None, :]).tril(),
        (targets[:, :, None] == inputs[:, None, :]) | (targets == NO_SEGMENT)[:, :, None],
    )
    return Masks(
        *(
            torch.zeros(each.shape, device=each.device).masked_fill(~each, _FORBIDDEN).unsqueeze(1)
            for each in allowed
        )
    )


@contextlib.contextmanager
def across(decoder: nn.Module, mask: Tensor) -> Iterator[None]:
    """While open, the decoder attends to the encoder through this mask: (batch, 1, targets, inputs).

    The models' forward hands the encoder's own mask on, which says who may attend within the encoder.
    """

    def put(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return arguments, {**named, "encoder_attention_mask": mask}

    handle = decoder.register_forward_pre_hook(put, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def refuse_unpackable(model: Any) -> None:
    """Refuse a model in which examples that share a row would not be what they are alone.

    Raises:
        UsageError: it reads a soft prompt, knows absolute positions, or its attention takes no mask of ours.
    """
    if getattr(model, "active_peft_config", None) is not None and model.active_peft_config.is_prompt_learning:
        raise UsageError(
            "a soft prompt stands before a whole row, so that examples cannot share one",
            where="packing",
            fix="train with packing=false",
        )
    config = model.config
    if config.model_type not in _PACKABLE:
        raise UsageError(
            "packing needs a model whose attention knows positions as distances alone",
            where=f"packing, model type '{config.model_type}'",
            expected=", ".join(sorted(_PACKABLE)),
            fix="train with packing=false",
        )
    if config._attn_implementation not in _MASKED_BY_ADDING:
        raise UsageError(
            "packing needs an attention that takes masks to be added",
            where="packing",
            expected=" or ".join(sorted(_MASKED_BY_ADDING)),
            got=str(config._attn_implementation),
            fix="train with packing=false",
        )
