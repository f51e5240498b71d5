"""The configuration of `ramekin evaluate`, and of the suite that it comes to.

What is not said is as the suite has it; tasks that are named without a suite are one of default settings.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, final

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ramekin.catalog import Catalog, load_task
from ramekin.catalog.suites import load_suite
from ramekin.errors import RamekinError, UsageError
from ramekin.evaluate.mode import CHANGEABLE, MODES, Extraction, Normalisation
from ramekin.recipes.settings import (
    AbstractSettings,
    AbstractTaskVerbConfig,
    ModeName,
    Natural,
    PositiveInt,
    UserPath,
    all_or_value_error,
    named_tasks,
)
from ramekin.text.metrics import METRICS
from ramekin.text.options import OptionsAs
from ramekin.text.prompting.few_shot import ShotForm
from ramekin.text.prompting.prompt import Thought
from ramekin.text.substitution import check_words
from ramekin.text.suite import UNNAMED, Suite, SuitePart, SuiteSettings, SuiteTask, changed, suite_entries

__all__ = ["EvaluateConfig", "ModeConfig", "suite_of"]

_TASKS = SuiteSettings(mode="fusionbench", splits=("validation",))
"""How tasks are put that no suite names."""


@final
class ModeConfig(AbstractSettings):
    """A scoring mode, and what is changed of it: `mode=rank mode.option_eos=false`; see `evaluate.mode`."""

    name: ModeName | None = None
    """None: as the suite has it."""
    input_eos: bool | None = None
    option_eos: bool | None = None
    normalisation: Normalisation | None = None
    also: tuple[Normalisation, ...] | None = None
    otherwise: Literal["refuse", "generate"] | None = None
    max_new_tokens: PositiveInt | None = None
    max_target_tokens: PositiveInt | None = None
    num_beams: PositiveInt | None = None
    num_samples: PositiveInt | None = None
    sampling_temperature: float | None = Field(None, ge=0)
    top_k: Natural | None = None
    top_p: float | None = Field(None, gt=0, le=1)
    length_penalty: float | None = None
    extraction: Extraction | None = None
    pattern: str | None = None
    trigger: str | None = None
    gold: Literal["text", "round_trip"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_word_is_a_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("also", mode="before")
    @classmethod
    def _one_is_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @property
    def rules(self) -> Mapping[str, Any]:
        """What is changed."""
        values = {name: getattr(self, name) for name in CHANGEABLE}
        return {name: value for name, value in values.items() if value is not None}


@final
class EvaluateConfig(AbstractTaskVerbConfig):
    """`ramekin evaluate`."""

    NAMED: ClassVar[tuple[str, ...]] = ("mode",)

    model: str | None = None
    models: tuple[str, ...] = ()
    """Several models on the same rows."""
    base: str | None = None
    suite: str | None = None
    """Of a built-in suite, or the path of a file that ends in `.yaml`, or a mixture, for its tasks."""
    templates: str = ""
    """`first`, `all` or a name; empty: as the suite has it, or the first."""
    split: str = ""
    """Empty: as the suite has it, or `validation`."""
    mode: ModeConfig = Field(default_factory=lambda: ModeConfig.model_validate({}))
    shots: Natural | None = None
    exemplars: Literal["split", "published"] | None = None
    exemplar_split: str | None = None
    exemplar_rows: Literal["drawn", "first"] | None = None
    shot_form: ShotForm | None = None
    thought: Thought | None = None
    options: OptionsAs | None = None
    metric: str | None = None
    """The headline in place of the tasks' own."""
    words: dict[str, str] = Field(default_factory=dict)
    """Other words for options, in prompt and answer alike: `words={yes: agree, no: disagree}`."""
    against: UserPath | None = None
    """The folder of an earlier evaluation of the same rows, from which the difference is told, paired."""
    formats: tuple[Literal["fusionbench", "lm_eval"], ...] = ()
    """Other tools' layouts in which the results are written too: `formats=[lm_eval,fusionbench]`."""
    missing: Literal["report", "error"] | None = None
    """What a task does whose data is not there; None: in a suite it is reported, else it is an error."""
    limit: PositiveInt | None = None
    batch_tokens: PositiveInt = 8192
    max_input_tokens: PositiveInt | None = None
    """None: as the suite has it, or 512."""
    answers: UserPath | None = None
    """The folder where answers are kept for whatever run asks the same again; None: in the user's cache."""
    workers: PositiveInt = 1
    """Processes that answer side by side, one thread each; on a cluster 1 takes all that it has room for.
    Predictions do not depend on them; what shares a batch does, and with it a log-probability's last bits
    (1e-5)."""
    cluster: Literal["none", "ray"] = "none"
    """Where they run: here, or on a Ray cluster."""

    @field_validator("suite")
    @classmethod
    def _suite_exists(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            try:
                load_suite(value, Catalog(info.data.get("tasks_root")))
            except RamekinError as error:
                raise ValueError(str(error)) from error
        return value

    @field_validator("metric")
    @classmethod
    def _metric_exists(cls, value: str | None) -> str | None:
        if value is not None:
            all_or_value_error(METRICS.__getitem__, [value])
        return value

    @field_validator("words")
    @classmethod
    def _are_of_each_task(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        root = info.data.get("tasks_root")
        all_or_value_error(
            lambda name: check_words(value, load_task(name, tasks_root=root).options, where=name),
            named_tasks(info) if value else (),
        )
        return value

    @field_validator("mode")
    @classmethod
    def _rules_go_together(cls, value: ModeConfig) -> ModeConfig:
        if value.name is not None:
            try:
                MODES[value.name].changed(**value.rules)
            except RamekinError as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _has_something_to_do(self) -> Self:
        if not self.task_names and self.suite is None:
            raise ValueError("needs a task or a suite: task=glue/rte, tasks=[glue/rte,glue/cola], suite=glue")
        if not self.model_names:
            raise ValueError("needs a model: model=runs/rte, or models=[runs/rte,runs/cola]")
        twice = [name for name in self.model_names if self.model_names.count(name) > 1]
        if twice:
            raise ValueError(f"models: '{twice[0]}' is named twice")
        if self.against is not None and len(self.model_names) > 1:
            raise ValueError("against: one model is compared with an earlier evaluation, not several")
        return self

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models asked for, whichever way they were written."""
        return (*((self.model,) if self.model else ()), *self.models)


_SETTINGS = (
    "shots",
    "exemplars",
    "exemplar_split",
    "exemplar_rows",
    "shot_form",
    "thought",
    "options",
    "metric",
    "limit",
    "max_input_tokens",
)
"""The keys that stand for settings of a suite, under the same names."""


def suite_of(config: EvaluateConfig) -> Suite:
    """The suite that is asked for, with what the configuration says otherwise.

    Tasks that are named beside a suite are one more part of it.

    Raises:
        UsageError: the suite does not exist, or a setting is out of range or says nothing.
    """
    suite = None if config.suite is None else load_suite(config.suite, Catalog(config.tasks_root))
    if config.task_names:
        named = tuple((SuiteTask(name, _TASKS),) for name in dict.fromkeys(config.task_names))
        part = SuitePart(UNNAMED, named)
        suite = (
            Suite(UNNAMED, (part,))
            if suite is None
            else dataclasses.replace(suite, name=f"{suite.name} and {UNNAMED}", parts=(*suite.parts, part))
        )
    assert suite is not None, "a configuration has a task or a suite"
    values = {name: getattr(config, name) for name in _SETTINGS}
    settings = {name: value for name, value in values.items() if value is not None}
    if config.templates:
        settings["templates"] = config.templates
    if config.split:
        settings["splits"] = (config.split,)
    if config.words:
        settings["words"] = (tuple(config.words.items()),)
    if config.mode.name is not None:
        settings |= {"mode": config.mode.name, "text_mode": None}
    suite = changed(suite, **settings)
    _check_exemplars(suite, settings)
    return suite


_OF_SHOTS = ("exemplars", "exemplar_split", "exemplar_rows", "shot_form")
_OF_SPLIT = ("exemplar_split", "exemplar_rows")


def _check_exemplars(suite: Suite, said: Mapping[str, Any]) -> None:
    """Refuse what is said of exemplars where there are none, or none of a split."""
    shown = [each.settings for each in suite_entries(suite) if each.settings.shots]
    for key in _OF_SHOTS:
        if key in said and not shown:
            raise UsageError(f"'{key}' says nothing of no exemplars: shots is 0", fix="shots=K")
        if key in said and key in _OF_SPLIT and all(each.exemplars == "published" for each in shown):
            raise UsageError(f"'{key}' says nothing of published exemplars", fix="exemplars=split")
    if said.get("thought") == "rationale" and not shown:
        raise UsageError(
            "thought=rationale shows the reasoning of exemplars, and shots is 0",
            fix="shots=K, or thought=trigger",
        )
