"""A model's answers to what evaluations ask, kept as they come, so that a killed evaluation continues.

The unit is a model's answer to one request, not a score: it serves any suite that asks the same (another
metric, a limit, other names), and depends on nothing that comes after it (how a winner is chosen, how text is
compared). An answer is the tokens that were written or the log-probabilities of what was scored.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, final

from ramekin.infer.decoding import Decoding
from ramekin.infer.kept import KeptAnswers, damaged_answer

__all__ = ["Found", "Journal", "Request"]

Found: TypeAlias = tuple[tuple[float, ...], ...] | tuple[tuple[int, ...], ...]
"""The tokens of each output, or the log-probabilities as the only one."""


@final
@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a model: how probable some texts are given an input, or to write."""

    input_ids: tuple[int, ...]
    scored: tuple[tuple[int, ...], ...] = ()
    """The texts whose log-probabilities are asked for; empty where the model writes."""
    max_new_tokens: int = 0
    decoding: Decoding | None = None
    """How it writes; None where texts are scored."""

    @property
    def key(self) -> bytes:
        """Everything that the answer depends on beside the model."""
        rows = "\n".join(",".join(map(str, ids)) for ids in (self.input_ids, *self.scored))
        return f"{self.max_new_tokens} {self.decoding}\n{rows}".encode()


@final
class Journal:
    """The answers of one model.

    Use as a context manager.

    Args:
        folder: of the answers of all models; made if it is missing.
        weights: the model's `fingerprint`.
        versions: of the libraries that compute the answers.

    Raises:
        DataError: a line before the last of a file cannot be read.
        ResourceError: a file cannot be written.
    """

    def __init__(self, folder: Path, *, weights: str, versions: Mapping[str, str]) -> None:
        self._kept = KeptAnswers(folder, weights=weights, versions=versions)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.__exit__(kind, error, trace)

    def found(self, request: Request) -> Found | None:
        """The answer that is there already, or None.

        Raises:
            DataError: its line is damaged.
        """
        kept = self._kept.found(request.key)
        if kept is None:
            return None
        entry, where = kept
        try:
            if not request.scored:
                return tuple(tuple(map(int, ids)) for ids in entry["written"])
            # JSON gives floats back to the bit.
            values = tuple(map(float, entry["log_probs"]))
            if not all(map(math.isfinite, values)):
                raise ValueError("a log-probability is not finite")
        except (ValueError, KeyError, TypeError) as error:
            raise damaged_answer(
                where,
                str(dict(entry)),
                expected='{"key": …, "written": [[…]]}, or "log_probs" in place of "written"',
            ) from error
        return (values,)

    def add(self, answers: Iterable[tuple[Request, Found]]) -> None:
        """Append answers, in one write: a kill tears one line at most.

        Raises:
            ResourceError: the file cannot be written.
        """
        self._kept.add((request.key, _told(request, found)) for request, found in answers)


def _told(request: Request, found: Found) -> dict[str, object]:
    return {"log_probs": found[0]} if request.scored else {"written": found}
