"""A task: where its records are, what their columns mean, how they are asked and how answers are scored.

A task is data (`catalog/tasks/FAMILY/NAME.yaml`, read by `text.task_yaml`); this module holds its form. It
does not know where files are, how records are read, or how they are shown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, final

from ramekin.errors import UsageError
from ramekin.registry import unknown_name
from ramekin.text.template import Template

__all__ = ["ColumnType", "Kind", "Maker", "PublishedSource", "Source", "Task"]

ColumnType: TypeAlias = Literal["string", "integer", "number", "boolean", "list", "any"]

Kind: TypeAlias = Literal["classification", "multiple_choice", "number", "text"]
"""What an answer is: one of the task's options, one of the record's own options, a number, or free text."""

Maker: TypeAlias = Callable[[dict[str, Any]], Any]
"""From a record's values to one more: an `Expression` of a task file, or a function of a reader's."""


@final
@dataclass(frozen=True)
class PublishedSource:
    """Where the exemplars are that a benchmark was published with, and how it puts a question to a model.

    Exactly one of `file` and `split` is given.
    """

    question: Template
    """The question as the exemplars have theirs, and its answer."""
    file: str = ""
    """A file below a data root: an instruction, then `Q:` and `A:` in turn."""
    key: str = ""
    """Where that file is JSON, the key of the task's text."""
    split: str = ""
    """Ours, of which all rows are the exemplars."""
    reasoning: Template | None = None
    """Of a split's rows: the reasoning with the answer, as it was published."""
    question_mark: str = "Q: "
    answer_mark: str = "A: "
    obtain: str = ""
    """How to come by the file."""


@final
@dataclass(frozen=True)
class Source:
    """Where a task's records are. Exactly one of `world`, `file` and (`hub`, `local`) is given."""

    splits: Mapping[str, str]
    """Our split names to the source's, such as `validation` to `validation_matched`."""
    hub: str | None = None
    """Data set path on the Hugging Face hub, such as `nyu-mll/glue`; None: it cannot be loaded from there."""
    name: str | None = None
    """The configuration's name there, such as `rte`."""
    revision: str | None = None
    """A commit or tag to pin, or None for the newest; `refs/convert/parquet` is the hub's own conversion."""
    local: str | None = None
    """Folder below a data root, such as `glue/rte`."""
    obtain: str = ""
    """How to come by the records where the hub does not load them: a mirror, or the files that are wanted."""
    world: str | None = None
    """A task of the built-in synthetic world, such as `rte`."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """For the synthetic world: how many rows of each split are made where no number is asked for."""
    file: str | None = None
    """One file that holds the records of a collection's task."""
    form: str = ""
    """How that file is written: `natural_instructions`, `bigbench`, `flan_cot`, `instructions`."""
    exemplars: PublishedSource | None = None
    """Exemplars with reasoning that belong to the benchmark."""

    def has_split(self, split: str) -> bool:
        """Whether a split has that name, ours or the source's; a source that names none may have any."""
        return not self.splits or split in self.splits or split in self.splits.values()


@final
@dataclass(frozen=True)
class Task:
    """One text-to-text task."""

    name: str
    description: str
    source: Source
    columns: Mapping[str, ColumnType]
    """The data set's columns that the task reads, with their types."""
    kind: Kind
    options: tuple[str, ...]
    """The admissible answers of a classification, in the order of the label's values; else empty."""
    metrics: tuple[str, ...]
    """Metric names; the first is the task's headline."""
    templates: Mapping[str, Template]
    """By name; the first is the default. Those turned around come last."""
    cluster: str = ""
    """One of FLAN's 12 clusters, or another; see `catalog/clusters.yaml`."""
    group: str = ""
    """The finer grouping, such as FLAN's 17."""
    licence: str = ""
    language: str = "en"
    constants: Mapping[str, Any] = field(default_factory=dict)
    """What every record of this task has, such as `subject` of an MMLU task."""
    fields: Mapping[str, Maker] = field(default_factory=dict)
    """What templates may use beside the columns; each may use those before it."""
    record_options: Maker | None = None
    """The options of a multiple-choice record: a list of texts."""
    answer: Maker | None = None
    """The right answer: an index into the options or one of them, a number, or a text."""
    references: Maker | None = None
    """All answers that count as right, where there are several."""
    rationale: Maker | None = None
    """The reasoning that leads to the answer."""
    passage: Maker | None = None
    """What a row shares with others, such as the text that its question is about: such rows are not
    independent."""
    question: Maker | None = None
    """What a row asks, where several rows of a passage are candidate answers of one question (MultiRC)."""
    keep: Maker | None = None
    """Whether a row belongs to the task; None: every one does."""
    sample: Mapping[str, Any] | None = None
    """A row of our own invention, as the data set has them."""
    where: str = ""
    """The file it was read from, for errors."""

    @cached_property
    def plans(self) -> dict[Any, Any]:
        """What `text.reading` has worked out about this task, by what was asked for."""
        return {}

    @cached_property
    def as_published(self) -> "Task":
        """The task with one template, which puts the question as the published exemplars do.

        Raises:
            UsageError: there are none.
        """
        exemplars = self.source.exemplars
        if exemplars is None:
            raise UsageError(
                "no exemplars were published with the task's data set",
                where=self.name,
                expected="a task with 'source.exemplars', such as those of bbh, mmlu and mgsm",
                fix="draw exemplars from a split with shots=N",
            )
        return replace(self, templates={exemplars.question.name: exemplars.question})

    @property
    def plain_templates(self) -> Mapping[str, Template]:
        """The templates that ask for the task's own answer."""
        return {name: template for name, template in self.templates.items() if not template.turned}

    @property
    def family(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]

    def template(self, name: str | None = None) -> Template:
        """The template of that name, or the first.

        Raises:
            UsageError: there is none of that name; the message has the nearest.
        """
        if name is None or name == "first":
            return next(iter(self.templates.values()))
        if name not in self.templates:
            raise UsageError(unknown_name("template", name, self.templates), where=self.name)
        return self.templates[name]

    def check_split(self, split: str) -> None:
        """Refuse a split that the task lacks.

        Raises:
            UsageError: it has none of that name; the message has the task and the nearest.
        """
        if not self.source.has_split(split):
            raise UsageError(unknown_name("split", split, self.source.splits), where=self.name)
