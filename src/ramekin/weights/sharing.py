"""Models in memory that have tensors in common: each such tensor is kept once.

Adapters that were merged into one base differ from it, and from each other, in a few matrices. For models
that are read, and not trained. Knows nothing of adapters or files.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["share_equal_tensors"]


def share_equal_tensors(models: "Sequence[PreTrainedModel]") -> int:
    """Let parameters of one name that are equal, bit for bit, be one.

    Args:
        models: any; those of the first stay where they are.

    Returns:
        The bytes that were set free.
    """
    kept: dict[str, list[torch.nn.Parameter]] = {}
    freed = 0
    for model in models:
        for name, parameter in model.named_parameters():
            others = kept.setdefault(name, [])
            same = next((other for other in others if _are_equal(parameter, other)), None)
            if same is None:
                others.append(parameter)
            elif same.data_ptr() != parameter.data_ptr():
                freed += parameter.numel() * parameter.element_size()
                parameter.data = same.data
    return freed


def _are_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    alike = one.shape == other.shape and one.dtype == other.dtype and one.device == other.device
    return alike and (one.data_ptr() == other.data_ptr() or torch.equal(one, other))
