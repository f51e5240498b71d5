"""Who is to blame when a loss or a gradient is not finite: a weight, an example, or the step as a whole."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from ramekin.errors import WeightsError
from ramekin.tensors.encode import Encoded
from ramekin.train.gradient import Measured

__all__ = ["nonfinite_error"]

_SHOWN = 5


def nonfinite_error(
    step: int,
    model: nn.Module,
    examples: Sequence[Encoded],
    measured: Measured,
    *,
    last_state: str,
) -> WeightsError:
    """The error that stops the run; nothing of the step has been applied.

    Args:
        step: the step that failed, from 1.
        model: to look for weights that were bad before.
        examples: of the step.
        measured: what they gave.
        last_state: where the last good state is, or that there is none.
    """
    suspects = _suspects(examples, measured.by_example)
    tensor = next((name for name, p in model.named_parameters() if not torch.isfinite(p).all()), None)
    kind = "gradient" if math.isfinite(measured.loss) else "loss"
    if tensor is not None:
        blame = f"weight {tensor} was already not finite"
    else:
        tasks = sorted({item.provenance.task for item in suspects})
        ids = [item.provenance.id for item in suspects]
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        blame = f"tasks {', '.join(tasks)}, examples {', '.join(ids[:_SHOWN])}{more}"
    return WeightsError(
        f"the {kind} is not finite at step {step}; the step was not taken",
        where=blame,
        expected="finite numbers",
        got=f"loss {measured.loss}, gradient norm {measured.grad_norm}",
        fix=f"lower the learning rate or look at these examples; {last_state}",
    )


def _suspects(examples: Sequence[Encoded], losses: Sequence[float]) -> Sequence[Encoded]:
    """Examples whose loss is not finite; if there are none, all of the step."""
    pairs = zip(examples, losses, strict=True)
    return [item for item, loss in pairs if not math.isfinite(loss)] or examples
