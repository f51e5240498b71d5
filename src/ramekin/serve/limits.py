"""What a request may ask at most, and how long it may take.

Plain numbers; knows nothing of HTTP or engines.
"""

from dataclasses import dataclass, fields
from typing import final

from ramekin.errors import UsageError

__all__ = ["Limits"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a server.

    >>> Limits(queue=64).prompts
    64

    Raises:
        UsageError: a bound is not above 0, or two do not go together; all problems at once.
    """

    body_bytes: int = 1 << 20
    """Of a body, counted as it comes in."""
    bodies_bytes: int = 32 << 20
    """Of the bodies of all open requests."""
    header_bytes: int = 16_384
    """Of the request line and the headers."""
    header_seconds: float = 10.0
    """From a connection's beginning, or its next request's, to the end of the headers."""
    body_seconds: float = 10.0
    """From the headers to the end of the body."""
    keep_alive_seconds: int = 5
    """That a connection may lie idle between two requests."""
    write_seconds: float = 20.0
    """That a client may leave what it is sent unread."""
    connections: int = 1024
    """Requests that are open at one time, in whatever state."""
    depth: int = 32
    """Levels of lists and objects in a body."""
    prompt_tokens: int = 16_384
    """Of one prompt or input."""
    prompts: int = 64
    """Prompts, or inputs that are ranked, in a request."""
    n: int = 64
    """Outputs for each prompt."""
    beams: int = 16
    """Of a beam search."""
    rows: int = 512
    """Prompts times outputs, or beams, of a request."""
    max_tokens: int = 1024
    """Tokens of an output."""
    output_tokens: int = 16_384
    """Of all outputs of one prompt at their longest: what an engine must have room for."""
    default_max_tokens: int = 128
    """Tokens of an output where the request does not say."""
    options: int = 256
    """Options that one input is ranked by, or that an output is one of."""
    scored_tokens: int = 65_536
    """Tokens of all options of all inputs of a request."""
    form_characters: int = 16_384
    """Of a regular expression, or of a JSON schema as JSON."""
    form_seconds: int = 2
    """Of a core, to read one of these."""
    queue: int = 256
    """Prompts and inputs that wait, for each model."""
    seconds: float = 60.0
    """From a request's arrival to the end of its answer."""
    grace_seconds: float = 20.0
    """From the first signal to stop to the end of what is still running."""

    def __post_init__(self) -> None:
        problems = [
            f"limits.{each.name}: expected a number above 0, got {getattr(self, each.name)!r}"
            for each in fields(self)
            if not 0 < getattr(self, each.name) < float("inf")
        ]
        at_most = (
            ("prompts", "queue"),
            ("prompts", "rows"),
            ("n", "rows"),
            ("beams", "rows"),
            ("default_max_tokens", "max_tokens"),
            ("max_tokens", "output_tokens"),
            ("body_bytes", "bodies_bytes"),
        )
        for name, bound in at_most:
            if getattr(self, name) > getattr(self, bound):
                problems.append(
                    f"limits.{name}: expected at most limits.{bound}={getattr(self, bound)}, "
                    f"got {getattr(self, name)}"
                )
        if problems:
            raise UsageError.of_problems(problems)
