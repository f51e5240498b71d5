"""Devices by name, as far as this machine has them."""

import torch

from ramekin.errors import UsageError

__all__ = ["named_device", "present_device"]


def named_device(name: "str | torch.device") -> torch.device:
    """The device of a name, whether it is there or not.

    Raises:
        UsageError: there is no such kind of device.
    """
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            "there is no such device", where="device", expected="auto, cpu, cuda or cuda:1", got=f"'{name}'"
        ) from error


def present_device(name: "str | torch.device") -> torch.device:
    """The device of a name, which can be computed on.

    Raises:
        UsageError: there is no such kind of device, or none on this machine that this torch can use.
    """
    device = named_device(name)
    try:
        # Moved there, for an empty tensor is made on any; torch without a kind of device asserts.
        torch.zeros(1).to(device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            "this machine has no such device, or this torch cannot use it",
            where="device",
            got=f"'{name}': {str(error).splitlines()[0]}",
            fix="leave device=auto, which takes a GPU where there is one, or install a torch for the device",
        ) from error
    return device
