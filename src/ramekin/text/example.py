"""One example: what a model reads and what it should write, and where that came from.

Both are named tuples: one is made for every row of every task, and a frozen dataclass takes three times as
long to make. An example knows nothing of tokens or tensors.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, final

__all__ = ["Example", "Provenance", "Record"]

Record: TypeAlias = Mapping[str, Any]
"""One row of a data set: column name to value."""


@final
class Provenance(NamedTuple):
    """Where an example came from, exactly enough to make it again."""

    task: str
    """The task's name, such as `glue/rte`."""
    template: str
    """The template's name within the task."""
    split: str
    """The split's name within the task, such as `validation`."""
    row: int
    """The record's position in that split, from 0."""

    @property
    def id(self) -> str:
        """The example's name: `glue/rte#fusionbench/validation/17`."""
        return f"{self.task}#{self.template}/{self.split}/{self.row}"

    def __str__(self) -> str:
        return self.id


@final
class Example(NamedTuple):
    """A rendered record.

    >>> Example("Is it wet? rain", "yes", ("yes", "no"), Provenance("toy/wet", "ask", "train", 0)).targets
    'yes'
    """

    inputs: str
    """What the encoder reads."""
    targets: str
    """What the decoder should write."""
    options: tuple[str, ...]
    """The admissible targets; empty for free text."""
    provenance: Provenance
    references: tuple[str, ...] = ()
    """All targets that count as right, where there are several; empty: `targets` alone."""
    rationale: str = ""
    """The reasoning that leads to the answer, where the data set has it."""
    answer: str = ""
    """The right answer where the targets hold more, such as a chain of thought; empty: the targets."""
    wrong_inputs: str = ""
    """In flipped learning, the inputs under a wrong label, from which the targets shall not follow."""
    ending: str = ""
    """What the inputs end with that a cut must never reach: in flipped learning, the label."""
    wrong_ending: str = ""
    """The same of the wrong inputs."""
    passage: str = ""
    """A short hash of what the row shares with others, such as a text to read; empty: nothing."""
    fields: tuple[tuple[int, int], ...] = ()
    """Which characters of the inputs, from and up to, are the record's own words, where a prompt that is too
    long is cut; in order, none within another. None: it is cut at its right end."""
    question: str = ""
    """A short hash of the question of which the row is one candidate answer; empty: of none."""
