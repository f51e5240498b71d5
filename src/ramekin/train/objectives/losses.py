"""What an objective is: from a model and a batch to the loss of every real target token.

An objective knows nothing of steps, scaling or accumulation; the loop sums and divides, so that the
gradient of a step is that of one big batch (transformers' own mean over each micro-batch is not, and its
Trainer multiplies it by the number of accumulation steps).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, final

import torch
from torch import Tensor

from ramekin.tensors.collate import Batch

__all__ = ["Losses", "Objective", "sum_by_example"]


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


def sum_by_example(values: Tensor, batch: Batch, *, num_examples: int) -> Tensor:
    """Sum token losses by example: (targets,) -> (num_examples,)."""
    sums = torch.zeros(num_examples, dtype=values.dtype, device=values.device)
    return sums.index_add(0, batch.example_of_target, values)
