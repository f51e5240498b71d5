"""What is asked of an engine, and what it answers: values that both backends share.

Pure Python: knows nothing of tensors, models or tokenizers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, final

from ramekin.errors import RamekinError, UsageError
from ramekin.infer.decoding import GREEDY, Decoding

__all__ = ["Alternatives", "Answered", "Ending", "Event", "Failed", "Form", "Output", "Request", "Wrote"]

Ending: TypeAlias = Literal["end", "stop", "length"]
"""Why an output ended: the model wrote `</s>`, a stop string came up, or there was no more room."""

Alternatives: TypeAlias = tuple[tuple[int, float], ...]
"""The most probable tokens at a position with their log-probabilities, most probable first."""


@final
@dataclass(frozen=True, slots=True)
class Form:
    """What an output can be: one of some texts, a match of a regular expression, or JSON of a schema.

    Raises:
        UsageError: not just one of the three is given, or there is nothing to choose from.
    """

    options: tuple[str, ...] = ()
    regex: str | None = None
    """In the syntax of Rust's regex crate; the whole output matches."""
    json_schema: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        given = [bool(self.options), self.regex is not None, self.json_schema is not None]
        if sum(given) != 1:
            raise UsageError(
                "an output has one form",
                expected="options, or a regex, or a json_schema",
                got=f"{sum(given)} of them",
            )


@final
@dataclass(frozen=True, slots=True)
class Request:
    """An input and how outputs are written for it.

    >>> Request((8774, 1), max_new_tokens=20).decoding.num_samples
    1

    Raises:
        UsageError: `max_new_tokens` is below 1, a stop string is empty or the prefix has no room.
    """

    input_ids: tuple[int, ...]
    """With `</s>` where the model expects one."""
    max_new_tokens: int
    """At most so many tokens are written, `</s>` and the prefix among them."""
    decoding: Decoding = GREEDY
    stop: tuple[str, ...] = ()
    """An output ends before the first of these in its text."""
    prefix_ids: tuple[int, ...] = ()
    """The tokens that each output begins with; they are part of it."""
    form: Form | None = None
    log_probs: bool = False
    """Whether the log-probability of each token is wanted: of the model's own distribution, before any
    temperature, filter or form."""
    num_alternatives: int = 0
    """How many of the most probable tokens are wanted at each position, with their log-probabilities."""

    def __post_init__(self) -> None:
        checks = (
            (self.max_new_tokens < 1, "max_new_tokens", ">= 1", self.max_new_tokens),
            (not all(self.stop), "stop", "strings of a character at least", "an empty one"),
            (
                len(self.prefix_ids) >= self.max_new_tokens,
                "prefix",
                f"fewer tokens than max_new_tokens={self.max_new_tokens}",
                len(self.prefix_ids),
            ),
            (not 0 <= self.num_alternatives <= 100, "num_alternatives", "0 to 100", self.num_alternatives),
        )
        for is_wrong, where, expected, got in checks:
            if is_wrong:
                raise UsageError("a request cannot be met", where=where, expected=expected, got=str(got))


@final
@dataclass(frozen=True, slots=True)
class Output:
    """One text that was written."""

    text: str
    """Without special tokens, and without a stop string and what follows it."""
    tokens: tuple[int, ...]
    """All that were written, up to and with `</s>` if it was."""
    ending: Ending
    log_probs: tuple[float, ...] = ()
    """One a token, natural logarithms, where they were asked for."""
    alternatives: tuple[Alternatives, ...] = ()
    """One a token, where they were asked for."""

    @property
    def log_prob(self) -> float:
        """Of the whole output; 0 where log-probabilities were not asked for."""
        return sum(self.log_probs)


@final
@dataclass(frozen=True, slots=True)
class Wrote:
    """An output got longer. Beam search tells nothing before its end."""

    ticket: int
    number: int
    """Which of the request's outputs, from 0."""
    text: str
    """What the output's text has more than before: all pieces together are the final text. It may be empty,
    where characters could still change or belong to a stop string."""
    tokens: tuple[int, ...]
    log_probs: tuple[float, ...] = ()
    alternatives: tuple[Alternatives, ...] = ()
    ending: Ending | None = None
    """In the last piece of an output, why it ended."""


@final
@dataclass(frozen=True, slots=True)
class Answered:
    """All outputs of a request are written."""

    ticket: int
    outputs: tuple[Output, ...]


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """A request could not be answered; the others go on."""

    ticket: int
    error: RamekinError


Event: TypeAlias = Wrote | Answered | Failed
