"""What recipes that train share: the adapter's form, the listener to the loop, the loss table's row."""

from typing import TYPE_CHECKING, Any

from ramekin.recipes.progress import AbstractProgress, AbstractStage
from ramekin.recipes.schema import AdapterConfig
from ramekin.report.values import LossRow

if TYPE_CHECKING:
    from ramekin.train.events import TrainEvent
    from ramekin.train.loop import TrainReport

__all__ = ["lora_recipe", "loss_row", "stage_listener"]


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
                rate = f"{event.examples_per_second:.0f} examples/s"
                stage.advance(event.step - done, f"loss {event.loss:.3f}, {rate}")
                done = event.step
            case EvalDone():
                shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in event.metrics.items())
                progress.say(f"step {event.step}: {shown}")
            case Notice():
                progress.say(f"step {event.step}: {event.message}")

    return listen


def loss_row(label: str, trained: "TrainReport") -> LossRow:
    """A run's loss, epoch by epoch."""
    return LossRow(label, tuple(epoch.loss for epoch in trained.epochs))
