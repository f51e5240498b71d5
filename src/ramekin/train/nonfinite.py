"""Who is to blame when a loss or a gradient is not finite: a weight, an example, or the step as a whole."""

import math
from collections.abc import Sequence

from ramekin.errors import WeightsError
from ramekin.tensors.encode import Encoded
from ramekin.train.gradient import Measured

__all__ = ["nonfinite_error"]

_SHOWN = 5


def nonfinite_error(
    step: int,
    examples: Sequence[Encoded],
    measured: Measured,
    *,
    bad_weight: str | None,
    last_state: str,
) -> WeightsError:
    """The error that stops the run; nothing of the step has been applied.

    Args:
        step: the step that failed, from 1.
        examples: of the step.
        measured: what they gave.
        bad_weight: a tensor that was bad before, if there is one.
        last_state: where the last good state is, or that there is none.
    """
    suspects = _suspects(examples, measured.by_example)
    kind = "gradient" if math.isfinite(measured.loss) else "loss"
    if bad_weight is not None:
        blame = f"weight {bad_weight} was already not finite"
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
