"""The numbers of a fine-tuning run, checked when they are put together.

A recipe knows nothing of models or data; with the number of examples it knows its number of steps.
"""

import math
from dataclasses import asdict, dataclass
from typing import Literal, final, get_args

from ramekin.errors import UsageError
from ramekin.registry import unknown_name
from ramekin.train.ranges import out_of_range

__all__ = ["FP16_REFUSED", "OptimizerName", "Precision", "Recipe", "ScheduleName", "best_value_of"]

OptimizerName = Literal["adamw", "adafactor", "adamwscale"]
ScheduleName = Literal["constant", "linear", "inverse_square_root", "cosine"]
Precision = Literal["auto", "fp32", "bf16"]
Best = Literal["highest", "lowest"]

FP16_REFUSED = (
    "precision: fp16 is refused: T5's feed-forward activations exceed its largest number, 65504, "
    "and the loss becomes NaN; expected auto, fp32 or bf16"
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to fine-tune; two runs with equal recipe, data and start give equal weights.

    Raises:
        UsageError: a number or a name is out of range; all problems at once.
    """

    max_steps: int | None = None
    """Optimizer steps; give this or `epochs`."""
    epochs: int | None = None
    """Passes over the examples; give this or `max_steps`."""
    global_batch: int = 64
    """Examples an optimizer step."""
    micro_batch_tokens: int = 2048
    """At most so many padded tokens, both sides together, in one forward pass; no effect on the gradient.

    A step is cut where padding and passes together cost least, a pass as much as a sixteenth of this: 2048 is
    fast on a CPU, some ten thousand on a GPU."""
    packing: bool = False
    """Let examples share a row, kept apart by masks: the same losses and gradient with less padding."""
    learning_rate: float = 3e-4
    """The highest learning rate of the schedule."""
    optimizer: OptimizerName = "adamw"
    """`adafactor` has T5X's meaning: the rate is relative to each tensor's size (constant 1e-3 is usual).

    `adamwscale` is nanoT5's AdamW with a rate relative to each tensor's size."""
    scale_parameter: bool = True
    """Adafactor only; False is the Hugging Face Trainer's meaning, where the rate is absolute."""
    beta1: float | None = None
    """AdamW and AdamWScale: the decay of the mean of gradients; None is 0.9."""
    beta2: float | None = None
    """AdamW and AdamWScale: the decay of the mean of squared gradients; None is 0.999."""
    epsilon: float | None = None
    """AdamW and AdamWScale: added to the root of that mean; None is 1e-8 in AdamW, 1e-6 in AdamWScale."""
    decay_rate: float | None = None
    """Adafactor only: at step t squared gradients decay by 1 - t ** -decay_rate; None is 0.8."""
    schedule: ScheduleName = "linear"
    """After the warm-up: `constant`, or down by a line, half a cosine, or the inverse square root."""
    final_learning_rate: float = 0.0
    """Where `linear` and `cosine` end, as a rate."""
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    weight_decay: float = 0.0
    """Decoupled weight decay; never on norms."""
    max_grad_norm: float | None = 1.0
    """Clip the gradient of the global batch to this norm; None leaves it."""
    dropout: float | None = 0.1
    """The model's dropout while training (LoRA has its own); None leaves it as it is."""
    seed: int = 0
    """Of the order of the examples and of dropout."""
    max_input_tokens: int = 512
    """Inputs are cut to this many tokens before training."""
    max_target_tokens: int = 128
    """Targets are cut to this many tokens before training."""
    precision: Precision = "auto"
    """`auto` is bf16 autocast where the device has it and fp32 elsewhere; weights stay fp32."""
    gradient_checkpointing: bool = False
    """Run each block again in the backward pass instead of keeping its activations: the same gradient."""
    compile: bool = False
    """Compile the blocks with `torch.compile`: for long runs. A resumed one is equal to rounding only."""
    checkpoint_every: int | None = None
    """Steps between saved states; None: one every ten minutes. The end is always saved."""
    eval_every: int | None = None
    """Steps between evaluations; the end is always evaluated if there is an evaluation."""
    eval_every_epochs: int | None = None
    """Epochs between evaluations; give this or `eval_every`."""
    best_metric: str | None = None
    """The metric that selects the model: its best evaluation's weights are the result, not the last ones."""
    best_is: Best | None = None
    """Whether a high or a low value of `best_metric` is good; None: as `best_value` says."""
    patience: int | None = None
    """Stop after so many evaluations in a row without a better `best_metric`."""
    log_every: int = 1
    """Steps a line of the event log stands for."""

    def __post_init__(self) -> None:
        problems = [*_wrong_names(self), *_wrong_numbers(self), *_idle_numbers(self)]
        if problems:
            raise UsageError.of_problems(problems)

    @property
    def best_value(self) -> Best:
        """Which value of `best_metric` is the best one: `best_is`, or what the metric's name says."""
        return self.best_is or best_value_of(self.best_metric)

    def steps_per_epoch(self, num_examples: int) -> int:
        """Optimizer steps that show every example once; the last may be short."""
        return math.ceil(num_examples / self.global_batch)

    def evaluates_after(self, step: int, num_examples: int) -> bool:
        """Whether an evaluation is due after so many steps, the end left aside."""
        every = self.eval_every
        if self.eval_every_epochs is not None:
            every = self.eval_every_epochs * self.steps_per_epoch(num_examples)
        return every is not None and step % every == 0

    def total_steps(self, num_examples: int) -> int:
        """Optimizer steps of the whole run."""
        if self.max_steps is not None:
            return self.max_steps
        assert self.epochs is not None
        return self.epochs * self.steps_per_epoch(num_examples)


def best_value_of(metric: str | None) -> Best:
    """Which value of a metric is the best one, by its name: of a loss the lowest, of all others the highest.

    >>> best_value_of("mini/rte loss"), best_value_of("mini/rte accuracy")
    ('lowest', 'highest')
    """
    return "lowest" if metric is not None and metric.rpartition(" ")[2] == "loss" else "highest"


def _wrong_names(recipe: Recipe) -> list[str]:
    if str(recipe.precision) == "fp16":
        return [FP16_REFUSED]
    names = {
        "optimizer": OptimizerName,
        "schedule": ScheduleName,
        "precision": Precision,
    }
    if recipe.best_is is not None:
        names["best_is"] = Best
    return [
        unknown_name(key, str(getattr(recipe, key)), get_args(known))
        for key, known in names.items()
        if getattr(recipe, key) not in get_args(known)
    ]


def _wrong_numbers(recipe: Recipe) -> list[str]:
    problems = []
    if (recipe.max_steps is None) == (recipe.epochs is None):
        problems.append("max_steps, epochs: expected one of them, got " + _given(recipe))
    if recipe.eval_every is not None and recipe.eval_every_epochs is not None:
        problems.append("eval_every, eval_every_epochs: expected one of them, got both")
    if recipe.patience is not None and recipe.best_metric is None:
        problems.append("patience: expected a best_metric to wait for, got none")
    elif recipe.best_metric is not None and recipe.eval_every is recipe.eval_every_epochs is None:
        problems.append(
            "best_metric: expected eval_every or eval_every_epochs, or there is nothing to choose from"
        )
    return [*problems, *out_of_range(asdict(recipe), _RANGES)]


def _idle_numbers(recipe: Recipe) -> list[str]:
    """Numbers given to an optimizer or a schedule that has no use for them."""
    adafactor = recipe.optimizer == "adafactor"
    idle = ("beta1", "beta2", "epsilon") if adafactor else ("decay_rate",)
    problems = [
        f"{key}: the optimizer '{recipe.optimizer}' has none, got {getattr(recipe, key)}"
        for key in idle
        if getattr(recipe, key) is not None
    ]
    final = recipe.final_learning_rate
    if final and recipe.schedule not in ("linear", "cosine"):
        problems.append(f"final_learning_rate: the schedule '{recipe.schedule}' has none, got {final}")
    elif 0 < recipe.learning_rate < final:
        problems.append(f"final_learning_rate: expected <= learning_rate, got {final}")
    return problems


def _given(recipe: Recipe) -> str:
    return "neither" if recipe.max_steps is None else "both"


_LARGEST = 1e12
_RANGES: dict[str, tuple[float, float, bool]] = {
    "max_steps": (1, math.inf, True),
    "epochs": (1, math.inf, True),
    "global_batch": (1, math.inf, True),
    "micro_batch_tokens": (1, math.inf, True),
    "learning_rate": (0, _LARGEST, False),
    "beta1": (0, 0.999999, True),
    "beta2": (0, 0.999999, True),
    "epsilon": (0, 1, False),
    "decay_rate": (0, 1, False),
    "final_learning_rate": (0, _LARGEST, True),
    "warmup_steps": (0, math.inf, True),
    "weight_decay": (0, _LARGEST, True),
    "max_grad_norm": (0, _LARGEST, False),
    "dropout": (0, 0.99, True),
    "max_input_tokens": (2, math.inf, True),
    "max_target_tokens": (2, math.inf, True),
    "checkpoint_every": (1, math.inf, True),
    "eval_every": (1, math.inf, True),
    "eval_every_epochs": (1, math.inf, True),
    "patience": (1, math.inf, True),
    "log_every": (1, math.inf, True),
}
