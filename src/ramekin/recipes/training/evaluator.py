"""What a training is evaluated by, and what is shown of the answers on the way.

Scores by a mode, the mean loss of the rows as the objective learns them, or both, of any tasks; the answers
to a few rows are shown each time, so that one sees what the model writes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from ramekin.catalog import Catalog
from ramekin.errors import DataError, UsageError
from ramekin.evaluate.mode import MODES
from ramekin.recipes.data import evaluation_sets, template_names, training_examples
from ramekin.recipes.fine_tuning import LOSS
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.results import evaluation_sets_of
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.training.data import lost_counters
from ramekin.registry import unknown_name
from ramekin.report.values import Counter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ramekin.evaluate.evaluation import Evaluation
    from ramekin.tensors.encode import EncodedSet
    from ramekin.train.events import Progress, TrainEvent
    from ramekin.weights.opening import Opened

__all__ = [
    "AVERAGE",
    "TrainingEvaluator",
    "metric_names",
    "refuse_unknown_metric",
    "training_evaluator",
]

AVERAGE = "average"
"""The mean of the tasks' headlines."""


@final
class TrainingEvaluator:
    """Called by the training loop; keeps the last evaluation that it made, and the best."""

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
        self.scores, self.has_loss = "scores" in config.eval_with, LOSS in config.eval_with
        rows: dict[str, Any] = {
            "split": config.eval_split,
            "templates": _templates(config),
            "limit": config.eval_limit,
            "places": places,
        }
        tasks = config.evaluated_tasks
        sets = evaluation_sets(tasks, mode=self.mode, **rows) if self.scores else ()
        self.sets = evaluation_sets_of(sets)
        self.taught = (
            training_examples(tasks, objective=config.objective, seed=config.seed, **rows)
            if self.has_loss
            else ()
        )
        self.longest = config.training.max_input_tokens
        self.encoded = encode_sets(self.sets, tokenizer, mode=self.mode, max_input_tokens=self.longest)
        self.targets = self._targets() if self.has_loss else None
        self._last: tuple[int, Evaluation] | None = None
        self._best: tuple[int, Evaluation] | None = None

    @property
    def counters(self) -> tuple[Counter, ...]:
        """What was lost of the rows whose loss is taken, by kind; zeros are left out."""
        if self.targets is None:
            return ()
        return lost_counters(self.taught, self.targets, "validation")

    def __call__(self, _: Any, step: int) -> Mapping[str, float]:
        """The metrics after a step."""
        metrics: dict[str, float] = {}
        if self.scores:
            metrics |= self._scores(step)
        if self.targets is not None:
            metrics |= self._losses(self.targets)
        return metrics

    def keeps_best(self, listener: "Progress") -> "Progress":
        """A listener that takes note here which evaluation is the best; all others are let go of in time."""
        from ramekin.train.events import EvalDone

        def listen(event: "TrainEvent") -> None:
            if isinstance(event, EvalDone) and event.is_best:
                self._best = self._last
            listener(event)

        return listen

    def evaluation(self, step: int) -> "Evaluation | None":
        """The scores of the trained model, whose weights are those after a step; None if none are wanted.

        They are made now if it was an earlier process that had made them.
        """
        if not self.scores:
            return None
        kept = dict(each for each in (self._last, self._best) if each is not None)
        return kept[step] if step in kept else self._evaluation(step)

    def _evaluation(self, step: int) -> "Evaluation":
        from ramekin.evaluate.runner import evaluate_encoded

        # The opened model is the trained one: an adapter's layers are put into it.
        evaluation = evaluate_encoded(
            self.opened.model,
            self.tokenizer,
            self.encoded,
            seed=self.config.seed,
            max_input_tokens=self.longest,
        )
        self._last = (step, evaluation)
        self._show(evaluation, step)
        return evaluation

    def _scores(self, step: int) -> Mapping[str, float]:
        evaluation = self._evaluation(step)
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

    def _targets(self) -> "EncodedSet":
        """All rows as the objective learns them, by the limits of the training.

        Raises:
            DataError: nothing is left of a task.
        """
        from ramekin.tensors.encode import encode

        encoded = encode(
            [example for each in self.taught for example in each.examples],
            self.tokenizer,
            max_input_tokens=self.longest,
            max_target_tokens=self.config.training.max_target_tokens,
            input_eos=self.config.input_eos,
        )
        found = {item.provenance.task for item in encoded.items}
        for each in self.taught:
            if each.task.name not in found:
                raise DataError("there is no row to take the loss of", where=f"{each.task.name} {each.split}")
        return encoded

    def _losses(self, targets: "EncodedSet") -> Mapping[str, float]:
        from ramekin.train.validation import mean_losses

        budget = self.config.training.micro_batch_tokens
        losses = mean_losses(self.opened.model, targets.items, max_tokens=budget)
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
    if not config.is_evaluated:
        return None
    return TrainingEvaluator(config, places, opened, tokenizer, progress)


def refuse_unknown_metric(config: TrainConfig, places: Places) -> None:
    """Refuse to select by a metric that the evaluations will not find; no row is read for it.

    Raises:
        UsageError: there is no such metric.
    """
    wanted = config.training.best_metric
    if wanted is not None and wanted not in (metrics := metric_names(config, places)):
        raise UsageError(unknown_name("metric", wanted, metrics), where="best_metric")


def metric_names(config: TrainConfig, places: Places) -> tuple[str, ...]:
    """The names of the metrics of a training's evaluations, before any is found."""
    from ramekin.evaluate.runner import metrics_of
    from ramekin.evaluate.sets import EvalSet

    catalog = Catalog(places.tasks_root)
    sets = [
        EvalSet(catalog[name], template, config.eval_split, (), origin="")
        for name in config.evaluated_tasks
        for template in template_names(catalog[name], _templates(config))
    ]
    headlines = [f"{each.task.name} {metrics_of(each, MODES[config.mode])[0]}" for each in sets]
    losses = [f"{each.task.name} {LOSS}" for each in sets]
    several = len(sets) > 1
    return (
        *((*headlines, *((AVERAGE,) if several else ())) if "scores" in config.eval_with else ()),
        *((*(losses if several else ()), LOSS) if LOSS in config.eval_with else ()),
    )


def _templates(config: TrainConfig) -> str:
    """The templates that a training is evaluated under: one a task."""
    return "first" if config.templates == "all" else config.templates
