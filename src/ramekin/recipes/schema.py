"""The configuration of the verbs that train, evaluate, fuse and run, as models that forbid unknown keys.

What they share is in `settings`, merges are in `merge_schema`. Importing this module loads pydantic and
nothing heavier.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, final

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, field_validator, model_validator

from ramekin.recipes.adapter_config import AdapterConfig, mergeable
from ramekin.recipes.merge_schema import MethodConfig
from ramekin.recipes.mixture_config import MixtureConfig
from ramekin.recipes.settings import (
    AbstractSettings,
    AbstractTaskVerbConfig,
    AbstractVerbConfig,
    ModeName,
    Natural,
    PositiveInt,
    UserPath,
    refuse_unknown_tasks,
)
from ramekin.recipes.tracking import TrackerName
from ramekin.train.objectives.recipe import ObjectiveRecipe
from ramekin.train.recipe import FP16_REFUSED, Recipe

__all__ = [
    "BaseConfig",
    "FuseConfig",
    "PoolConfig",
    "PoolMember",
    "RoadConfig",
    "RunConfig",
    "SweepConfig",
    "TaskpoolConfig",
    "TokenizerConfig",
    "TrainConfig",
    "TrainingNumbers",
]


def _with_a_length(value: Any) -> Any:
    """Three epochs, where a training says neither steps nor epochs; fp16 is refused with its reason."""
    if isinstance(value, Mapping) and value.get("precision") == "fp16":
        raise ValueError(FP16_REFUSED)
    if isinstance(value, Mapping) and not {"epochs", "max_steps"} & set(value):
        return {**value, "epochs": 3}
    return value


TrainingNumbers: TypeAlias = Annotated[Recipe, BeforeValidator(_with_a_length)]
"""A recipe's numbers; three epochs where it says neither steps nor epochs."""


@final
class TrainConfig(AbstractTaskVerbConfig):
    """`ramekin train`. The keys of `training` may be written without it: `max_steps=200`."""

    LIFTED: ClassVar[tuple[str, ...]] = ("training",)
    NAMED: ClassVar[tuple[str, ...]] = ("mixture",)
    CHOICES: ClassVar[tuple[str, ...]] = ("recipe",)
    ALTERNATIVES: ClassVar[tuple[tuple[str, str], ...]] = (
        ("training.max_steps", "training.epochs"),
        ("training.eval_every", "training.eval_every_epochs"),
        ("task", "mixture"),
        ("tasks", "mixture"),
    )
    """A word for the one takes back what a recipe or a file says of the other."""

    recipe: str | None = None
    """What these numbers are from, such as `t0/t0_3b`; other words are laid over it."""
    tiny: bool = False
    """The same recipe in small, in a minute and without a network; see `recipes.tiny`."""

    model: str
    mixture: MixtureConfig | None = None
    """Instead of tasks: `mixture=flan_2021`, and `mixture.KEY=` for what is changed of it."""
    split: str = "train"
    limit: PositiveInt | None = None
    input_eos: bool = True
    """Whether inputs end with `</s>`: T5's and Flan-T5's do, T0's do not."""
    objective: ObjectiveRecipe = ObjectiveRecipe()
    eval_tasks: tuple[str, ...] = ()
    """What is evaluated on; empty: the tasks that are trained, or of a mixture nothing."""
    eval_split: str = "validation"
    eval_limit: PositiveInt | None = 500
    eval_with: tuple[Literal["scores", "loss"], ...] = ("scores",)
    """`scores` by the mode, the mean `loss` of the targets, or both."""
    samples: Natural = 0
    """Answers that are shown at each evaluation."""
    mode: ModeName = "fusionbench"
    adapter: AdapterConfig = AdapterConfig()
    training: TrainingNumbers = Recipe(epochs=3)
    resume: Literal["auto", "never"] = "auto"
    track: tuple[TrackerName, ...] = ()
    """Experiment trackers that follow the run."""
    project: str = "ramekin"
    """What trackers call the experiment."""
    cache: UserPath | None = None
    """Where a mixture's tokens are kept; None: in the user's cache."""
    workers: Natural = 0
    """Processes that read and tokenise a mixture side by side; 0 takes one a core."""

    @field_validator("output")
    @classmethod
    def _has_a_name(cls, value: Path | None) -> Path | None:
        if value is not None and value.name in ("", ".."):
            raise ValueError("a training makes a folder of a name of its own; fix: output=runs/NAME")
        return value

    @field_validator("eval_tasks")
    @classmethod
    def _eval_tasks_exist(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        refuse_unknown_tasks(value, info.data.get("tasks_root"))
        return value

    @model_validator(mode="after")
    def _has_data(self) -> Self:
        if self.task_names and self.mixture is not None:
            raise ValueError(
                "task, mixture: expected one of them, got both; leave one out, or add mixture=null"
            )
        if not self.task_names and self.mixture is None:
            raise ValueError("needs a task or a mixture: task=glue/rte, tasks=[…], or mixture=flan_2021")
        return self

    @model_validator(mode="after")
    def _can_share_rows(self) -> Self:
        if self.training.packing and self.adapter.kind == "prompt":
            raise ValueError("packing: a prompt stands before a whole row, so that examples cannot share one")
        return self

    @model_validator(mode="after")
    def _can_select(self) -> Self:
        if self.training.best_metric is not None and not self.is_evaluated:
            raise ValueError(
                "best_metric: there is no evaluation to select the model by; name eval_tasks=[…], an "
                "eval_split, and what to eval_with"
            )
        return self

    @property
    def evaluated_tasks(self) -> tuple[str, ...]:
        """The tasks that are evaluated on."""
        return self.eval_tasks or self.task_names

    @property
    def is_evaluated(self) -> bool:
        """Whether there is something to evaluate on, and by."""
        return bool(self.eval_split and self.evaluated_tasks and self.eval_with)

    @model_validator(mode="before")
    @classmethod
    def _is_scored_as_it_learned(cls, given: Any) -> Any:
        """What learns flipped, or as a channel, ranks so, unless another mode is asked for."""
        objective = given.get("objective") if isinstance(given, Mapping) else None
        learned = objective.get("name") if isinstance(objective, Mapping) else None
        if learned in ("channel", "flipped") and "mode" not in given:
            return {**given, "mode": learned}
        return given


@final
class PoolMember(AbstractSettings):
    """One model of a pool: a dense checkpoint, or an adapter on its base."""

    pretrained_model_name_or_path: str | None = None
    base_model_path: str | None = None
    peft_model_path: str | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "PoolMember":
        dense = self.pretrained_model_name_or_path is not None
        adapter = self.base_model_path is not None and self.peft_model_path is not None
        if dense == adapter:
            raise ValueError(
                "needs either pretrained_model_name_or_path, or base_model_path and peft_model_path"
            )
        return self


@final
class TokenizerConfig(AbstractSettings):
    """Which checkpoint's tokenizer a pool uses."""

    pretrained_model_name_or_path: str


@final
class PoolConfig(AbstractSettings):
    """A pool of models; `_pretrained_` is the base, the others are merged."""

    models: dict[str, PoolMember]
    base_model: str | None = None
    tokenizer: TokenizerConfig | None = None


@final
class TaskpoolConfig(AbstractSettings):
    """The tasks a fused model is evaluated on, and by which rules."""

    name: str
    tasks: tuple[str, ...]
    mode: ModeName = "fusionbench"
    split: str = "validation"


@final
class FuseConfig(AbstractVerbConfig):
    """`ramekin fuse`: FusionBench's sentence."""

    method: MethodConfig
    modelpool: PoolConfig
    taskpool: TaskpoolConfig
    report_save_path: UserPath | None = None
    merged_model_save_path: UserPath | None = None
    limit: PositiveInt | None = None
    batch_tokens: PositiveInt = 8192
    max_input_tokens: PositiveInt = 512

    @field_validator("taskpool")
    @classmethod
    def _tasks_exist(cls, value: TaskpoolConfig, info: ValidationInfo) -> TaskpoolConfig:
        refuse_unknown_tasks(value.tasks, info.data.get("tasks_root"))
        return value


@final
class BaseConfig(AbstractSettings):
    """How a small base is made from nothing: vocabulary, architecture, plain text and a light mixture."""

    name: str
    """What reports call it; `mini/base` and `mini/text` are kept and found again by that name."""
    tokenizer: UserPath | None = None
    """A folder with a vocabulary; None trains one on the spot."""
    vocab_size: PositiveInt = 1000
    vocabulary_templates: Literal["first", "all"] = "first"
    """Which of the tasks' templates a vocabulary is trained on: the first of each, or all in turn."""
    d_model: PositiveInt = 128
    d_kv: PositiveInt = 32
    d_ff: PositiveInt = 256
    num_layers: PositiveInt = 2
    num_decoder_layers: PositiveInt | None = None
    """None: as many as the encoder's."""
    num_heads: PositiveInt = 4
    feed_forward: Literal["relu", "gated-gelu"] = "gated-gelu"
    """T5 1.0's or T5 1.1's; `relu` is the faster on small models."""
    tied: bool = False
    num_buckets: PositiveInt = 32
    """Relative attention buckets."""
    max_distance: PositiveInt = 128
    """The farthest distance that has a bucket of its own."""
    matching_start: bool = False
    """Start the encoder's attention on equal tokens; see `weights.mimetic`."""
    text_rows: Natural = 0
    """Sentences of plain text, learned by denoising."""
    task_rows: Natural = 0
    """Rows of each task in the light mixture."""
    training: Recipe


@final
class SweepConfig(AbstractSettings):
    """A method tried at several scaling factors, the checkpoints read once."""

    method: MethodConfig
    factors: tuple[float, ...]


@final
class RoadConfig(AbstractSettings):
    """A whole road: a base, one fine-tuning a task, merges, a sweep, one evaluation of everything."""

    name: str
    title: str
    tasks: tuple[str, ...]
    base: BaseConfig
    train_rows: PositiveInt
    """Rows a task that its fine-tuning sees."""
    eval_rows: PositiveInt
    """Validation rows a task."""
    full: Recipe | None = None
    """How whole models are fine-tuned; None leaves them out."""
    lora: Recipe | None = None
    """How adapters are fine-tuned; None leaves them out."""
    adapter: Annotated[AdapterConfig, AfterValidator(mergeable)] = AdapterConfig(kind="lora")
    methods: tuple[MethodConfig, ...]
    sweep: SweepConfig | None = None
    baseline: bool = False
    """Whether a TF-IDF + logistic regression line stands beside the models."""
    mode: ModeName = "fusionbench"
    split: str = "validation"
    workers: Natural = 0
    """Processes that fine-tune and evaluate side by side, one thread each; 0 takes one a core."""


@final
class RunConfig(AbstractVerbConfig):
    """`ramekin run` and `ramekin demo`: a whole recipe. Its keys may be written without `recipe.`."""

    LIFTED: ClassVar[tuple[str, ...]] = ("recipe",)

    recipe: RoadConfig

    @field_validator("recipe")
    @classmethod
    def _tasks_exist(cls, value: RoadConfig, info: ValidationInfo) -> RoadConfig:
        refuse_unknown_tasks(value.tasks, info.data.get("tasks_root"))
        return value
