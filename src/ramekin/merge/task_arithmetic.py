"""Task arithmetic: the base plus a scaled sum of what each model learned.

Paper: Ilharco et al., *Editing models with task arithmetic*, https://arxiv.org/abs/2212.04089.

    delta_i = theta_i - theta_0
    theta   = theta_0 + scaling_factor * sum_i(delta_i)          default: scaling_factor 0.3

scaling_factor 0 is the base, 1/N is the average of N models, 1 with one model is that model (up to
rounding); a negative one unlearns. TIES-merging is the same with the deltas trimmed and their signs
reconciled first. Deltas are added in the order of the models, multiplied, then added to the base: for fp32
checkpoints bit for bit what FusionBench 0.2.33 computes. mergekit's default scaling factor is 1.

This module knows nothing of files or names.
"""

from collections.abc import Sequence

import torch

from ramekin.errors import UsageError

__all__ = ["summed_deltas", "task_arithmetic"]


def task_arithmetic(
    base: torch.Tensor, tuned: Sequence[torch.Tensor], *, scaling_factor: float = 0.3
) -> torch.Tensor:
    """The base plus `scaling_factor` times the sum of the deltas, for one tensor.

    Args:
        base: the tensor of the model all others were tuned from.
        tuned: the same tensor of each tuned model.
        scaling_factor: how far to go along the sum of the deltas.

    Returns:
        The merged tensor, in the shape of `base`.

    Raises:
        UsageError: no tuned tensors.

    >>> base, tuned = torch.tensor([1.0, 1.0]), [torch.tensor([3.0, 1.0]), torch.tensor([1.0, 0.0])]
    >>> task_arithmetic(base, tuned, scaling_factor=0.5)
    tensor([2.0000, 0.5000])
    """
    # Two operations, not one add with alpha: a fused multiply-add rounds once and would differ.
    return base + summed_deltas(base, tuned) * scaling_factor


def summed_deltas(base: torch.Tensor, tuned: Sequence[torch.Tensor]) -> torch.Tensor:
    """The direction task arithmetic goes in, `sum_i(theta_i - theta_0)`; it has no scaling factor in it.

    >>> summed_deltas(torch.tensor([1.0]), [torch.tensor([3.0]), torch.tensor([0.5])])
    tensor([1.5000])
    """
    if not tuned:
        raise UsageError("there are no deltas to add", expected="at least one tuned model")
    total = tuned[0] - base
    for tensor in tuned[1:]:
        total += tensor - base
    return total
