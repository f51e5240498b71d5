"""What a training is evaluated by, and what is shown of the answers on the way.

Scores by a mode, the mean loss of the rows' targets, or both, of any tasks; the answers to a few rows are
shown each time, so that one sees what the model writes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from ramekin.evaluate.mode import MODES
from ramekin.recipes.data import evaluation_sets
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.results import evaluation_sets_of
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.training import LOSS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ramekin.evaluate.evaluation import Evaluation
    from ramekin.weights.opening import Opened

__all__ = ["AVERAGE", "TrainingEvaluator", "training_evaluator"]

AVERAGE = "average"
"""The mean of the tasks' headlines."""


@final
class TrainingEvaluator:
    """Called by the training loop; keeps what it found, by step."""

    def __init__(
        self,
        config: TrainConfig,
        places: Places,
        opened: "Opened",
        tokenizer: "PreTrainedTokenizerFast",
        progress: AbstractProgress,
    ) -> None:
        from ramekin.evaluate.runner import encode_sets

        self.config, self.opened, self.tokenizer, self.progress = config, opened, tokenizer, progress
        self.mode = MODES[config.mode]
        sets = evaluation_sets(
            config.evaluated_tasks,
            split=config.eval_split,
            templates="first" if config.templates == "all" else config.templates,
            limit=config.eval_limit,
            places=places,
            mode=self.mode,
        )
        self.sets = evaluation_sets_of(sets)
        self.longest = config.training.max_input_tokens
        self.encoded = encode_sets(self.sets, tokenizer, mode=self.mode, max_input_tokens=self.longest)
        self.found: dict[int, Evaluation] = {}

    def __call__(self, _: Any, step: int) -> Mapping[str, float]:
        """The metrics after a step."""
        metrics: dict[str, float] = {}
        if "scores" in self.config.eval_with:
            metrics |= self._scores(step)
        if "loss" in self.config.eval_with:
            metrics |= self._losses()
        return metrics

    def _scores(self, step: int) -> Mapping[str, float]:
        from ramekin.evaluate.runner import evaluate_encoded

        # The opened model is the trained one: an adapter's layers are put into it.
        evaluation = evaluate_encoded(
            self.opened.model,
            self.tokenizer,
            self.encoded,
            mode=self.mode,
            seed=self.config.seed,
            max_input_tokens=self.longest,
        )
        self.found[step] = evaluation
        self._show(evaluation, step)
        headlines = [part.headline.value for part in evaluation.tasks]
        metrics = {f"{part.task} {part.headline.metric}": part.headline.value for part in evaluation.tasks}
        return {**metrics, AVERAGE: sum(headlines) / len(headlines)} if len(headlines) > 1 else metrics

    def _show(self, evaluation: "Evaluation", step: int) -> None:
        """A few answers, one task after the other."""
        for number in range(self.config.samples):
            part = evaluation.tasks[number % len(evaluation.tasks)]
            prediction = part.predictions[(number // len(evaluation.tasks)) % part.n]
            asked = " ".join(prediction.inputs.split())
            shown = asked if len(asked) <= 160 else f"…{asked[-160:]}"
            mark = "right" if prediction.correct else f"wanted '{prediction.target}'"
            self.progress.say(f"step {step} {part.task}: {shown} -> '{prediction.prediction}' ({mark})")

    def _losses(self) -> Mapping[str, float]:
        from ramekin.tensors.encode import encode
        from ramekin.train.validation import mean_losses

        recipe = self.config.training
        items = [
            item
            for each in self.sets
            for item in encode(
                each.examples,
                self.tokenizer,
                max_input_tokens=recipe.max_input_tokens,
                max_target_tokens=recipe.max_target_tokens,
                input_eos=self.config.input_eos,
            ).items
        ]
        losses = mean_losses(self.opened.model, items, max_tokens=recipe.micro_batch_tokens)
        by_task = {f"{name} {LOSS}": loss.loss for name, loss in losses.items()} if len(losses) > 1 else {}
        tokens = sum(loss.target_tokens for loss in losses.values())
        return {**by_task, LOSS: sum(loss.summed_loss for loss in losses.values()) / tokens}


def training_evaluator(
    config: TrainConfig,
    places: Places,
    opened: "Opened",
    tokenizer: "PreTrainedTokenizerFast",
    progress: AbstractProgress,
) -> TrainingEvaluator | None:
    """The evaluator of a training; None where there is nothing to evaluate on."""
    if not config.eval_split or not config.evaluated_tasks or not config.eval_with:
        return None
    return TrainingEvaluator(config, places, opened, tokenizer, progress)
