"""A mixture's plan for a number of steps: rates, draws, passes, caps and tokens, as values and as a table."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from ramekin.recipes.mixtures.build import Survey
from ramekin.recipes.mixtures.sizes import LeafSize
from ramekin.text.mixing.draws import MixtureDraws
from ramekin.text.mixing.mixture import Leaf, passed_over

__all__ = ["LeafPlan", "MixturePlan", "planned", "table"]

_SHOWN = 60


@final
@dataclass(frozen=True, slots=True)
class LeafPlan:
    """One leaf's part in a run."""

    leaf: str
    rows: int
    """Examples that are used."""
    weight: float
    rate: float
    draws: int
    epochs: float
    """How often each row is met."""
    binds: str
    """`cap`, `floor` or nothing: what decided the weight beside the rows."""
    input_tokens: int
    """Of all draws, from the mean of a sample."""
    target_tokens: int


@final
@dataclass(frozen=True, slots=True)
class MixturePlan:
    """A mixture over a run."""

    mixture: str
    steps: int
    global_batch: int
    epoch_examples: int
    is_explicit: bool
    """Whether rates are given: the examples of one pass are then not drawn in it alike."""
    leaves: tuple[LeafPlan, ...]
    missing: Mapping[str, str]
    """Tasks that the mixture's file means and that are left out, with the reason."""

    @property
    def draws(self) -> int:
        """Examples drawn in all."""
        return self.steps * self.global_batch

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **asdict(self),
            "draws": self.draws,
            "input_tokens": sum(leaf.input_tokens for leaf in self.leaves),
            "target_tokens": sum(leaf.target_tokens for leaf in self.leaves),
        }


def planned(survey: Survey, *, steps: int, global_batch: int, seed: int) -> MixturePlan:
    """What a run of so many steps draws; the numbers of draws are those of the run itself."""
    rated = survey.mixed.leaves
    draws = steps * global_batch
    counts = MixtureDraws([each.rate for each in rated], seed=seed).counts(draws)
    found = (
        _leaf_plan(each.leaf, survey.sizes[each.leaf], each, count)
        for each, count in zip(rated, counts, strict=True)
    )
    return MixturePlan(
        survey.mixture.name,
        steps,
        global_batch,
        survey.mixed.epoch_examples,
        survey.mixture.is_explicit,
        tuple(found),
        {name: "it lacks the split that is drawn from" for name in passed_over(survey.mixture)}
        | dict(survey.missing),
    )


def _leaf_plan(leaf: Leaf, size: LeafSize, rated: Any, count: int) -> LeafPlan:
    return LeafPlan(
        leaf=str(leaf),
        rows=rated.examples,
        weight=rated.weight,
        rate=rated.rate,
        draws=count,
        epochs=count / rated.examples,
        binds="cap" if rated.is_capped else "floor" if rated.is_floored else "",
        input_tokens=round(count * size.mean_input_tokens),
        target_tokens=round(count * size.mean_target_tokens),
    )


def table(plan: MixturePlan) -> str:
    """The plan as aligned text, the highest rates first."""
    rows = sorted(plan.leaves, key=lambda leaf: (-leaf.rate, leaf.leaf))
    cells: list[tuple[str, ...]] = [
        ("task", "rows", "weight", "rate", "draws", "epochs", "input/target tokens", "")
    ]
    cells += [_cells(leaf) for leaf in rows[:_SHOWN]]
    total = plan.to_json()
    cells.append(
        (
            "all",
            f"{sum(leaf.rows for leaf in rows):,}",
            _weight(sum(leaf.weight for leaf in rows)),
            "100.00 %",
            f"{plan.draws:,}",
            "" if plan.is_explicit else f"{plan.draws / plan.epoch_examples:.2f}",
            f"{total['input_tokens']:,}/{total['target_tokens']:,}",
            "",
        )
    )
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    one_pass = f"one pass is {plan.epoch_examples:,} examples"
    count = len(plan.missing)
    without = f", without {count} task{'s' * (count > 1)}, named above" if count else ""
    lines = [f"{plan.mixture}: {plan.steps:,} steps of {plan.global_batch}; {one_pass}{without}"]
    for row in cells:
        first, *others = (cell.ljust(width) if place in (0, 7) else cell.rjust(width)
                          for place, (cell, width) in enumerate(zip(row, widths, strict=True)))  # fmt: skip
        lines.append("  ".join((first, *others)).rstrip())
    if len(rows) > _SHOWN:
        lines.insert(-1, f"… and {len(rows) - _SHOWN} more (--json has all)")
    # First what is the longest: what was asked for is then to be seen at the end of the screen.
    missing = [f"left out {name}: {reason}" for name, reason in plan.missing.items()]
    return "\n".join([*missing, *lines])


def _cells(leaf: LeafPlan) -> tuple[str, ...]:
    return (
        leaf.leaf,
        f"{leaf.rows:,}",
        _weight(leaf.weight),
        f"{100 * leaf.rate:.2f} %",
        f"{leaf.draws:,}",
        f"{leaf.epochs:.2f}",
        f"{leaf.input_tokens:,}/{leaf.target_tokens:,}",
        leaf.binds,
    )


def _weight(value: float) -> str:
    """Examples, or what rates sum to."""
    return f"{value:,.5g}" if value < 1000 else f"{value:,.0f}"
