"""The processes that train together: sums over all, and errors that end all.

What is asked of a team is asked by every process, in the same order. The first process writes files and
talks. How the model's weights lie among them is `strategy`'s; knows nothing of models or data.
"""

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, final

import torch
from torch import Tensor

from ramekin import errors
from ramekin.errors import RamekinError, ResourceError

__all__ = ["AbstractTeam", "Alone", "Group", "connection"]

T = TypeVar("T")


class AbstractTeam(ABC):
    """One process's view of all."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many there are."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """Which one this is, from 0."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    @property
    def device(self) -> torch.device | None:
        """Where this process computes; None leaves the choice."""
        return None

    @abstractmethod
    def add(self, numbers: Tensor) -> Tensor:
        """The sum of a tensor over the processes, in its place."""

    @abstractmethod
    def any(self, flag: bool) -> bool:
        """Whether the flag is up in some process."""

    @abstractmethod
    def lowest(self, number: int) -> int:
        """The least of the processes' numbers."""

    @abstractmethod
    def from_first(self, value: Any) -> Any:
        """What the first process has, a JSON value."""

    @abstractmethod
    def tensor_from_first(self, tensor: Tensor) -> Tensor:
        """What the first process has; the others give a tensor of its shape and dtype to write it into."""

    @abstractmethod
    def together(self) -> "contextlib.AbstractContextManager[None]":
        """A block in which an error of ours in one process is raised in all, at its end; no other is awaited
        in it.

        Raises:
            RamekinError: that of the process with the lowest rank that has one; `is_joint` is true.
        """

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[bool]:
        """A block that the first process works in while the others wait; says whether this is the first."""
        with self.together():
            yield self.is_first

    def first_then_others(self, make: Callable[[], T]) -> T:
        """What each makes, the first process before the others: what it fetches or builds is there then."""
        with self.first_alone() as is_first:
            made = [make()] if is_first else []
        with self.together():
            return made[0] if made else make()


@final
class Alone(AbstractTeam):
    """A single process."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device

    @property
    def size(self) -> int:
        """One."""
        return 1

    @property
    def rank(self) -> int:
        """The first."""
        return 0

    @property
    def device(self) -> torch.device | None:
        """What was given."""
        return self._device

    def add(self, numbers: Tensor) -> Tensor:
        """The numbers themselves."""
        return numbers

    def any(self, flag: bool) -> bool:
        """The flag itself."""
        return flag

    def lowest(self, number: int) -> int:
        """The number itself."""
        return number

    def from_first(self, value: Any) -> Any:
        """The value itself."""
        return value

    def tensor_from_first(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def together(self) -> "contextlib.AbstractContextManager[None]":
        """A plain block."""
        return contextlib.nullcontext()


@final
class Group(AbstractTeam):
    """The processes of torch.distributed's default group."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._size = torch.distributed.get_world_size()
        self._rank = torch.distributed.get_rank()

    @property
    def size(self) -> int:
        """The world size."""
        return self._size

    @property
    def rank(self) -> int:
        """The global rank."""
        return self._rank

    @property
    def device(self) -> torch.device:
        """This process's own."""
        return self._device

    def add(self, numbers: Tensor) -> Tensor:
        """The sum over the processes, in its place."""
        with connection():
            torch.distributed.all_reduce(numbers)
        return numbers

    def any(self, flag: bool) -> bool:
        """Whether it is up anywhere."""
        return self.lowest(0 if flag else 1) == 0

    def lowest(self, number: int) -> int:
        """The least of all."""
        least = torch.tensor([number], device=self._device)
        with connection():
            torch.distributed.all_reduce(least, torch.distributed.ReduceOp.MIN)
        return int(least.item())

    def from_first(self, value: Any) -> Any:
        """The first process's."""
        return self._from(0, value)

    def tensor_from_first(self, tensor: Tensor) -> Tensor:
        """The first process's, on this one's device."""
        sent = tensor.to(self._device)
        with connection():
            torch.distributed.broadcast(sent, 0)
        return sent

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block that ends in all processes as in the worst of them."""
        error: RamekinError | None = None
        try:
            yield
        except RamekinError as own:
            error = own
        try:
            failed = self.lowest(self._size if error is None else self._rank)
            if failed == self._size:
                return
            told = self._from(failed, [type(error).__name__, str(error)])
        except ResourceError as lost:
            raise error or lost from None
        if error is None or failed != self._rank:
            error = _retold(*told, process=failed)
        error.is_joint = True
        raise error

    def _from(self, rank: int, value: Any) -> Any:
        """A process's value, sent as JSON (torch's own way of sending objects is pickle)."""
        data = bytearray(json.dumps(value).encode())
        size = torch.tensor([len(data)], device=self._device)
        with connection():
            torch.distributed.broadcast(size, rank)
            sent = torch.empty(int(size.item()), dtype=torch.uint8, device=self._device)
            if self._rank == rank:
                sent.copy_(torch.frombuffer(data, dtype=torch.uint8))
            torch.distributed.broadcast(sent, rank)
        return json.loads(bytes(sent.cpu().numpy()))


def _retold(kind: str, message: str, *, process: int) -> RamekinError:
    """Another process's error; the first's needs no name."""
    error: RamekinError = getattr(errors, kind)(message if process == 0 else f"process {process}: {message}")
    return error


@contextlib.contextmanager
def connection() -> Iterator[None]:
    """A block that waits for other processes: say what it means when one of them is gone.

    Raises:
        ResourceError: one is; any other error stays what it is.
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise ResourceError(
            "another process of the run has ended, or cannot be reached",
            got=str(error).splitlines()[0],
            fix="its own message says why; start the run again and it continues from its last saved state",
        ) from error


def _is_lost(error: RuntimeError) -> bool:
    """Whether the error is of the connection: gloo's are bare, and begin with the place in its source."""
    return isinstance(error, torch.distributed.DistError) or "/gloo/" in str(error).partition("]")[0]
