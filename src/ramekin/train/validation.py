"""The loss of examples that are not trained on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ramekin.tensors.collate import collate
from ramekin.tensors.encode import Encoded
from ramekin.tensors.plan import batches_by_lengths
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.objectives.losses import sum_by_example
from ramekin.train.tally import TaskLoss, by_task

__all__ = ["mean_losses"]


@torch.inference_mode()
def mean_losses(model: Any, examples: Sequence[Encoded], *, max_tokens: int) -> dict[str, TaskLoss]:
    """The cross-entropy of the examples' target tokens, summed by task.

    It is the plain likelihood, whatever the training's objective: labels are not smoothed, and inputs under a
    wrong label are left aside.

    Args:
        model: in evaluation mode.
        examples: any number of any tasks.
        max_tokens: padded tokens in a forward pass; no effect on the sums.
    """
    device = next(model.parameters()).device
    objective = Likelihood()
    rows: list[tuple[str, int, float]] = []
    asked = [replace(item, wrong_input_ids=()) for item in examples]
    for places in batches_by_lengths([item.lengths for item in asked], max_tokens=max_tokens):
        items = [asked[place] for place in places]
        batch = collate(items).to(device)
        sums = sum_by_example(objective(model, batch).values, batch, num_examples=len(items)).tolist()
        rows += [
            (item.provenance.task, len(item.target_ids), loss) for item, loss in zip(items, sums, strict=True)
        ]
    return by_task(rows)
