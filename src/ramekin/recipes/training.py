"""What recipes that train share: the adapter's form, the listener to the loop, the loss table's row."""

from typing import TYPE_CHECKING, Any

from ramekin.recipes.progress import AbstractProgress, AbstractStage
from ramekin.recipes.schema import AdapterConfig
from ramekin.report.values import LossRow

if TYPE_CHECKING:
    from ramekin.train.events import TrainEvent
    from ramekin.train.loop import TrainReport

__all__ = ["LOSS", "lora_recipe", "loss_row", "stage_listener"]

LOSS = "loss"
"""What the mean loss of the evaluated targets is called among metrics."""


def lora_recipe(config: AdapterConfig) -> Any:
    """The adapter's configuration as what the library takes."""
    from ramekin.weights.adapter import LoraRecipe

    return LoraRecipe(
        rank=config.rank,
        alpha=config.alpha,
        dropout=config.dropout,
        targets=config.targets,
        rslora=config.rslora,
    )


def stage_listener(stage: AbstractStage, progress: AbstractProgress) -> Any:
    """What the training loop tells, as progress: steps move the stage, notices and scores are said."""
    done = 0

    def listen(event: "TrainEvent") -> None:
        from ramekin.train.events import EvalDone, Notice, StepDone

        nonlocal done
        match event:
            case StepDone():
                parts = "".join(f", {name} {value:.3f}" for name, value in event.parts.items())
                rate = f"{event.tokens_per_second:,.0f} tokens/s, {event.padding_share:.0%} padding"
                stage.advance(event.step - done, f"loss {event.loss:.3f}{parts}, {rate}")
                done = event.step
            case EvalDone():
                shown = ", ".join(f"{name} {_shown(name, value)}" for name, value in event.metrics.items())
                progress.say(f"step {event.step}: {shown}{', the best so far' if event.is_best else ''}")
            case Notice():
                progress.say(f"step {event.step}: {event.message}")

    return listen


def _shown(metric: str, value: float) -> str:
    """A loss as it is, a score in hundredths."""
    return f"{value:.4f}" if metric.rpartition(" ")[2] == LOSS else f"{100 * value:.1f}"


def loss_row(label: str, trained: "TrainReport") -> LossRow:
    """A run's loss, epoch by epoch."""
    return LossRow(label, tuple(epoch.loss for epoch in trained.epochs))
