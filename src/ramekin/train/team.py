"""The processes that train together, each holding the whole model: shares of a step, and sums over all.

Gradients are added up once a step, after all micro-batches, so that a step is the same sum at any number of
processes, and a process that runs out of memory can begin its share anew without the others noticing.
The first process alone writes files. Knows nothing of models or data.
"""

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import final

import torch
from torch import Tensor, nn

__all__ = ["AbstractTeam", "Alone", "Replicas", "team_of"]

WAIT = timedelta(hours=6)
"""How long processes wait for each other: the first evaluates and saves while the others do nothing."""

_BUCKET = 1 << 24  # numbers that are added up in one go: 64 MB


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

    @abstractmethod
    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes."""

    @abstractmethod
    def add(self, numbers: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""

    @abstractmethod
    def any(self, flag: bool) -> bool:
        """Whether the flag is up in some process; all must ask."""

    @abstractmethod
    def lowest(self, number: int) -> int:
        """The least of the processes' numbers."""

    @abstractmethod
    def from_first(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """What the first process has."""

    @abstractmethod
    def wait(self) -> None:
        """Go on when all are here."""

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[bool]:
        """A block that the first process works in while the others wait; says whether this is the first."""
        yield self.is_first
        self.wait()


@final
class Alone(AbstractTeam):
    """A single process."""

    @property
    def size(self) -> int:
        """One."""
        return 1

    @property
    def rank(self) -> int:
        """The first."""
        return 0

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Nothing to add."""

    def add(self, numbers: Tensor) -> Tensor:
        """The numbers themselves."""
        return numbers

    def any(self, flag: bool) -> bool:
        """The flag itself."""
        return flag

    def lowest(self, number: int) -> int:
        """The number itself."""
        return number

    def from_first(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """The values themselves."""
        return values

    def wait(self) -> None:
        """Nobody to wait for."""


@final
class Replicas(AbstractTeam):
    """Several processes of torch.distributed, each with the whole model."""

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

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum; one that a process lacks counts as zero."""
        for bucket in _buckets(parameters):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in gradients])
            for parameter, part in zip(bucket, parts, strict=True):
                parameter.grad = part.view_as(parameter)

    def add(self, numbers: Tensor) -> Tensor:
        """The sum over the processes."""
        summed = numbers.clone()
        torch.distributed.all_reduce(summed)
        return summed

    def any(self, flag: bool) -> bool:
        """Whether it is up anywhere."""
        return bool(self.add(torch.tensor([float(flag)], device=self._device)).item())

    def lowest(self, number: int) -> int:
        """The least of all."""
        least = torch.tensor([number], device=self._device)
        torch.distributed.all_reduce(least, torch.distributed.ReduceOp.MIN)
        return int(least.item())

    def from_first(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """The first process's, sent as JSON (torch's own way of sending objects is pickle)."""
        data = bytearray(json.dumps(dict(values)).encode())
        size = torch.tensor([len(data)], device=self._device)
        torch.distributed.broadcast(size, 0)
        sent = torch.empty(int(size.item()), dtype=torch.uint8, device=self._device)
        if self.is_first:
            sent.copy_(torch.frombuffer(data, dtype=torch.uint8))
        torch.distributed.broadcast(sent, 0)
        received: Mapping[str, float] = json.loads(bytes(sent.cpu().numpy()))
        return received

    def wait(self) -> None:
        """A barrier."""
        self.any(False)


def team_of(device: torch.device) -> AbstractTeam:
    """The processes that were launched together, or this one alone."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return Replicas(device) if distributed and torch.distributed.get_world_size() > 1 else Alone()


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    numbers = 0
    for parameter in parameters:
        if bucket and numbers + parameter.numel() > _BUCKET:
            yield bucket
            bucket, numbers = [], 0
        bucket.append(parameter)
        numbers += parameter.numel()
    if bucket:
        yield bucket
