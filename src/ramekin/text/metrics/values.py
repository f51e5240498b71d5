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

__all__ = ["Answers", "drawn_together"]


def drawn_together(n: int, clusters: tuple[str, ...], questions: tuple[str, ...]) -> tuple[str, ...]:
    """For each of n examples, what it is drawn with: its passage, or, of one passage alone, its question.

    Empty where neither is shared by some but not by all: then examples are independent.

    >>> drawn_together(3, ("p", "p", "q"), ()), drawn_together(3, ("p", "p", "p"), ("a", "b", "b"))
    (('p', 'p', 'q'), ('a', 'b', 'b'))
    >>> drawn_together(3, ("p", "q", "r"), ())
    ()
    """
    for shared in (clusters, questions):
        if 1 < len(set(shared)) < n:
            return shared
    return ()


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
    losses: tuple[tuple[float, int], ...] = ()
    """For each example, the loss of its target (nats) and the target's tokens, where targets are scored."""
    vocab_size: int = 0
    """Where targets are scored, the tokens that each of theirs is one of."""

    def __post_init__(self) -> None:
        for name in ("predictions", "references", "example_options", "clusters", "questions", "losses"):
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
        """With which others each example is drawn; see the function of that name."""
        return drawn_together(len(self.targets), self.clusters, self.questions)

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
