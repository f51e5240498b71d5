"""From a mixture and the sizes of its leaves to weights and rates.

For n examples, scale s, cap K and temperature T a task weighs w = min(s·n, K)^(1/T), and its rate is its
share of all weights (arXiv 1910.10683, section 3.5.2; seqio's `mixing_rate_num_examples`): the cap follows
the scale and precedes the temperature. A mixture among the parts of another gives each of its tasks
rate(mixture) · weight(task) / total; a leaf that several parts have gets the sum. Knows nothing of draws.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from ramekin.errors import DataError, UsageError
from ramekin.text.mixing.form import PromptForm
from ramekin.text.mixing.mixture import (
    Leaf,
    Mixing,
    Mixture,
    MixturePart,
    TaskPart,
    leaf_forms,
    leaf_templates,
    leaves,
    part_leaves,
)
from ramekin.text.task import Task

__all__ = ["LeafRate", "Mixed", "Size", "mix", "sizes_of"]

_SHOWN = 8


@final
class Size(NamedTuple):
    """How much there is of a leaf."""

    examples: int
    """Rows that can be put in the leaf's form, before its limit."""
    templates: int
    """Templates that they take turns with."""


@final
class LeafRate(NamedTuple):
    """What a mixture makes of one leaf."""

    leaf: Leaf
    examples: int
    """Rows that are used: those there are, up to the leaf's limit."""
    weight: float
    """Relative to those of the mixture's other leaves, in examples where no rate is explicit."""
    rate: float
    """The share of all draws."""
    is_capped: bool
    """Whether the cap holds its weight down."""
    is_floored: bool
    """Whether the floor holds its weight up."""

    def passes(self, draws: int) -> float:
        """How often each of its rows is met in so many draws, on average."""
        return draws * self.rate / self.examples


@final
@dataclass(frozen=True, slots=True)
class Mixed:
    """A mixture with its rates."""

    mixture: str
    leaves: tuple[LeafRate, ...]
    """In the order of `leaves(mixture)`."""
    epoch_examples: int
    """How many draws are one pass: every task as often as it counts examples, scaled, capped and floored but
    before the temperature: the sum of min(s·n, K). At least 1, however small the scale."""

    @property
    def rates(self) -> tuple[float, ...]:
        """Of the leaves, in their order; they sum to 1."""
        return tuple(each.rate for each in self.leaves)

    def task_rates(self) -> dict[str, float]:
        """Of the tasks, whatever their forms."""
        found: dict[str, float] = {}
        for each in self.leaves:
            found[each.leaf.task] = found.get(each.leaf.task, 0.0) + each.rate
        return found


def sizes_of(mixture: Mixture, examples: Mapping[str, int], tasks: Mapping[str, Task]) -> dict[Leaf, Size]:
    """The sizes of a mixture's leaves where every form can use all of a task's rows.

    Args:
        mixture: whose leaves.
        examples: the number of rows by task; leaves of tasks that it lacks are left out.
        tasks: by name.
    """
    return {
        leaf: Size(examples[leaf.task], len(leaf_templates(leaf, tasks[leaf.task])))
        for leaf in leaves(mixture)
        if leaf.task in examples
    }


def mix(mixture: Mixture, sizes: Mapping[Leaf, Size]) -> Mixed:
    """Weigh a mixture's leaves.

    Raises:
        DataError: a leaf has no size, or no examples or templates; all such leaves are named.
        UsageError: the temperature is so low that a weight cannot be told from 0 or from infinity.
    """
    _check_sizes(mixture, sizes)
    found = _weighed(mixture, sizes)
    total = math.fsum(each.weight for each in found.values())
    rated = (
        LeafRate(leaf, each.examples, each.weight, each.weight / total, each.is_capped, each.is_floored)
        for leaf, each in found.items()
    )
    epoch = math.fsum(each.counted for each in found.values())
    return Mixed(mixture.name, tuple(rated), max(1, round(epoch)))


@final
class _Weighed(NamedTuple):
    """A leaf's weight within a mixture, and what decided it."""

    examples: int
    weight: float
    counted: float
    """As how many examples it counts in one pass."""
    is_capped: bool
    is_floored: bool


def _weighed(mixture: Mixture, sizes: Mapping[Leaf, Size]) -> dict[Leaf, _Weighed]:
    """The weights of a mixture's leaves, relative to one another, in the order of `leaves`."""
    found: dict[Leaf, _Weighed] = {}
    shares = math.fsum(form.share for form in mixture.forms)
    forms = [(own, form.share / shares) for own, form in zip(leaf_forms(mixture), mixture.forms, strict=True)]
    for part in mixture.parts:
        if isinstance(part, MixturePart):
            pairs = _weighed_mixture(part, sizes)
        else:
            pairs = _weighed_task(mixture.mixing, part, forms, sizes)
        for leaf, each in pairs:
            before = found.get(leaf)
            found[leaf] = each if before is None else _both(before, each)
    return found


def _both(one: _Weighed, other: _Weighed) -> _Weighed:
    """A leaf that two parts have."""
    return _Weighed(
        one.examples,
        one.weight + other.weight,
        one.counted + other.counted,
        one.is_capped or other.is_capped,
        one.is_floored or other.is_floored,
    )


def _weighed_mixture(part: MixturePart, sizes: Mapping[Leaf, Size]) -> Iterator[tuple[Leaf, _Weighed]]:
    """The leaves of a mixture within another: its rate is divided among them as they weigh."""
    inner = _weighed(part.mixture, sizes)
    total = math.fsum(each.weight for each in inner.values())
    scale = 1.0 if part.rate is None else part.rate / total
    return ((leaf, each._replace(weight=scale * each.weight)) for leaf, each in inner.items())


def _weighed_task(
    mixing: Mixing, part: TaskPart, forms: Sequence[tuple[PromptForm, float]], sizes: Mapping[Leaf, Size]
) -> Iterator[tuple[Leaf, _Weighed]]:
    """The leaves of one task: each form has its share of what the task weighs."""
    for leaf, (_, share) in zip(part_leaves(part, (form for form, _ in forms)), forms, strict=True):
        size = sizes[leaf]
        examples = size.examples if part.limit_examples is None else min(part.limit_examples, size.examples)
        count = _counted(mixing, part, examples, size.templates)
        counted = share * count.units * count.examples
        if part.rate is not None:
            yield leaf, _Weighed(examples, share * part.rate, counted, False, False)
        elif mixing.kind == "equal":
            yield leaf, _Weighed(examples, share, counted, False, False)
        else:
            weight = share * count.units * _tempered(count.examples, mixing.mixing_temperature)
            yield leaf, _Weighed(examples, weight, counted, count.is_capped, count.is_floored)


@final
class _Counted(NamedTuple):
    """As how many examples a task counts, before the temperature."""

    units: int
    """What is weighed: the task as a whole, or each of its templates."""
    examples: float
    """Of each unit."""
    is_capped: bool
    is_floored: bool


def _counted(mixing: Mixing, part: TaskPart, examples: int, templates: int) -> _Counted:
    units = 1 if mixing.cap_scope == "dataset" else templates
    scaled = mixing.scale * examples
    cap = mixing.cap_examples or math.inf  # seqio's `if maximum`: 0 is no cap
    count = min(scaled, cap)
    if scaled > cap and mixing.cap_scope == "template":
        # Integer division, as T0 has it; a cap below the number of templates still counts something.
        count = max(1, int(cap) // templates)
    floor = (part.floor_examples or 0) / units
    return _Counted(units, max(count, floor), is_capped=scaled > cap, is_floored=floor > count)


def _tempered(count: float, temperature: float) -> float:
    if temperature == 1:
        return count
    try:
        weight: float = count ** (1 / temperature)
    except OverflowError:
        weight = math.inf
    if not 0 < weight < math.inf:
        raise UsageError(
            "a weight is beyond what numbers can hold",
            got=f"{count:g} examples at mixing_temperature {temperature:g}",
            fix="choose a mixing_temperature nearer to 1",
        )
    return weight


def _check_sizes(mixture: Mixture, sizes: Mapping[Leaf, Size]) -> None:
    wrong = []
    for leaf in leaves(mixture):
        size = sizes.get(leaf)
        if size is None:
            wrong.append(f"{leaf}: none")
        elif size.examples < 1 or size.templates < 1:
            wrong.append(f"{leaf}: {size.examples} examples, {size.templates} templates")
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise DataError(
            "leaves of the mixture have no size",
            where=mixture.name,
            expected="at least 1 example and 1 template",
            got="; ".join(wrong[:_SHOWN]) + more,
            fix="leave the tasks out (exclude), or see why no row can be used (ramekin tasks check)",
        )
