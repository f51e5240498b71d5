"""The configuration of `ramekin tasks list`, `show`, `render` and `check`."""

from typing import Literal, Self, final

from pydantic import Field, model_validator

from ramekin.recipes.settings import AbstractVerbConfig, Natural, PositiveInt, UserPath
from ramekin.text.options import OptionOrder, OptionsAs
from ramekin.text.prompting.ablation import Ablation
from ramekin.text.prompting.few_shot import ShotForm
from ramekin.text.task import Kind

__all__ = ["AbstractRowsConfig", "CheckTasksConfig", "ListTasksConfig", "RenderTaskConfig", "ShowTaskConfig"]


@final
class ListTasksConfig(AbstractVerbConfig):
    """`ramekin tasks list`: every key narrows the list."""

    cluster: str | None = None
    group: str | None = None
    family: str | None = None
    language: str | None = None
    kind: Kind | Literal["chain_of_thought"] | None = None
    """What an answer is; `chain_of_thought`: tasks whose records have the reasoning too."""
    collection: str | None = None
    """What a published system was trained or evaluated on, such as `flan_2021`."""
    hold_out: str | None = None
    """A cluster: what may be trained on when it is held out."""


@final
class ShowTaskConfig(AbstractVerbConfig):
    """`ramekin tasks show`."""


class AbstractRowsConfig(AbstractVerbConfig):
    """The keys that say which rows and templates, and how they are put."""

    templates: str = "first"
    split: str | None = None
    """None: `validation`, or else the first that the task has."""
    sample: bool = False
    """The task's own example row instead of the data's."""
    limit: PositiveInt | None = None
    options: OptionsAs = "dashes"
    option_order: OptionOrder = "given"
    words: dict[str, str] = Field(default_factory=dict)
    """Other words for options, in prompt and target alike: `words={yes: agree, no: disagree}`."""
    truncate_chars: PositiveInt | None = None
    """In promptsource's templates, cut each value to so many characters (P3 was made with 2048)."""
    epoch: Natural = 0
    tokenizer: UserPath | None = None
    """A folder with a vocabulary, or one of a model."""
    max_input_tokens: PositiveInt = 512


@final
class RenderTaskConfig(AbstractRowsConfig):
    """`ramekin tasks render`."""

    shots: Natural = 0
    shot_form: ShotForm = "flan_2022"
    exemplar_templates: Literal["same", "drawn"] = "same"
    exemplars: UserPath | None = None
    """A file of published exemplars, `Q:` and `A:` in turn, instead of ones drawn from the training split."""
    cot: bool = False
    """Chain of thought: the reasoning is asked for, and stands in the target where the task has it."""
    ablation: Ablation = "none"
    form: Literal["direct", "flipped", "channel", "inverted"] = "direct"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.form != "direct" and (self.shots or self.cot or self.exemplars or self.ablation != "none"):
            raise ValueError(f"form={self.form} stands alone: leave out shots, cot, exemplars and ablation")
        return self


@final
class CheckTasksConfig(AbstractRowsConfig):
    """`ramekin tasks check`."""

    templates: str = "all"
    max_target_tokens: PositiveInt = 128
