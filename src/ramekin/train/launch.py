"""Joining the processes that a launcher started together.

Accelerate opens the connection and deals the devices out. What the launcher was told is `launched`'s.
"""

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from ramekin.errors import RamekinError, UsageError
from ramekin.train.launched import (
    launched_local_rank,
    launched_on_cpu,
    launched_rank,
    launched_size,
    launched_strategy,
)

if TYPE_CHECKING:
    import torch

    from ramekin.train.team import AbstractTeam

__all__ = ["home_device", "join", "joined"]

WAIT = timedelta(hours=6)
"""How long processes wait for each other: the first evaluates and saves while the others do nothing."""


@contextlib.contextmanager
def joined(device: str) -> "Iterator[AbstractTeam]":
    """The launched processes for the block; they part at its end, if all are there still.

    Args:
        device: `auto`, `cpu` or a device's name; of several processes each gets one of that kind for itself.

    Raises:
        UsageError: they cannot be joined, or their launcher asks for something that is not done here.
    """
    try:
        with_all = join(device)
        with with_all.together():
            launched_strategy()
        yield with_all
    except RamekinError as error:
        if error.is_joint:
            _part()
        raise
    _part()


def home_device(team: "AbstractTeam") -> str:
    """Where a model is to be loaded that this team will train: on the CPU if no device can hold all of it."""
    parts = team.size > 1 and launched_strategy().strategy != "replicated"
    return "cpu" if parts or team.device is None else str(team.device)


def join(device: "str | torch.device") -> "AbstractTeam":
    """The processes that were launched together, or this one alone on the device.

    Raises:
        UsageError: they cannot be joined, or there are more of them on this machine than devices, or it has
            no such device.
    """
    import torch

    from ramekin.tensors.device import present_device
    from ramekin.train.team import Alone, Group

    kind = _kind(device)
    if not _is_connected():
        if launched_size() == 1:
            return Alone(torch.device(kind) if device == "auto" else present_device(device))
        own = _own_device(kind)
        _connect(kind)
    else:
        own = _own_device(kind)
    return Group(own) if torch.distributed.get_world_size() > 1 else Alone(own)


def _connect(kind: str) -> None:
    import torch
    from accelerate import PartialState

    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(
            "the processes cannot be joined",
            expected="RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in the environment of each",
            got=f"no {' and no '.join(missing)}",
            fix="start them with accelerate launch or torchrun, or see docs/multi-node.md",
        )
    PartialState(cpu=kind == "cpu", timeout=WAIT)
    if not torch.distributed.is_initialized():
        raise UsageError("the processes cannot be joined", got="Accelerate saw a single one")


def _part() -> None:
    if _is_connected():
        import torch
        from accelerate import PartialState

        torch.distributed.destroy_process_group()
        PartialState._reset_state()


def _is_connected() -> bool:
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _own_device(kind: str) -> "torch.device":
    """Of several processes on a machine each has a device of its own, whatever number was asked for."""
    import torch

    if kind == "cpu":
        return torch.device("cpu")
    count, place = torch.get_device_module(kind).device_count(), launched_local_rank()
    if place >= count:
        raise UsageError(
            "a machine has fewer devices than processes",
            where=f"process {launched_rank()}",
            expected=f"at most {count} processes on it",
            got=f"local rank {place}",
            fix="start fewer processes a machine, or train on its processors with device=cpu",
        )
    return torch.device(kind, place)


def _kind(device: "str | torch.device") -> str:
    """The kind of device: of those that `auto` stands for, one whose processes can add up gradients."""
    import torch

    from ramekin.tensors.device import named_device

    if device != "auto":
        return named_device(device).type
    if launched_on_cpu() or not torch.accelerator.is_available():
        return "cpu"
    found = torch.accelerator.current_accelerator()
    return "cpu" if found is None or found.type == "mps" else found.type
