"""Where a model is trained and in which precision.

Weights are always fp32; bf16 is autocast over them. On a CPU it pays where there are instructions for it: on
a Xeon with AMX, forward and backward took 0.77 of fp32's time at width 256 and 0.55 at Flan-T5-small's shape
(one thread, 12 rows of 80 and 8 tokens); without, twelve times as long. `auto` is fp32 on every CPU. It knows
nothing of the training itself.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from ramekin.errors import UsageError
from ramekin.train.recipe import Precision

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
    """Choose the precision on a device.

    Raises:
        UsageError: the device cannot do bf16.
    """
    chosen = torch.device(device)
    if precision == "auto":
        precision = "bf16" if chosen.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    if precision == "bf16" and chosen.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UsageError("this device has no bf16", where=str(chosen), fix="use precision=fp32")
    slow = precision == "bf16" and chosen.type == "cpu" and not _has_bf16(_processor())
    notice = (
        "this processor has no bf16 instructions: bf16 is about twelve times slower than fp32 on it"
        if slow
        else None
    )
    return Placement(chosen, precision, notice)


def _has_bf16(cpuinfo: str) -> bool:
    """Whether a processor has instructions for bf16, by the flags in Linux's `/proc/cpuinfo`.

    Where nothing tells, as on other systems, it is taken to have them: a notice should be true.
    """
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    flags = next((value.split() for key, _, value in lines if key.strip() in ("flags", "Features")), None)
    return flags is None or not _BF16_FLAGS.isdisjoint(flags)


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As x86 and, the last, Arm name them."""
