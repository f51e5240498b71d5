"""RegMean++: RegMean by what each model's layers read on top of the merged layers below them.

Paper: Nguyen et al., *RegMean++: enhancing effectiveness and generalization of regression mean for model
merging*, https://arxiv.org/abs/2508.03121.

    for every block l in turn, the encoder's and then the decoder's:
        G_i   = X_i^T X_i / n_i, X_i the inputs of the linear layers of model i's block l, fed with the output
                of the merged blocks below l on task i's tokens; then as in `regmean`
    W     = (sum_i W_i G_i) (sum_i G_i)^-1                          W_i: (out, in)
    theta = theta_0 + scaling_factor * (W - theta_0)                default: scaling_factor 1
    default: off_diagonal 0.95, ridge 1e-6

The equation is that of `regmean`; the inputs differ. So models and rows are needed at once, and the Gram
matrices serve one merge, of these models by these settings: they are collected on the way and not kept.
As in the authors' code (a part of FusionBench, which has it for CLIP alone), all linear layers of a block
are solved at once from what each reads within its own model's block, and everything else is the mean;
there off_diagonal is 0.95 for CLIP, and nothing is said of T5, so it is the default here, while `regmean`
has 0.1. mergekit has no such method.

This module knows nothing of how the Gram matrices are collected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array
from ramekin.merge.method import Method
from ramekin.merge.methods.regmean import prepare_regmean, regmean, regmean_unit
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import flag, number, parameter, settle, share

__all__ = ["METHOD", "RegmeanPlusPlusSettings", "regmean_plus_plus"]


@final
@dataclass(frozen=True, kw_only=True)
class RegmeanPlusPlusSettings:
    """What `regmean_plus_plus` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go from the base to the least-squares weight."""
    off_diagonal: float = 0.95
    """What the off-diagonal elements of the Gram matrices are multiplied by."""
    ridge: float = 1e-6
    """What is added to every Gram matrix, as a share of their mean eigenvalue; large values give the mean."""
    head: bool = False
    """Take an output head of its own by the method too."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), off_diagonal=share(), ridge=number(low=1e-9), head=flag())


def regmean_plus_plus(
    tuned: Sequence[Array], grams: Sequence[Array], *, off_diagonal: float = 0.95, ridge: float = 1e-6
) -> Array:
    """The least-squares weight of one linear layer, by inputs that come from the merged layers below it.

    Args:
        tuned: the weight of each model, (out, in); each is asked for once.
        grams: X^T X / n of those inputs, (in, in); each is asked for once.
        off_diagonal: what the off-diagonal elements are multiplied by, from 0 to 1.
        ridge: above 0, a share of the mean eigenvalue; large values give the mean.

    Returns:
        fp32 (out, in).

    Raises:
        UsageError: no weights, not one Gram matrix each, or numbers out of their range.
        WeightsError: the Gram matrices do not add to a covariance.

    >>> import numpy as np
    >>> tuned, grams = [np.asarray([[0.0]]), np.asarray([[4.0]])], [np.asarray([[1.0]]), np.asarray([[3.0]])]
    >>> regmean_plus_plus(tuned, grams).round(4).tolist()
    [[3.0]]
    """
    return regmean(tuned, grams, off_diagonal=off_diagonal, ridge=ridge)


METHOD = Method(
    name="regmean_plus_plus",
    summary="RegMean by what each model's layers read on top of the merged layers below them",
    paper="https://arxiv.org/abs/2508.03121",
    function=regmean_plus_plus,
    settings=RegmeanPlusPlusSettings,
    prepare=prepare_regmean,
    unit=regmean_unit,
    statistics="propagated_gram",
)
