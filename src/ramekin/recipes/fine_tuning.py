"""What recipes that train share: the adapter's form, the listener to the loop, the loss table's row."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ramekin.errors import UsageError
from ramekin.recipes.adapter_config import AdapterConfig
from ramekin.recipes.progress import AbstractProgress, AbstractStage
from ramekin.report.values import LossRow
from ramekin.train.objectives.recipe import ObjectiveRecipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ramekin.train.events import TrainEvent
    from ramekin.train.loop import TrainReport
    from ramekin.weights.attach import AdapterRecipe

__all__ = ["LOSS", "adapter_recipe", "loss_row", "loss_rows", "objective_text", "stage_listener"]

LOSS = "loss"
"""What the mean loss of the evaluated targets is called among metrics."""


def adapter_recipe(config: AdapterConfig, tokenizer: "PreTrainedTokenizerFast") -> "AdapterRecipe":
    """The adapter's configuration as what the library takes; a prompt's text becomes tokens.

    Raises:
        UsageError: there is no adapter, or the text has no tokens.
    """
    from ramekin.tensors.tokenizer import token_ids
    from ramekin.weights.attach import IA3Recipe, LoraRecipe, PromptRecipe

    values = config.model_dump(exclude={"kind"})
    match config.kind:
        case "lora":
            return LoraRecipe(**values)
        case "ia3":
            return IA3Recipe(**values)
        case "prompt":
            ids = token_ids(tokenizer, [config.text])[0] if config.text is not None else ()
            if config.text is not None and not ids:
                raise UsageError("the text a prompt starts from has no tokens", where="adapter.text")
            return PromptRecipe(config.num_virtual_tokens, tuple(ids))
        case "none":
            raise UsageError("there is no adapter to make", where="adapter.kind", got="none")


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


def loss_rows(label: str, trained: "TrainReport") -> tuple[LossRow, ...]:
    """A run's loss, and what its objective tells beside it."""
    parts = (
        LossRow(f"{label}, {name}", tuple(epoch.parts[name] for epoch in trained.epochs))
        for name in trained.epochs[-1].parts
    )
    return (loss_row(label, trained), *parts)


def objective_text(objective: ObjectiveRecipe) -> str:
    """An objective with the numbers that it uses, in a few words.

    >>> objective_text(ObjectiveRecipe(name="flipped"))
    'flipped, unlikelihood_weight 3, clamp 1e-06'
    """
    unused = {"name", *(() if objective.needs_wrong_inputs else ("clamp",))}
    unused |= {"unlikelihood_weight"} if objective.name != "flipped" else set()
    numbers = {key: value for key, value in asdict(objective).items() if key not in unused}
    shown = (f"{key} {value:g}" for key, value in numbers.items() if value or key != "label_smoothing")
    return ", ".join((objective.name, *shown))
