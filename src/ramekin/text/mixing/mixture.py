"""A mixture: tasks and further mixtures, how they are weighted, and in which forms their rows are put.

A mixture is data (`catalog/mixtures/NAME.yaml`, read by `catalog.mixtures`); this module holds its form and
takes it apart into leaves, which are what is drawn from. Knows nothing of sizes, rates or rows.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, final

from ramekin.errors import UsageError
from ramekin.text.mixing.form import PLAIN_FORM, PromptForm
from ramekin.text.prompting.ablation import template_subset
from ramekin.text.task import Task

__all__ = [
    "ALL_TEMPLATES",
    "PROPORTIONAL",
    "CapScope",
    "Leaf",
    "Missing",
    "Mixing",
    "Mixture",
    "MixturePart",
    "TaskPart",
    "Templates",
    "leaf_forms",
    "leaf_templates",
    "leaves",
    "missing_sets",
    "mixture_files",
    "part_leaves",
    "passed_over",
    "task_parts",
    "template_at",
]

CapScope: TypeAlias = Literal["dataset", "template", "each_template"]
"""What a cap K holds for, with n scaled examples and T templates:

`dataset`: the task counts min(n, K), however many templates it has (FLAN 2021, DIRECT).
`template`: each template counts n if n <= K, else K // T (T0's code, t0/seqio_tasks/tasks.py), which turns
sizes around: 3.6 M reviews with 9 templates count 499,995, and 364 k questions with 6 count 2,183,076.
`each_template`: each template counts min(n, K) (Flan 2022's open code).
"""


@final
@dataclass(frozen=True, slots=True)
class Mixing:
    """How a mixture weights its tasks: w = min(s·n, K)^(1/T), or equally (arXiv 1910.10683, section 3.5.2).

    Raises:
        UsageError: a number is out of range.
    """

    kind: Literal["proportional", "equal"] = "proportional"
    scale: float = 1.0
    """s: what a task's number of examples is multiplied by, before the cap."""
    cap_examples: int | None = None
    """K: examples beyond so many add no weight; None or 0: no cap, as in seqio."""
    cap_scope: CapScope = "dataset"
    mixing_temperature: float = 1.0
    """T: 1 is proportional (not equal, as is sometimes written); the higher, the nearer to equal."""

    def __post_init__(self) -> None:
        for name in ("scale", "mixing_temperature"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"mixing.{name} must be above 0", got=str(value))
        if self.cap_examples is not None and self.cap_examples < 0:
            raise UsageError("mixing.cap_examples must be 0 (no cap) or more", got=str(self.cap_examples))


@final
@dataclass(frozen=True, slots=True)
class Templates:
    """Which of a task's templates a mixture uses.

    Raises:
        UsageError: `per_task` is below 1, or no template is named.
    """

    which: Literal["all", "plain", "first"] | tuple[str, ...] = "all"
    """`all`: turned around or not, as in FLAN; `plain`: those that ask for the task's answer; or names."""
    per_task: int | None = None
    """At most so many of them, drawn by the seed; fewer are a part of more."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_task is not None and self.per_task < 1:
            raise UsageError("templates_per_task must be 1 or more", got=str(self.per_task))
        if self.which == ():
            raise UsageError("a mixture must use at least one template", fix="name one, or leave it out")

    def __str__(self) -> str:
        which = self.which if isinstance(self.which, str) else "+".join(self.which)
        return which if self.per_task is None else f"{which}/{self.per_task}@{self.seed}"


ALL_TEMPLATES = Templates()
PROPORTIONAL = Mixing()


@final
@dataclass(frozen=True, slots=True)
class TaskPart:
    """A task as a part of a mixture.

    Raises:
        UsageError: a number is out of range.
    """

    task: str
    rate: float | None = None
    """Its rate, relative to those of the mixture's other parts; None: computed from its examples."""
    limit_examples: int | None = None
    """Only so many of its rows are used, as FLAN 2021's `train[:30000]`."""
    floor_examples: int | None = None
    """In the weight it counts as at least so many examples."""
    templates: Templates = ALL_TEMPLATES
    split: str = "train"
    """Which of the task's splits is drawn from, by our name."""
    line: int | None = field(default=None, compare=False)
    """Of the mixture's file, for errors; `MixturePart` has it too."""

    def __post_init__(self) -> None:
        _check_rate(self.rate, self.task)
        for name in ("limit_examples", "floor_examples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be 1 or more", where=self.task, got=str(value))

    @property
    def name(self) -> str:
        """The part's name in errors."""
        return self.task


@final
@dataclass(frozen=True, slots=True)
class MixturePart:
    """A mixture as a part of another.

    Raises:
        UsageError: the rate is out of range.
    """

    mixture: "Mixture"
    rate: float | None = None
    """Its rate, relative to those of the other parts; None: the sum of its own weights."""
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _check_rate(self.rate, self.name)

    @property
    def name(self) -> str:
        """The part's name in errors."""
        return self.mixture.name


def _check_rate(rate: float | None, name: str) -> None:
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise UsageError("a rate must be above 0", where=name, got=str(rate))


@final
@dataclass(frozen=True, slots=True)
class Missing:
    """A data set that a published mixture has and that the catalogue lacks."""

    data_set: str
    reason: str


@final
@dataclass(frozen=True, slots=True)
class Mixture:
    """Tasks and mixtures, mixed.

    Either all parts have a rate or none has: a rate is relative to others of its kind, and one beside
    numbers of examples would mean nothing.

    Raises:
        UsageError: there are no parts or no forms, some parts have a rate and others none, or a part
            without a rate is a mixture whose own parts have rates, so that it has no number of examples.
    """

    name: str
    parts: tuple[TaskPart | MixturePart, ...]
    mixing: Mixing = PROPORTIONAL
    """How its own tasks are weighted; a mixture among its parts has its own."""
    forms: tuple[PromptForm, ...] = (PLAIN_FORM,)
    """How its own tasks' rows are put: each form has its share of a task's draws."""
    description: str = ""
    missing: tuple[Missing, ...] = ()
    """What the published mixture has beside."""
    where: str = ""
    """The file it was read from, for errors."""
    lists: tuple[str, ...] = ()
    """Further files that say which tasks are meant."""
    passed_over: tuple[str, ...] = ()
    """Tasks that a pattern or a collection of its file means and that lack the split that is drawn from."""

    def __post_init__(self) -> None:
        where = self.where or self.name
        if not self.parts:
            raise UsageError("the mixture has no tasks", where=where)
        if not self.forms:
            raise UsageError("the mixture has no forms", where=where)
        without = [part for part in self.parts if part.rate is None]
        if without and len(without) < len(self.parts):
            told = ", ".join(part.name for part in without[:8]) + "…" * (len(without) > 8)
            raise UsageError(
                "some parts of the mixture have a rate and others none",
                where=_line_of(where, without[0]),
                got=f"no rate: {told}",
                fix="give every part a rate, or none",
            )
        for part in self.parts:
            if isinstance(part, MixturePart) and part.rate is None and part.mixture.is_explicit:
                raise UsageError(
                    f"the mixture '{part.name}' has rates of its own, and so no number of examples",
                    where=_line_of(where, part),
                    fix="give each part of this mixture a rate",
                )

    @property
    def is_explicit(self) -> bool:
        """Whether its parts have rates."""
        return self.parts[0].rate is not None


def _line_of(where: str, part: TaskPart | MixturePart) -> str:
    return where if part.line is None else f"{where}:{part.line}"


@final
@dataclass(frozen=True, slots=True)
class Leaf:
    """What is drawn from: one task's rows, in one form.

    >>> str(Leaf("glue/rte", PromptForm(shots=2), limit_examples=100))
    'glue/rte shots=2 limit_examples=100'
    """

    task: str
    form: PromptForm = PLAIN_FORM
    """Its share is 1: what a leaf is does not depend on how often it is drawn."""
    limit_examples: int | None = None
    templates: Templates = ALL_TEMPLATES
    split: str = "train"

    def __str__(self) -> str:
        limit = "" if self.limit_examples is None else f"limit_examples={self.limit_examples}"
        templates = "" if self.templates == ALL_TEMPLATES else f"templates={self.templates}"
        split = "" if self.split == "train" else f"split={self.split}"
        return " ".join(filter(None, (self.task, str(self.form), limit, templates, split)))


def task_parts(mixture: Mixture) -> Iterator[tuple[Mixture, TaskPart]]:
    """Every task of a mixture with the mixture, at whatever depth, that it is a part of."""
    for part in mixture.parts:
        if isinstance(part, MixturePart):
            yield from task_parts(part.mixture)
        else:
            yield mixture, part


def missing_sets(mixture: Mixture) -> tuple[Missing, ...]:
    """What the published mixture has beside, and those within it; each once."""
    inner = (part.mixture for part in mixture.parts if isinstance(part, MixturePart))
    found = (each for other in inner for each in missing_sets(other))
    return tuple(dict.fromkeys((*mixture.missing, *found)))


def passed_over(mixture: Mixture) -> tuple[str, ...]:
    """The tasks that its patterns, and those of the mixtures within it, pass over; each once."""
    inner = (part.mixture for part in mixture.parts if isinstance(part, MixturePart))
    found = (each for other in inner for each in passed_over(other))
    return tuple(dict.fromkeys((*mixture.passed_over, *found)))


def leaf_forms(mixture: Mixture) -> tuple[PromptForm, ...]:
    """The forms of a mixture's own tasks as their leaves have them, without their shares."""
    return tuple(replace(form, share=1.0) for form in mixture.forms)


def mixture_files(mixture: Mixture) -> tuple[str, ...]:
    """The files that a mixture and those within it were read from; each once."""
    inner = (part.mixture for part in mixture.parts if isinstance(part, MixturePart))
    found = (each for other in inner for each in mixture_files(other))
    own = (mixture.where,) if mixture.where else ()
    return tuple(dict.fromkeys((*own, *mixture.lists, *found)))


def part_leaves(part: TaskPart, forms: Iterable[PromptForm]) -> tuple[Leaf, ...]:
    """The leaves of one task, one for each of the `leaf_forms` of its mixture."""
    return tuple(Leaf(part.task, form, part.limit_examples, part.templates, part.split) for form in forms)


def leaves(mixture: Mixture) -> tuple[Leaf, ...]:
    """All leaves of a mixture, each once, in the order in which its parts are listed."""
    return tuple(dict.fromkeys(_leaves(mixture)))


def _leaves(mixture: Mixture) -> Iterator[Leaf]:
    forms = leaf_forms(mixture)
    for part in mixture.parts:
        yield from _leaves(part.mixture) if isinstance(part, MixturePart) else part_leaves(part, forms)


def leaf_templates(leaf: Leaf, task: Task) -> tuple[str, ...]:
    """The names of the templates that a leaf's rows take turns with.

    An inverted form takes plain ones alone, and so does an ablated one: without its instruction a prompt that
    is turned around says nothing of what it asks.

    Raises:
        UsageError: a template that is named is not the task's, or none is left.
    """
    chosen = leaf.templates
    if isinstance(chosen.which, tuple):
        names = [task.template(name).name for name in chosen.which]
    elif chosen.which == "first":
        names = [task.template().name]
    else:
        names = list(task.templates if chosen.which == "all" else task.plain_templates)
    if leaf.form.templates:
        own = [task.template(name).name for name in leaf.form.templates]
        names = [name for name in names if name in own]
    if leaf.form.inverted or leaf.form.ablation != "none":
        names = [name for name in names if not task.templates[name].turned]
    if not names:
        raise UsageError("the task has none of the templates that are asked for", where=str(leaf))
    if chosen.per_task is None:
        return tuple(names)
    drawn = template_subset(task, len(task.templates), seed=chosen.seed)
    return tuple(name for name in drawn if name in names)[: chosen.per_task]


def template_at(templates: tuple[str, ...], row: int, epoch: int) -> str:
    """The template of a row in an epoch: round-robin, so that in T epochs a row meets each of T once.

    >>> [template_at(("a", "b", "c"), 4, epoch) for epoch in range(3)]
    ['b', 'c', 'a']
    """
    return templates[(row + epoch) % len(templates)]
