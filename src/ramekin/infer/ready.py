"""What a model and a request must be before anything is computed, and the state a model is left in.

Shared by everything that runs a decoder. Knows nothing of what is computed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ramekin.errors import DataError, UsageError, WeightsError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "check_beams",
    "check_inputs",
    "in_evaluation_mode",
    "refuse_fp16",
    "require_finite",
    "start_token",
]


@contextmanager
def in_evaluation_mode(model: "PreTrainedModel") -> Iterator[None]:
    """Put every module into evaluation mode, and afterwards those back that were training."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def check_inputs(inputs: Sequence[Sequence[int]]) -> None:
    """Refuse an input without tokens.

    Raises:
        DataError: there is one; its position is named.
    """
    for index, ids in enumerate(inputs):
        if not len(ids):
            raise DataError("an input has no tokens", where=f"input {index}", expected="at least one")


def check_beams(num_beams: int, *, vocab_size: int) -> None:
    """Refuse more beams than a vocabulary has continuations for: twice as many are looked at.

    Raises:
        UsageError: there are.
    """
    if 1 < num_beams > vocab_size // 2:
        raise UsageError(
            "there are more beams than the vocabulary has continuations for",
            where="num_beams",
            expected=f"at most {vocab_size // 2}, half the vocabulary",
            got=str(num_beams),
        )


def start_token(model: "PreTrainedModel") -> int:
    """`decoder_start_token_id` of the generation configuration, or else of the configuration.

    Raises:
        WeightsError: neither has it.
    """
    for settings in (model.generation_config, model.config):
        start_id = getattr(settings, "decoder_start_token_id", None)
        if start_id is not None:
            return int(start_id)
    raise WeightsError(
        "the model does not say which token starts its decoder",
        where="config.json",
        expected="decoder_start_token_id (0 for T5)",
        fix="add it to the checkpoint's config.json",
    )


def refuse_fp16(model: "PreTrainedModel") -> None:
    """Refuse weights in fp16.

    Raises:
        WeightsError: they are.
    """
    if model.dtype == torch.float16:
        raise WeightsError(
            "fp16 is refused: T5's feed-forward layers overflow in it",
            expected="fp32 or bf16",
            got="fp16",
            fix="load the model in fp32 or bf16",
        )


def require_finite(values: Tensor) -> None:
    """Refuse NaN and infinity in what came out of the head.

    Raises:
        WeightsError: there is one; it is shown.
    """
    if not bool(torch.isfinite(values).all()):
        raise WeightsError(
            "the model's logits are not finite",
            expected="finite numbers",
            got=str(values[~torch.isfinite(values)][0].item()),
            fix="check the weights for NaN and infinity, or load the model in fp32",
        )
