"""Objectives: from a batch to the loss of every real target token.

An objective knows nothing of steps, scaling or accumulation; the loop sums and divides, so that the
gradient of a step is that of one big batch (transformers' own mean over each micro-batch is not, and its
Trainer multiplies it by the number of accumulation steps).
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, final, get_args

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError
from ramekin.registry import unknown_name
from ramekin.tensors.collate import Batch

__all__ = [
    "Likelihood",
    "Losses",
    "Objective",
    "ObjectiveName",
    "ObjectiveRecipe",
    "build_objective",
    "sum_by_example",
    "target_logits",
]

ObjectiveName: TypeAlias = Literal["direct", "channel"]
"""`direct` learns the target from the inputs; `channel` the prompt from the target, by the same loss on
examples turned round (`text.flip.channel`)."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveRecipe:
    """What is learned from an example.

    Raises:
        UsageError: no such objective.
    """

    name: ObjectiveName = "direct"

    def __post_init__(self) -> None:
        if self.name not in get_args(ObjectiveName):
            raise UsageError(unknown_name("objective", self.name, get_args(ObjectiveName)))


@final
@dataclass(frozen=True, slots=True)
class Losses:
    """What an objective makes of a batch."""

    values: Tensor
    """(targets,) in fp32, in the order of `batch.target_positions`: their sum, over the number of real
    target tokens under the right label, is what a step minimises."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """Sums to be logged by name, detached scalars, each to be divided by the same number of tokens; empty
    where the loss is all there is to tell."""

    def detached(self) -> "Losses":
        """The same without the graph."""
        return Losses(self.values.detach(), self.parts)


class Objective(Protocol):
    """From a model and a batch to losses."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of what is told beside the loss."""
        ...

    def __call__(self, model: Any, batch: Batch, /) -> Losses:
        """The losses of the batch."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Likelihood:
    """Cross-entropy of every real target token given the inputs and the tokens before it.

    The mean of it equals transformers' own loss; the head is run on real targets only, which saves most of
    the logits where targets are short.
    """

    @property
    def parts(self) -> tuple[str, ...]:
        """The loss is all there is to tell."""
        return ()

    def __call__(self, model: Any, batch: Batch) -> Losses:
        """-log P(token | inputs, tokens before)."""
        logits = target_logits(model, batch)
        labels = batch.labels.flatten()[batch.target_positions]
        return Losses(nn.functional.cross_entropy(logits.float(), labels, reduction="none"))


def build_objective(recipe: ObjectiveRecipe) -> Objective:
    """The objective that a recipe describes."""
    return Likelihood()


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


def sum_by_example(values: Tensor, batch: Batch, *, num_examples: int) -> Tensor:
    """Sum token losses by example: (targets,) -> (num_examples,)."""
    sums = torch.zeros(num_examples, dtype=values.dtype, device=values.device)
    return sums.index_add(0, batch.example_of_target, values)


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
