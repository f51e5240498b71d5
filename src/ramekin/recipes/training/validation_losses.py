"""Training and validation loss side by side, an evaluation a row, from what a training run logged."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ramekin.recipes.fine_tuning import LOSS
from ramekin.report.values import LossPoint, ValidationTable

if TYPE_CHECKING:
    from ramekin.train.events import EvalDone

__all__ = ["validation_tables"]


def validation_tables(
    evals: "Sequence[EvalDone]", events: Iterable[Mapping[str, Any]], *, steps_per_epoch: int
) -> tuple[ValidationTable, ...]:
    """The table of a run whose evaluations carry a loss; none of any other.

    Args:
        evals: the run's evaluations in their order.
        events: the lines of its log; those of steps are means over the steps since the line before.
        steps_per_epoch: steps of one pass.
    """
    points = []
    steps = [event for event in events if event.get("event") == "step"]
    before = 0
    for done in evals:
        if LOSS in done.metrics:
            logged = [event for event in steps if before < event["step"] <= done.step]
            epoch = done.step / steps_per_epoch
            points.append(LossPoint(done.step, epoch, done.metrics[LOSS], _mean(logged)))
            before = done.step
    if not points:
        return ()
    caption = "Nats a target token; the training loss is the mean since the row above, the objective's own."
    return (ValidationTable("Training and validation loss", tuple(points), caption),)


def _mean(events: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean over the target tokens of lines of the log; None where there is no line."""
    tokens = sum(event["target_tokens"] for event in events)
    return math.fsum(event["loss"] * event["target_tokens"] for event in events) / tokens if tokens else None
