"""What was written and what counts as right, side by side: the value that every metric reads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

from ramekin.errors import DataError
from ramekin.text.answers import parse_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Indices: TypeAlias = NDArray[np.int64]

__all__ = ["Answers"]


@final
@dataclass(frozen=True, slots=True)
class Answers:
    """What was written and what should have been, side by side.

    Raises:
        DataError: there are no answers, or not as many of anything else as targets.

    >>> Answers(("Rome", "no"), ("Roma", "yes"), references=(("Rome", "Roma"), ())).accepted
    (('Roma', 'Rome'), ('yes',))
    """

    predictions: tuple[str, ...]
    targets: tuple[str, ...]
    options: tuple[str, ...] = ()
    """The admissible answers; empty for free text, numbers and where each example has its own."""
    positive: str | None = None
    """The option F1 looks for; None: the second of two options, which is label 1."""
    references: tuple[tuple[str, ...], ...] = ()
    """For each example, the answers that count as right beside its target; empty: the targets alone."""
    example_options: tuple[tuple[str, ...], ...] = ()
    """For each example, its own admissible answers, where they differ; empty: `options` for all."""
    clusters: tuple[str, ...] = ()
    """For each example, what it shares with others, such as its passage; empty: all are independent."""
    questions: tuple[str, ...] = ()
    """For each example, the question of which it is one candidate answer; empty: it is a question itself."""

    def __post_init__(self) -> None:
        for name in ("predictions", "references", "example_options", "clusters", "questions"):
            number = len(getattr(self, name))
            if number != len(self.targets) and (number or name == "predictions"):
                raise DataError(
                    f"{name} and targets differ in number",
                    expected=f"{len(self.targets)} {name}",
                    got=str(number),
                )
        if not self.targets:
            raise DataError("there is nothing to score", expected="at least one example", got="none")

    @property
    def accepted(self) -> tuple[tuple[str, ...], ...]:
        """What counts as right for each example: the target, then its other references, each once."""
        if not self.references:
            return tuple((target,) for target in self.targets)
        pairs = zip(self.targets, self.references, strict=True)
        return tuple(tuple(dict.fromkeys((target, *others))) for target, others in pairs)

    @property
    def drawn_together(self) -> tuple[str, ...]:
        """For each example, with which others it is drawn: those of its passage, or, where all are of one,
        those of its question; empty where they are independent.
        """
        for shared in (self.clusters, self.questions):
            if 1 < len(set(shared)) < len(self.targets):
                return shared
        return ()

    @property
    def num_clusters(self) -> int:
        """How many passages, or questions, are drawn; 0 where examples are independent."""
        return len(set(self.drawn_together))

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The admissible answers of each example."""
        return self.example_options or (self.options,) * len(self.targets)

    @property
    def read(self) -> tuple[str | None, ...]:
        """Each prediction, or None where it is none of its example's options."""
        return tuple(map(parse_option, self.predictions, self.choices))

    @property
    def unparsable(self) -> int:
        """How many predictions are none of the options (0 where there are no options)."""
        return self.read.count(None)
