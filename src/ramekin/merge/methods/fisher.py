"""Fisher merging: the mean of the models with every element weighted by how sure each model is of it.

Paper: Matena and Raffel, *Merging models with Fisher-weighted averaging*, https://arxiv.org/abs/2111.09832.

    theta = sum_i w_i F_i theta_i / sum_i w_i F_i           F_i: the diagonal of the Fisher information
    F_i at least floor;  default: w_i 1, floor 1e-6

Here F_i is raised to the floor, as in code after the authors' (theirs was not read); FusionBench 0.2.33
adds it, which differs only where F_i is not far above it, and takes for w_i the inverse length of F_i over
the whole model (`inverse_norms`). Its F_i also differs: it squares the gradient of a batch, with cross
terms between examples and classes, where the paper has the mean of the squares of each example. F_i below
the floor everywhere gives the weighted mean. Deltas in the place of weights give the same less the base.
This is `regmean` with a diagonal of its own for every row, so there is nothing to solve. mergekit has no
such method.

This module knows nothing of how the Fisher information is collected.
"""

from collections.abc import Sequence

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.least_squares import diagonal_quotient

__all__ = ["fisher", "inverse_norms"]


def fisher(
    tuned: Sequence[Array],
    fishers: Sequence[Array],
    *,
    weights: Sequence[float] | None = None,
    floor: float = 1e-6,
) -> Array:
    """The Fisher-weighted mean of one tensor.

    Args:
        tuned: the tensor of each model; each is asked for once.
        fishers: the diagonal Fisher information of each, in its shape; each is asked for once.
        weights: how much each model counts, not negative and not all zero; None counts each once.
        floor: above 0; what smaller Fisher values are raised to.

    Returns:
        fp32 in the shape of the tensor.

    Raises:
        UsageError: no tensors, not one Fisher and weight each, or numbers out of their range.

    >>> import numpy as np
    >>> tuned = [np.asarray([0.0, 0.0]), np.asarray([4.0, 4.0])]
    >>> fisher(tuned, [np.asarray([1.0, 0.0]), np.asarray([3.0, 0.0])]).tolist()
    [3.0, 2.0]
    """
    weights = [1.0] * len(tuned) if weights is None else weights
    for what, count in (("Fisher tensors", len(fishers)), ("weights", len(weights))):
        if count != len(tuned):
            raise UsageError(f"{what} must be one for each model", expected=str(len(tuned)), got=str(count))
    if not floor > 0:
        raise UsageError("the floor must be above 0", expected="a small number such as 1e-6", got=str(floor))
    if len(tuned) and (min(weights) < 0 or not sum(weights) > 0):
        raise UsageError("weights must not be negative or all zero", got=", ".join(f"{w:g}" for w in weights))
    return diagonal_quotient(
        (tuned[place], _raised(fishers[place], floor) * weights[place]) for place in range(len(tuned))
    )


def inverse_norms(squared_norms: Sequence[float], *, floor: float = 1e-6) -> tuple[float, ...]:
    """Weights that make models count alike whose Fisher information differs in length.

    Args:
        squared_norms: |F_i|^2 over all tensors of each model.
        floor: what is added to a length, so that a model without any Fisher information stays finite.

    Returns:
        1 / (|F_i| + floor) of each, divided by their sum.

    >>> [round(weight, 3) for weight in inverse_norms([1.0, 9.0])]
    [0.75, 0.25]
    """
    inverses = [1 / (squared**0.5 + floor) for squared in squared_norms]
    return tuple(inverse / sum(inverses) for inverse in inverses)


def _raised(values: Array, floor: float) -> Array:
    xp = namespace(values)
    values = xp.astype(values, xp.float64)
    raised: Array = xp.where(values > floor, values, xp.ones_like(values) * floor)
    return raised
