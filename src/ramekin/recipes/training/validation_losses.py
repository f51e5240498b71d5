"""Training and validation loss side by side, an evaluation a row, from what a training run logged.

The form is that of the tables in model cards of Hugging Face's Trainer: "No log" up to the first line of the
log, and the last training loss again where an evaluation comes before the next line.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ramekin.recipes.fine_tuning import LOSS
from ramekin.report.values import LossPoint, ValidationTable
from ramekin.train.objectives.recipe import ObjectiveName, ObjectiveRecipe

if TYPE_CHECKING:
    from ramekin.train.events import EvalDone

__all__ = ["validation_tables"]

_DIRECT = ObjectiveRecipe()
_LIKELIHOOD = "likelihood"
"""What a line of the log calls it where the loss is more than that."""
_LEARNED: Mapping[ObjectiveName, str] = {
    "direct": "the target, given the prompt",
    "channel": "the prompt, given its target",
    "flipped": "the instruction, given the record's texts and the right label",
}


def validation_tables(
    evals: "Sequence[EvalDone]",
    events: Iterable[Mapping[str, Any]],
    *,
    steps_per_epoch: int,
    objective: ObjectiveRecipe = _DIRECT,
) -> tuple[ValidationTable, ...]:
    """The table of a run whose evaluations carry a loss; none of any other.

    Args:
        evals: the run's evaluations in their order.
        events: the lines of its log; those of steps are means over the steps since the line before, of which
            there are as many as `log_every` says.
        steps_per_epoch: steps of one pass.
        objective: what was learned; where its loss is more than a likelihood, the likelihood is shown.
    """
    points = []
    steps = [event for event in events if event.get("event") == "step"]
    before = 0
    training: float | None = None
    for done in evals:
        if LOSS in done.metrics:
            logged = [event for event in steps if before < event["step"] <= done.step]
            training = _mean(logged) if logged else training
            epoch = done.step / steps_per_epoch
            points.append(LossPoint(done.step, epoch, done.metrics[LOSS], training))
            before = done.step
    if not points:
        return ()
    return (ValidationTable("Training and validation loss", tuple(points), _caption(objective)),)


def _caption(objective: ObjectiveRecipe) -> str:
    """What both columns are."""
    aside = ""
    if objective.needs_wrong_inputs:
        aside = " The unlikelihood under a wrong label is in neither."
    elif objective.label_smoothing:
        aside = " Both are of the plain targets, without the smoothing of labels."
    return (
        f"Nats a token of {_LEARNED[objective.name]}, in validation as in training; the training loss is the "
        f"mean since the row above, or again the last one where none was logged since.{aside}"
    )


def _mean(events: Sequence[Mapping[str, Any]]) -> float:
    """Mean likelihood over the target tokens of lines of the log, of one at least."""
    losses = [event.get(_LIKELIHOOD, event["loss"]) * event["target_tokens"] for event in events]
    tokens: int = sum(event["target_tokens"] for event in events)
    return math.fsum(losses) / tokens
