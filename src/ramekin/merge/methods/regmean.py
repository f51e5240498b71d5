"""RegMean: the weight whose outputs are nearest to those of every model on its own inputs.

Paper: Jin et al., *Dataless knowledge fusion by merging weights of language models*,
https://arxiv.org/abs/2212.09849.

    G_i   = X_i^T X_i / n_i over the inputs of a linear layer, off-diagonals times off_diagonal, plus a ridge
    W     = (sum_i W_i G_i) (sum_i G_i)^-1                          W_i: (out, in)
    default: off_diagonal 0.1, ridge 1e-6

off_diagonal is the paper's alpha. 0.1 is that of its configurations for T5 and FusionBench's generic
default (0.95 for CLIP, 0.6 for GPT-2); 0 leaves the diagonal, 1 the full matrix. FusionBench 0.2.33
computes the same with W transposed and an inverse, in fp32 and without a ridge, so it fails where an input
is never active; here such inputs get the mean of the weights. Deltas in the place of weights give the same
less the base. All tensors that are no linear layer's weight get the mean. With G_i = I it is the mean, with
G_i from the deltas `wudi` or `covariance`; Fisher merging weighs every element by itself. mergekit has no
such method.

This module knows nothing of how the Gram matrices are collected.
"""

from collections.abc import Sequence

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.least_squares import least_squares, shrunk_gram

__all__ = ["regmean"]


def regmean(
    tuned: Sequence[Array], grams: Sequence[Array], *, off_diagonal: float = 0.1, ridge: float = 1e-6
) -> Array:
    """The least-squares weight of one linear layer.

    Args:
        tuned: the weight of each model, (out, in); each is asked for once.
        grams: X^T X / n of each model's inputs to that layer, (in, in); each is asked for once.
        off_diagonal: what the off-diagonal elements are multiplied by, from 0 to 1.
        ridge: above 0, a share of the mean eigenvalue; large values give the mean.

    Returns:
        fp32 (out, in).

    Raises:
        UsageError: no weights, not one Gram matrix each, or numbers out of their range.
        WeightsError: the Gram matrices do not add to a covariance.

    >>> import numpy as np
    >>> tuned, grams = [np.asarray([[0.0]]), np.asarray([[4.0]])], [np.asarray([[1.0]]), np.asarray([[3.0]])]
    >>> regmean(tuned, grams).round(4).tolist()
    [[3.0]]
    """
    if len(tuned) != len(grams):
        raise UsageError(
            "every model needs its statistics", expected=f"{len(tuned)} Gram matrices", got=str(len(grams))
        )
    if not 0 <= off_diagonal <= 1:
        raise UsageError("off_diagonal must be from 0 to 1", got=str(off_diagonal))
    pairs = (
        (tuned[place], shrunk_gram(grams[place], off_diagonal=off_diagonal)) for place in range(len(tuned))
    )
    return least_squares(pairs, ridge=ridge)
