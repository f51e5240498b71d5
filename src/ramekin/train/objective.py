"""Objectives: from a batch to the loss of every real target token.

An objective knows nothing of steps, scaling or accumulation; the loop sums and divides, so that the
gradient of a step is that of one big batch (transformers' own mean over each micro-batch is not, and its
Trainer multiplies it by the number of accumulation steps).
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ramekin.registry import Registry
from ramekin.tensors.collate import Batch

__all__ = ["OBJECTIVES", "Objective", "direct", "sum_by_example", "target_logits"]


class Objective(Protocol):
    """From a model and a batch to losses: (targets,) in fp32, in the order of `batch.target_positions`."""

    def __call__(self, model: Any, batch: Batch, /) -> Tensor:
        """Losses: (targets,)."""
        ...


def direct(model: Any, batch: Batch) -> Tensor:
    """Cross-entropy of every real target token given the inputs and the tokens before it: (targets,).

    The mean of it equals transformers' own loss; the head is run on real targets only, which saves most of
    the logits where targets are short.
    """
    logits = target_logits(model, batch)
    labels = batch.labels.flatten()[batch.target_positions]
    return nn.functional.cross_entropy(logits.float(), labels, reduction="none")


def target_logits(model: Any, batch: Batch) -> Tensor:
    """Logits at the real target positions only: (targets, vocab).

    The model's own forward runs, so that each family keeps its own rule of scaling before the head; only
    what the head reads is narrowed.
    """
    with _narrowed_head(model.get_output_embeddings(), batch.target_positions):
        output = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
            use_cache=False,
        )
    logits: Tensor = output.logits
    return logits


def sum_by_example(losses: Tensor, batch: Batch) -> Tensor:
    """Sum token losses by row of the batch: (batch,)."""
    rows = batch.target_positions // batch.labels.shape[1]
    return torch.zeros(batch.labels.shape[0], dtype=losses.dtype, device=losses.device).index_add(
        0, rows, losses
    )


@contextlib.contextmanager
def _narrowed_head(head: nn.Module, positions: Tensor) -> Iterator[None]:
    """While open, the head sees (targets, d_model) instead of (batch, target_length, d_model)."""

    def narrow(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        states, *rest = arguments
        return (states.flatten(0, 1).index_select(0, positions), *rest)

    handle = head.register_forward_pre_hook(narrow)
    try:
        yield
    finally:
        handle.remove()


OBJECTIVES: Registry[Objective] = Registry("objective", [("direct", direct)])
"""Objectives by name."""
