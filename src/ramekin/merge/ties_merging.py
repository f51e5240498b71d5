"""TIES-merging: trim each model's delta, elect a sign for each element, merge the values that have it.

Paper: Yadav et al., *TIES-Merging: resolving interference when merging models*,
https://arxiv.org/abs/2306.01708; the authors' code is github.com/prateeky2806/ties-merging.

    trim     t_i   = delta_i where abs(delta_i) is among the largest `density`, else 0
    elect    sign  = sign(sum_i t_i); where that is 0, the sign of the sum of all elements' signs
    merge    m     = sum (or mean, or max by magnitude) of the t_i that have that sign
    theta          = theta_0 + scaling_factor * m        default: sum, density 0.2, scaling_factor 0.3

"The largest" are those of the whole model (scope=model) or of each tensor (scope=tensor). density 1 trims
nothing and density 0 gives the base. Without trimming and with one model it is task arithmetic.

Three definitions are in use, and a preset reproduces each:

| preset | scope | kept | tied embedding counted | merge | sign of 0 | density | scaling_factor |
|---|---|---|---|---|---|---|---|
| none | model | round(density n) | once | sum | majority | 0.2 | 0.3 |
| fusionbench | model | floor(density n) + 1 | 3 times, 4 with a tied head | sum | majority | 0.2 | 0.3 |
| paper | model | floor(density n) + 1 | once | mean | majority | 0.2 | 1.0 |
| mergekit | tensor | floor(density n) | no matter | mean | plus | 1.0 | 1.0 |

FusionBench is version 0.2.33, mergekit 0.1.5. The paper tunes the scaling factor (0.8 to 2.5) on a validation
set. FusionBench counts the embedding several times because it flattens a state_dict, in which a tied tensor
stands under each of its names, so the embedding draws its cut; its density is a percent, `threshold`. Values
equal to the cut are all kept here, whereas mergekit keeps an exact number of them.

This module knows nothing of files.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch

from ramekin.errors import UsageError
from ramekin.merge.settings import Keep, MergeFunc, Scope, TiesSettings, ZeroSign
from ramekin.merge.ties_measure import measure_ties, trim

__all__ = ["elect_and_merge", "ties_merging"]


def ties_merging(
    base: Mapping[str, torch.Tensor],
    tuned: Sequence[Mapping[str, torch.Tensor]],
    *,
    scaling_factor: float = 0.3,
    density: float = 0.2,
    scope: Scope = "model",
    merge_func: MergeFunc = "sum",
    keep: Keep = "round",
    zero_sign: ZeroSign = "majority",
    times: Mapping[str, int] | None = None,
) -> dict[str, torch.Tensor]:
    """Merge models given as tensors by name.

    Args:
        base: the model all others were tuned from; each unique tensor once.
        tuned: the tuned models, with the same names and shapes.
        scaling_factor: how far to go along the merged delta.
        density: the fraction of each delta that is kept, from 0 to 1.
        scope: whether the largest of the whole model are kept, or of each tensor.
        merge_func: `sum`, `mean` or `max` of the values that have the elected sign.
        keep: how many of n values a density keeps, `round`, `floor` or `official` (floor + 1).
        zero_sign: the sign elected where the trimmed deltas add to zero.
        times: how often a tensor counts in what is taken over the whole model; 1 unless named.

    Returns:
        The merged tensors by name, in the order of `base`.

    Raises:
        UsageError: no tuned models, or a setting outside its limits.

    >>> base = {"w": torch.zeros(4)}
    >>> tuned = [{"w": torch.tensor([4.0, 0.1, -2.0, 0.0])}, {"w": torch.tensor([2.0, -5.0, 0.2, 0.0])}]
    >>> ties_merging(base, tuned, density=0.5, scaling_factor=1.0)["w"]
    tensor([ 6., -5., -2.,  0.])
    """
    if not tuned:
        raise UsageError("there is nothing to merge", expected="at least one tuned model")
    settings = TiesSettings(
        density=density, scope=scope, merge_func=merge_func, keep=keep, zero_sign=zero_sign
    )

    def deltas(names: Sequence[str]) -> Iterator[tuple[str, Sequence[torch.Tensor]]]:
        for name in names:
            yield name, [(model[name] - base[name]).flatten() for model in tuned]

    sizes = {name: tensor.numel() for name, tensor in base.items()}
    figures = measure_ties(deltas, sizes, settings, models=len(tuned), times=times or {})
    merged = {}
    for name, rows in deltas(tuple(base)):
        direction = elect_and_merge(
            rows, cuts=figures.cuts[name], zero_sign=figures.zero_signs[name], merge_func=merge_func
        )
        merged[name] = base[name] + (direction * scaling_factor).view_as(base[name])
    return merged


def elect_and_merge(
    deltas: Sequence[torch.Tensor], *, cuts: Sequence[float], zero_sign: int, merge_func: MergeFunc
) -> torch.Tensor:
    """Trim the deltas of one tensor at known cuts, elect the signs, merge: the direction TIES goes in.

    Args:
        deltas: `(n,)` fp32 of each model.
        cuts: the smallest magnitude that is kept, of each model; `inf` keeps nothing.
        zero_sign: -1, 0 or 1, the sign elected where the trimmed deltas add to zero.
        merge_func: `sum`, `mean` or `max`.

    Returns:
        `(n,)` fp32, to be scaled and added to the base.
    """
    total = torch.zeros_like(deltas[0])
    positive, negative, scratch = torch.zeros_like(total), torch.zeros_like(total), torch.empty_like(total)
    num_positive, num_negative = torch.zeros_like(total), torch.zeros_like(total)
    for delta, cut in zip(deltas, cuts, strict=True):
        kept = trim(delta, cut)
        total += kept
        torch.clamp(kept, min=0, out=scratch)
        if merge_func == "max":
            torch.maximum(positive, scratch, out=positive)
            torch.minimum(negative, torch.clamp(kept, max=0, out=scratch), out=negative)
            continue
        positive += scratch
        if merge_func == "mean":
            num_positive += scratch.sign_()
        negative += torch.clamp(kept, max=0, out=scratch)
        if merge_func == "mean":
            num_negative -= scratch.sign_()
    if merge_func == "mean":
        positive /= num_positive.clamp_(min=1)
        negative /= num_negative.clamp_(min=1)
    # Where nothing is elected (the total is 0 and so is zero_sign) the authors' code takes the negative
    # values for sum and mean, and 0 for max.
    elected = total > 0 if zero_sign <= 0 else total >= 0
    merged = torch.where(elected, positive, negative)
    if merge_func == "max" and zero_sign == 0:
        merged[total == 0] = 0.0
    return merged
