"""Where a model is trained and in which precision.

Weights are always fp32; bf16 is autocast over them. It knows nothing of the training itself.
"""

import contextlib
from dataclasses import dataclass
from typing import Any, final

import torch

from ramekin.errors import UsageError
from ramekin.train.recipe import Precision
from ramekin.train.team import WAIT

__all__ = ["Placement", "place"]


@final
@dataclass(frozen=True, slots=True)
class Placement:
    """A device and a precision that fit each other."""

    device: torch.device
    precision: str
    """`fp32` or `bf16`."""
    notice: str | None = None
    """What the user should know about the choice."""

    def autocast(self) -> "contextlib.AbstractContextManager[Any]":
        """The context of a forward pass."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def place(precision: Precision, *, device: str | torch.device) -> Placement:
    """Choose the precision on a device; `auto` asks Accelerate for the device, as processes that were
    launched together do.

    Raises:
        UsageError: the device cannot do bf16.
    """
    from accelerate import PartialState

    state = PartialState(timeout=WAIT)
    # Of several processes on a machine each has a device of its own, whatever was asked for.
    chosen = torch.device(state.device if device == "auto" or state.num_processes > 1 else device)
    if precision == "auto":
        precision = "bf16" if chosen.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    if precision == "bf16" and chosen.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UsageError("this device has no bf16", where=str(chosen), fix="use precision=fp32")
    slow = precision == "bf16" and chosen.type == "cpu"
    notice = (
        "bf16 on a CPU without bf16 instructions is about twelve times slower than fp32" if slow else None
    )
    return Placement(chosen, precision, notice)
