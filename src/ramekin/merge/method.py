"""What a merge method is: what it needs, how it is told, and how it runs over a stream of models.

A method runs in two steps. `prepare` may walk through all models to measure what it must know of them as a
whole, and gives a function that combines one chunk. Where the settings have a `scaling_factor` that function
gives a direction, with no scaling factor in it, and the result is base + scaling_factor * direction: so any
number of scaling factors cost one reading. This module knows nothing of files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Generic, TypeVar, final

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.combine import shares
from ramekin.merge.parameters import PerModel, for_models
from ramekin.merge.settings import parse_settings
from ramekin.merge.stream import Chunk, ModelStream, Unit
from ramekin.weights.statistics import StatisticsKind

if TYPE_CHECKING:
    from ramekin.merge.factors import Product

__all__ = ["Method", "Prepared", "check_weights", "weights_at"]

S = TypeVar("S")


@final
@dataclass(frozen=True, slots=True)
class Prepared:
    """A method ready to combine chunks."""

    combine: Callable[[Chunk], Array]
    """The fp32 result of a chunk in the chunk's shape, or its direction."""
    figures: Callable[[], Mapping[str, object]] = dict
    """What was measured, as JSON values for the report; complete when every chunk has been combined."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""
    factored: "Callable[[Chunk], Product | None] | None" = None
    """What `combine` adds to a whole matrix of the base, as a product of thin ones; None where it is none."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[S]):
    """A merge method."""

    name: str
    summary: str
    """One line for `--help`."""
    paper: str | None
    """Its link."""
    function: Callable[..., object]
    """The pure function over arrays."""
    settings: type[S]
    """The dataclass of what it can be told."""
    prepare: Callable[[ModelStream, S], Prepared]
    """From the stream and the settings to the function that combines a chunk."""
    presets: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Settings by preset: the conventions of other tools and of the paper, where they differ from ours."""
    needs_base: bool = True
    min_models: int = 1
    min_without_base: int = 1
    """The least models where there is no base."""
    max_models: int | None = None
    uses_models: bool = True
    """Whether the models are read where there is a base; where there is none, the first is."""
    unit: Callable[[S, str, tuple[int, ...]], Unit] = lambda settings, name, shape: "element"
    """The pieces in which it takes a tensor of a name and a shape."""
    num_measure_passes: Callable[[S], float] = lambda settings: 0
    """How often `prepare` reads everything."""
    of_deltas: Callable[[S], bool] = lambda settings: True
    """Whether what it adds to the base follows from the deltas, whatever the base's values are."""
    linear: Callable[[S], bool] = lambda settings: False
    """Whether, once it has measured, a tensor's delta is a sum of the models' with a coefficient each."""
    check: Callable[[S, int], None] = lambda settings, num_models: None
    """Refuses settings that do not fit the number of models."""
    check_names: Callable[[S, Sequence[str]], None] = lambda settings, names: None
    """Refuses settings that do not fit the names of the tensors."""
    divides_weights: Callable[[S], bool] = lambda settings: getattr(settings, "normalize", False) is True
    """Whether `weights` are divided by their sum, which then cannot be 0."""
    statistics: StatisticsKind | None = None
    """What must have been collected of every model on data; None needs nothing but the models."""
    learns: Callable[[S], bool] = lambda settings: False
    """Whether its settings lack what is learned on rows before it merges."""
    num_statistics_passes: Callable[[S], float] = lambda settings: 1
    """How often the statistics are read, where there are any."""
    foreign: Callable[[Mapping[str, object], str], Mapping[str, object]] | None = None
    """Turns words of another tool, where a preset allows them, into ours."""

    @property
    def scaled(self) -> bool:
        """Whether the result is base + scaling_factor * direction."""
        return any(each.name == "scaling_factor" for each in fields(self.settings))  # type: ignore[arg-type]

    def parse(self, given: Mapping[str, object]) -> S:
        """The settings from the words of a configuration.

        Raises:
            UsageError: unknown keys or values, all at once, with the nearest names.
        """
        return parse_settings(
            self.settings, given, method=self.name, presets=self.presets, foreign=self.foreign
        )

    def check_inputs(self, num_models: int, *, has_base: bool) -> None:
        """Refuse what it cannot begin with.

        Raises:
            UsageError: no base where it needs one, or too few or too many models.
        """
        if self.needs_base and not has_base:
            raise UsageError(
                f"{self.name} needs the base the models were tuned from", fix="add base=…", kind="base-needed"
            )
        least = max(self.min_models, 0 if has_base else self.min_without_base)
        if num_models < least:
            raise UsageError(
                f"{self.name} was given {num_models or 'no'} model{'s' * (num_models != 1)}",
                expected=f"at least {least}",
                fix="add models=[…]",
                kind="too-few-models",
            )
        if self.max_models is not None and num_models > self.max_models:
            raise UsageError(
                f"{self.name} was given {num_models} models",
                expected=f"at most {self.max_models}",
                fix="leave out the others, or use a method for many models",
                kind="too-many-models",
            )


def weights_at(
    weights: PerModel | None, chunk: Chunk, *, normalize: bool = False
) -> tuple[float, ...] | None:
    """The weight of each model in a chunk's tensor; None where each counts once.

    Raises:
        UsageError: they add to zero and are to be divided by their sum.
    """
    if weights is None:
        return shares([1.0] * len(chunk.tuned)) if normalize else None
    parameters = for_models(weights, len(chunk.tuned), key="weights")
    found = tuple(each.at(chunk.name, chunk.depth) for each in parameters)
    return shares(found, where=chunk.name) if normalize else found


def check_weights(weights: PerModel | None, num_models: int) -> None:
    """Refuse weights that are not one for each model.

    Raises:
        UsageError: another number of them.
    """
    if weights is not None:
        for_models(weights, num_models, key="weights")
