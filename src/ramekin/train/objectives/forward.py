"""From a batch to logits, at the real targets only: the model's own forward with a narrowed head.

It knows nothing of losses.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from ramekin.tensors.collate import Batch
from ramekin.train.objectives.packed import across, masks_between

__all__ = ["target_labels", "target_logits"]


def target_logits(model: Any, batch: Batch) -> Tensor:
    """Logits at the real target positions only: (targets, vocab).

    The model's own forward runs, so that each family keeps its own rule of scaling before the head; only
    what the head reads is narrowed, which saves most of the logits where targets are short. Examples that
    share a row are kept apart by masks.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_narrowed_head(model.get_output_embeddings(), batch.target_positions))
        masks = {"attention_mask": batch.attention_mask}
        if batch.input_segments is not None and batch.target_segments is not None:
            between = masks_between(batch.input_segments, batch.target_segments)
            masks = {"attention_mask": between.encoder, "decoder_attention_mask": between.decoder}
            stack.enter_context(across(model.get_decoder(), between.cross))
        output = model(
            input_ids=batch.input_ids,
            decoder_input_ids=batch.decoder_input_ids,
            use_cache=False,
            **masks,
        )
    logits: Tensor = output.logits
    return logits


def target_labels(batch: Batch) -> Tensor:
    """The labels at those positions: (targets,)."""
    return batch.labels.flatten()[batch.target_positions]


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
