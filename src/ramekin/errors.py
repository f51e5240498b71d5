"""The exceptions a user can meet, and the exit code of each.

    RamekinError                 abstract: what, where, expected and got, the fix
    ├── UsageError        2      the command, configuration or a name in it is wrong
    ├── DataError         3      a record, a file of records, a task or a template is wrong
    ├── WeightsError      4      a checkpoint, adapter or tensor is missing, damaged or does not fit
    ├── ResourceError     5      the disk, the memory or the device cannot do it
    ├── StoppedError      6      a signal stopped the command; what was finished is kept
    └── LockedError       7      another process is writing to the same folder

A message is one line, `what: where: expected X, got Y; fix: Z`. This module knows nothing of how a
message is shown: the command line prints it without a traceback and exits with `exit_code`.
"""

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar, Final, final

__all__ = [
    "MISSING_DATA",
    "NO_ROWS",
    "DataError",
    "LockedError",
    "RamekinError",
    "ResourceError",
    "StoppedError",
    "UsageError",
    "WeightsError",
]

MISSING_DATA: Final = "missing-data"
"""The kind of an error that says that a data set is not there: no file, no network."""

NO_ROWS: Final = "no-rows"
"""The kind of an error that says that of the rows of a data set none can be used."""


class RamekinError(Exception, ABC):
    """What went wrong, where, what was expected and met there, and what to do about it.

    Args:
        what: the failure in a few words.
        where: `file:line`, `file#tensor`, a model, a key: as near as it is known.
        expected: what would have been right.
        got: what was there instead.
        fix: the next step for the user.
        kind: a stable name of the fault for programs, where it has one.
    """

    exit_code: ClassVar[int] = 1
    is_joint = False
    """Whether every process of a run raises it, so that the first alone need say it."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        fix: str | None = None,
        kind: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.got, self.fix = what, where, expected, got, fix
        self.kind = kind
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(self.where)
        met = ", ".join(
            f"{word} {value}"
            for word, value in (("expected", self.expected), ("got", self.got))
            if value is not None
        )
        if met:
            parts.append(met)
        line = ": ".join(parts)
        return f"{line}; fix: {self.fix}" if self.fix else line


@final
class UsageError(RamekinError):
    """The command, the configuration or a name in it is wrong; nothing has been loaded or written."""

    exit_code: ClassVar[int] = 2

    @classmethod
    def of_problems(cls, problems: Sequence[str]) -> "UsageError":
        """One error that shows every problem found, a line each."""
        if len(problems) == 1:
            return cls(problems[0])
        listed = "\n".join(f"  - {problem}" for problem in problems)
        return cls(f"{len(problems)} problems in the command or configuration\n{listed}")


@final
class DataError(RamekinError):
    """A record, a file of records, a task or a template is wrong."""

    exit_code: ClassVar[int] = 3


@final
class WeightsError(RamekinError):
    """A checkpoint, an adapter or a tensor is missing, damaged, not finite, or does not fit."""

    exit_code: ClassVar[int] = 4


@final
class ResourceError(RamekinError):
    """The disk, the memory or the device cannot do what was asked."""

    exit_code: ClassVar[int] = 5


@final
class StoppedError(RamekinError):
    """A signal stopped the command; the same one goes on with what was done, a training from its state."""

    exit_code: ClassVar[int] = 6


@final
class LockedError(RamekinError):
    """Another process is writing to the same folder."""

    exit_code: ClassVar[int] = 7
