"""Dummy: no merge at all, the base as it is.

The name and meaning are FusionBench's: the base if there is one, else the first model, so that a model can
be counted or evaluated by the same command as a merge.

    theta = theta_0

This module knows nothing of files or names.
"""

from collections.abc import Sequence

import torch

from ramekin.errors import UsageError

__all__ = ["dummy"]


def dummy(base: torch.Tensor | None, tuned: Sequence[torch.Tensor]) -> torch.Tensor:
    """The base's tensor, or the first model's where there is no base.

    Raises:
        UsageError: neither a base nor a model.

    >>> dummy(torch.tensor([1.0]), [torch.tensor([2.0])])
    tensor([1.])
    """
    if base is not None:
        return base
    if not tuned:
        raise UsageError("there is nothing to return", expected="a base or a model")
    return tuned[0]
