"""The processes that a launcher started together: how many, which one this is, and joining them.

`torchrun`, `accelerate launch` and a Slurm script leave their choices in the environment; Accelerate opens
the connection and deals the devices out. Reading the environment loads nothing heavy.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from ramekin.errors import RamekinError, UsageError

if TYPE_CHECKING:
    import torch

    from ramekin.train.team import AbstractTeam

__all__ = ["StrategyName", "join", "joined", "launched_rank", "launched_size", "launched_strategy", "remarks"]

StrategyName: TypeAlias = Literal["replicated"]
"""How the processes hold the model's weights: each the whole model."""

WAIT = timedelta(hours=6)
"""How long processes wait for each other: the first evaluates and saves while the others do nothing."""


def launched_rank() -> int:
    """Which of the launched processes this is, from 0; 0 where nothing was launched."""
    return _number("RANK", 0)


def launched_size() -> int:
    """How many processes were launched together."""
    return _number("WORLD_SIZE", 1)


def launched_strategy() -> StrategyName:
    """What the launcher's configuration says of the weights."""
    return "replicated"


def remarks() -> tuple[str, ...]:
    """What the launcher was asked for and does not do, in sentences for the user."""
    found = []
    if _is_true("ACCELERATE_USE_CPU") and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        found.append(
            "accelerate launch --cpu has started a single process, whatever --num_processes says; "
            "configs/accelerate/cpu.yaml starts several"
        )
    mixed = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if mixed != "no":
        found.append(f"the launcher's mixed_precision: {mixed} is not used; precision=… of the command is")
    return tuple(found)


@contextlib.contextmanager
def joined(device: str) -> "Iterator[AbstractTeam]":
    """The launched processes for the block; they part at its end, if all are there still.

    Args:
        device: `auto`, `cpu` or a device's name; of several processes each gets one of that kind for itself.
    """
    try:
        with_all = join(device)
        yield with_all
    except RamekinError as error:
        if error.is_joint:
            _part()
        raise
    _part()


def join(device: "str | torch.device") -> "AbstractTeam":
    """The processes that were launched together, or this one alone on the device.

    Raises:
        UsageError: they cannot be joined, or there are more of them on this machine than devices.
    """
    import torch

    from ramekin.train.team import Alone, Group

    kind = _kind(device)
    if not _is_connected():
        if launched_size() == 1:
            return Alone(torch.device(kind if device == "auto" else device))
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
    count, place = torch.get_device_module(kind).device_count(), _number("LOCAL_RANK", 0)
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

    if device != "auto":
        return torch.device(device).type
    if _is_true("ACCELERATE_USE_CPU") or not torch.accelerator.is_available():
        return "cpu"
    found = torch.accelerator.current_accelerator()
    return "cpu" if found is None or found.type == "mps" else found.type


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default


def _is_true(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    return environment.get(name, "").lower() in ("1", "true", "yes")
