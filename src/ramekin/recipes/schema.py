"""The configuration of every verb, as pydantic models that forbid unknown keys.

This is the edge: what a user may write, with types, bounds and defaults. The library below takes plain
keyword arguments and knows none of these models. Importing this module loads pydantic and nothing heavier.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = [
    "AbstractSettings",
    "AbstractVerbConfig",
    "AdapterConfig",
    "EvaluateConfig",
    "FineTuning",
    "FuseConfig",
    "MergeConfig",
    "PoolConfig",
    "PoolMember",
    "RunConfig",
    "TaskpoolConfig",
    "TokenizerConfig",
    "TrainConfig",
]


def _expanded(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) else value


UserPath: TypeAlias = Annotated[Path, BeforeValidator(_expanded)]
PositiveInt: TypeAlias = Annotated[int, Field(gt=0)]
Natural: TypeAlias = Annotated[int, Field(ge=0)]


class AbstractSettings(BaseModel):
    """A group of keys: unknown ones are refused, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AbstractVerbConfig(AbstractSettings):
    """The keys that every verb has."""

    output: UserPath | None = None
    """Folder for what the verb makes; None lets the verb choose a fresh one below `outputs/`."""
    overwrite: bool = False
    seed: Natural = 0
    device: str = "auto"
    threads: Natural = 0
    """Threads for arithmetic on the CPU; 0 takes as many as there are cores."""
    data_root: UserPath | None = None
    tasks_root: UserPath | None = None
    hub_root: UserPath | None = None


class AdapterConfig(AbstractSettings):
    """A LoRA adapter (Hu et al. 2021, arXiv 2106.09685)."""

    kind: Literal["none", "lora"] = "none"
    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] = ("q", "v")
    rslora: bool = False


class FineTuning(AbstractSettings):
    """How a model is trained; `ramekin.train.recipe.Recipe` says what each key does."""

    epochs: PositiveInt | None = None
    max_steps: PositiveInt | None = None
    global_batch: PositiveInt = 32
    micro_batch_tokens: PositiveInt = 4096
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    scale_parameter: bool = True
    schedule: Literal["constant", "linear"] = "constant"
    warmup_steps: Natural = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_input_tokens: PositiveInt = 512
    max_target_tokens: PositiveInt = 128
    precision: str = "auto"
    checkpoint_every: Natural = 0
    eval_every: Natural = 0
    log_every: PositiveInt = 10


class TrainConfig(AbstractVerbConfig):
    """`ramekin train`. The keys of `training` may be written without it: `max_steps=200`."""

    LIFTED: ClassVar[tuple[str, ...]] = ("training",)

    model: str
    task: str | None = None
    tasks: tuple[str, ...] = ()
    templates: str = "first"
    split: str = "train"
    eval_split: str = "validation"
    limit: PositiveInt | None = None
    eval_limit: PositiveInt | None = 500
    mode: str = "fusionbench"
    adapter: AdapterConfig = AdapterConfig()
    training: FineTuning = FineTuning()
    resume: Literal["auto", "never"] = "auto"

    @model_validator(mode="after")
    def _has_a_task(self) -> "TrainConfig":
        if not self.task_names:
            raise ValueError("needs a task: task=glue/rte, or tasks=[glue/rte,glue/cola]")
        return self

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks asked for, whichever way they were written."""
        return (*((self.task,) if self.task else ()), *self.tasks)


class MergeConfig(AbstractVerbConfig):
    """`ramekin merge`."""

    method: dict[str, Any]
    base: str | None = None
    models: tuple[str, ...]
    dtype: Literal["same", "float32", "bfloat16"] = "same"


class EvaluateConfig(AbstractVerbConfig):
    """`ramekin evaluate`."""

    model: str
    base: str | None = None
    task: str | None = None
    tasks: tuple[str, ...] = ()
    templates: str = "first"
    split: str = "validation"
    mode: str = "fusionbench"
    limit: PositiveInt | None = None
    batch_tokens: PositiveInt = 8192
    max_input_tokens: PositiveInt = 512

    @model_validator(mode="after")
    def _has_a_task(self) -> "EvaluateConfig":
        if not self.task_names:
            raise ValueError("needs a task: task=glue/rte, or tasks=[glue/rte,glue/cola]")
        return self

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks asked for, whichever way they were written."""
        return (*((self.task,) if self.task else ()), *self.tasks)


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


class TokenizerConfig(AbstractSettings):
    """Which checkpoint's tokenizer a pool uses."""

    pretrained_model_name_or_path: str


class PoolConfig(AbstractSettings):
    """A pool of models; `_pretrained_` is the base, the others are merged."""

    models: dict[str, PoolMember]
    base_model: str | None = None
    tokenizer: TokenizerConfig | None = None


class TaskpoolConfig(AbstractSettings):
    """The tasks a fused model is evaluated on, and by which rules."""

    name: str
    tasks: tuple[str, ...]
    mode: str = "fusionbench"
    split: str = "validation"


class FuseConfig(AbstractVerbConfig):
    """`ramekin fuse`: FusionBench's sentence."""

    method: dict[str, Any]
    modelpool: PoolConfig
    taskpool: TaskpoolConfig
    report_save_path: UserPath | None = None
    merged_model_save_path: UserPath | None = None
    limit: PositiveInt | None = None
    batch_tokens: PositiveInt = 8192
    max_input_tokens: PositiveInt = 512


class RunConfig(AbstractVerbConfig):
    """`ramekin run` and `ramekin demo`: a whole recipe."""

    recipe: dict[str, Any]
