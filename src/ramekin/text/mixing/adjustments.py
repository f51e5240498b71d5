"""What may be laid over a mixture: other settings, fewer tasks, other forms; the ablations as values.

With these every ablation of FLAN 2021 (clusters held out and trained on, templates a task, no template, the
data set's name; arXiv 2109.01652) and of Flan 2022 (number of tasks, with and without chains of thought,
with and without exemplars; arXiv 2210.11416) is an adjustment of a mixture and no file of its own. Knows
nothing of where mixtures and tasks are read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, final

from ramekin.errors import UsageError
from ramekin.registry import unknown_name
from ramekin.text.clusters import Cluster, hold_out
from ramekin.text.draw import drawn_order
from ramekin.text.mixing.form import PromptForm
from ramekin.text.mixing.mixture import CapScope, Mixing, Mixture, MixturePart, TaskPart, task_parts
from ramekin.text.options import OptionsAs
from ramekin.text.prompting.ablation import Ablation
from ramekin.text.task import Task

__all__ = ["Adjustments", "Inclusion", "adjusted"]

Inclusion: TypeAlias = Literal["include", "leave_out", "only"]
"""Whether a mixture's forms of a kind stay, go, or stay alone."""

_SHOWN = 8


@final
@dataclass(frozen=True, slots=True)
class Adjustments:
    """What is changed of a mixture; the defaults change nothing."""

    kind: Literal["proportional", "equal"] | None = None
    """This and the next four replace the `Mixing` of the mixture and of all within it. Rates that are given
    stay as they are."""
    scale: float | None = None
    cap_examples: int | None = None
    """0: no cap."""
    cap_scope: CapScope | None = None
    mixing_temperature: float | None = None
    hold_out: str | None = None
    """A cluster: it goes, and all that overlaps with it (`text.clusters`)."""
    clusters: tuple[str, ...] = ()
    """Only tasks of these clusters."""
    exclude: tuple[str, ...] = ()
    """Tasks that go, by name or pattern."""
    num_tasks: int | None = None
    """So many of the tasks that are left, drawn by the seed; fewer are a part of more."""
    num_tasks_of: Literal["all", "without_cot"] = "all"
    """Which tasks `num_tasks` counts and draws: with `without_cot` those that have another form than chains
    of thought. The others stay beside them, so that the same tasks are drawn with and without `cot`."""
    limit_examples: int | None = None
    """At most so many rows of each task."""
    templates_per_task: int | None = None
    """At most so many templates of each task, drawn by the seed; fewer are a part of more."""
    ablation: Ablation | None = None
    """`no_template` and `dataset_name` take no templates that are turned around (`leaf_templates`)."""
    options: OptionsAs | None = None
    cot: Inclusion = "include"
    """Forms with chains of thought, in the target or in an inversion's inputs."""
    exemplars: Inclusion = "include"
    """Forms with exemplars."""
    seed: int = 0

    @property
    def looks_inside(self) -> bool:
        """Whether it depends on what the tasks are, and not on their names alone."""
        return self.hold_out is not None or bool(self.clusters)


def adjusted(
    mixture: Mixture,
    adjustments: Adjustments,
    *,
    tasks: Mapping[str, Task],
    clusters: Mapping[str, Cluster],
    known: Iterable[Task] = (),
) -> Mixture:
    """A mixture with adjustments; a part that is left with nothing goes, and the others' rates stay.

    Args:
        mixture: what is adjusted.
        adjustments: what is changed.
        tasks: the mixture's tasks by name; they are looked up only if `adjustments.looks_inside`.
        clusters: all clusters by name.
        known: further tasks, by which it is known what overlaps with a held-out cluster.

    Raises:
        UsageError: a cluster is unknown or has no task, nothing is left, there are too few tasks, an
            adjustment would change nothing, or it cannot be told whether a task overlaps with what is held
            out.
    """
    names = tuple(dict.fromkeys(part.task for _, part in task_parts(mixture)))
    kept = _kept_names(names, adjustments, tasks, clusters, known)
    found = _rebuilt(mixture, kept, _changed_forms(adjustments))
    if found is None:
        raise UsageError("the adjustments leave nothing of the mixture", where=mixture.name)
    if adjustments.num_tasks is not None:
        left = {part.task for _, part in task_parts(found)}
        counted = left
        if adjustments.num_tasks_of == "without_cot":
            counted = {part.task for inner, part in task_parts(found) if _has_plain_form(inner)}
        drawn = _drawn_names(counted, adjustments.num_tasks, adjustments.seed, mixture.name)
        found = _rebuilt(found, {*drawn, *(left - counted)}, lambda mixture: mixture.forms)
        assert found is not None, "at least one task is drawn"
    return _with_settings(found, adjustments)


def _kept_names(
    names: Collection[str],
    adjustments: Adjustments,
    tasks: Mapping[str, Task],
    clusters: Mapping[str, Cluster],
    known: Iterable[Task],
) -> Collection[str]:
    kept = [name for name in names if not any(fnmatchcase(name, each) for each in adjustments.exclude)]
    for pattern in adjustments.exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(unknown_name("task of the mixture", pattern, names))
    for cluster in adjustments.clusters:
        if cluster not in clusters:
            raise UsageError(unknown_name("cluster", cluster, clusters))
        if not any(tasks[name].cluster == cluster for name in kept):
            raise UsageError("no task of the mixture is of this cluster", where=cluster)
    if adjustments.clusters:
        kept = [name for name in kept if tasks[name].cluster in adjustments.clusters]
    if adjustments.hold_out is not None:
        _refuse_unclustered(adjustments.hold_out, kept, tasks, clusters)
        listed = {task.name: task for task in (*known, *(tasks[name] for name in kept))}
        held = hold_out(adjustments.hold_out, listed.values(), clusters=clusters)
        return frozenset(kept) & frozenset(held.train)
    return frozenset(kept)


def _refuse_unclustered(
    cluster: str, names: Iterable[str], tasks: Mapping[str, Task], clusters: Mapping[str, Cluster]
) -> None:
    """Tasks of others' collections are of no cluster of ours: nobody knows what they overlap with."""
    loose = [name for name in names if tasks[name].cluster not in clusters]
    if cluster in clusters and loose:
        raise UsageError(
            f"whether these tasks overlap with {cluster} is not known: they are of none of the clusters",
            got=", ".join(loose[:_SHOWN]) + f" ({len(loose)} in all)" * (len(loose) > _SHOWN),
            fix=f"leave them out: exclude=['{loose[0].partition('/')[0]}/*']",
        )


def _has_plain_form(mixture: Mixture) -> bool:
    return any(form.cot == "none" for form in mixture.forms)


def _drawn_names(names: Collection[str], count: int, seed: int, where: str) -> Collection[str]:
    if not 1 <= count <= len(names):
        raise UsageError(
            "num_tasks is out of range", where=where, expected=f"1 to {len(names)}", got=str(count)
        )
    return frozenset(drawn_order(sorted(names), seed, "tasks")[:count])


def _rebuilt(
    mixture: Mixture, kept: Collection[str], forms_of: Callable[[Mixture], tuple[PromptForm, ...]]
) -> Mixture | None:
    """The mixture with some of its tasks, in other forms; None if nothing is left."""
    forms = forms_of(mixture)
    parts: list[TaskPart | MixturePart] = []
    for part in mixture.parts:
        if isinstance(part, MixturePart):
            inner = _rebuilt(part.mixture, kept, forms_of)
            if inner is not None:
                parts.append(replace(part, mixture=inner))
        elif forms and part.task in kept:
            parts.append(part)
    return replace(mixture, parts=tuple(parts), forms=forms or mixture.forms) if parts else None


def _changed_forms(adjustments: Adjustments) -> Callable[[Mixture], tuple[PromptForm, ...]]:
    def changed(mixture: Mixture) -> tuple[PromptForm, ...]:
        shares: dict[PromptForm, float] = {}
        for form in mixture.forms:
            if not _stays(adjustments.cot, form.cot != "none"):
                continue
            if not _stays(adjustments.exemplars, form.has_exemplars):
                continue
            other = _other_form(mixture, replace(form, share=1.0), adjustments)
            shares[other] = shares.get(other, 0.0) + form.share
        return tuple(replace(form, share=share) for form, share in shares.items())

    return changed


def _stays(inclusion: Inclusion, is_of_the_kind: bool) -> bool:
    return inclusion == "include" or (inclusion == "only") == is_of_the_kind


def _other_form(mixture: Mixture, form: PromptForm, adjustments: Adjustments) -> PromptForm:
    ablation = adjustments.ablation
    if form.inverted and ablation not in (None, "none"):
        raise UsageError(
            f"the mixture '{mixture.name}' has inverted forms, which have no instruction to leave out",
            got=f"ablation={ablation}",
            fix="add cot=leave_out, or exclude its tasks",
        )
    changes: dict[str, Any] = {"options": adjustments.options, "ablation": ablation}
    return replace(form, **{key: value for key, value in changes.items() if value is not None})


def _with_settings(mixture: Mixture, adjustments: Adjustments) -> Mixture:
    """The mixture with other weights, limits and templates."""
    mixing = {
        field.name: value
        for field in fields(Mixing)
        if (value := getattr(adjustments, field.name)) is not None
    }
    if mixing and all(part.rate is not None for _, part in task_parts(mixture)):
        raise UsageError(
            f"{', '.join(mixing)} would change nothing: every task's rate is given", where=mixture.name
        )
    changed = _set(mixture, mixing, adjustments)
    idle = [name for name in mixing if name != "kind"]
    if idle and all(each.kind == "equal" for each in _mixings(changed)):
        raise UsageError(
            f"{', '.join(idle)} would change nothing: the tasks are mixed equally", where=mixture.name
        )
    return changed


def _mixings(mixture: Mixture) -> Iterator[Mixing]:
    """How a mixture and those within it weight tasks of their own."""
    if any(isinstance(part, TaskPart) for part in mixture.parts):
        yield mixture.mixing
    for part in mixture.parts:
        if isinstance(part, MixturePart):
            yield from _mixings(part.mixture)


def _set(mixture: Mixture, mixing: Mapping[str, Any], adjustments: Adjustments) -> Mixture:
    parts = tuple(
        replace(part, mixture=_set(part.mixture, mixing, adjustments))
        if isinstance(part, MixturePart)
        else _set_part(part, adjustments)
        for part in mixture.parts
    )
    return replace(mixture, parts=parts, mixing=replace(mixture.mixing, **mixing))


def _set_part(part: TaskPart, adjustments: Adjustments) -> TaskPart:
    limits = [each for each in (part.limit_examples, adjustments.limit_examples) if each is not None]
    templates = part.templates
    per_task = adjustments.templates_per_task
    if per_task is not None and (templates.per_task is None or per_task < templates.per_task):
        templates = replace(templates, per_task=per_task, seed=adjustments.seed)
    return replace(part, limit_examples=min(limits, default=None), templates=templates)
