"""Who is to blame when a loss or a gradient is not finite: a weight, an example, or the step as a whole."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from ramekin.errors import WeightsError
from ramekin.tensors.encode import Encoded
from ramekin.train.gradient import MicroBatch
from ramekin.train.objective import sum_by_example

__all__ = ["nonfinite_error"]

_SHOWN = 5


def nonfinite_error(
    step: int,
    model: nn.Module,
    done: Sequence[MicroBatch],
    *,
    loss: float,
    grad_norm: float,
    last_state: str,
) -> WeightsError:
    """The error that stops the run; nothing of the step has been applied.

    Args:
        step: the step that failed, from 1.
        model: to look for weights that were bad before.
        done: the step's micro-batches.
        loss: of the step.
        grad_norm: of the step.
        last_state: where the last good state is, or that there is none.
    """
    suspects = _suspects(done)
    tensor = next((name for name, p in model.named_parameters() if not torch.isfinite(p).all()), None)
    kind = "gradient" if math.isfinite(loss) else "loss"
    if tensor is not None:
        blame = f"weight {tensor} was already not finite"
    else:
        tasks = sorted({item.example.provenance.task for item in suspects})
        ids = [item.example.provenance.id for item in suspects]
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        blame = f"tasks {', '.join(tasks)}, examples {', '.join(ids[:_SHOWN])}{more}"
    return WeightsError(
        f"the {kind} is not finite at step {step}; the step was not taken",
        where=blame,
        expected="finite numbers",
        got=f"loss {loss}, gradient norm {grad_norm}",
        fix=f"lower the learning rate or look at these examples; {last_state}",
    )


def _suspects(done: Sequence[MicroBatch]) -> list[Encoded]:
    """Examples whose loss is not finite; if there are none, all of the step."""
    bad: list[Encoded] = []
    for micro_batch in done:
        finite = torch.isfinite(sum_by_example(micro_batch.losses, micro_batch.batch)).tolist()
        bad.extend(item for item, good in zip(micro_batch.items, finite, strict=True) if not good)
    return bad or [item for micro_batch in done for item in micro_batch.items]
