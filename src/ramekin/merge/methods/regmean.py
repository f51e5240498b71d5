"""RegMean: the weight whose outputs are nearest to those of every model on its own inputs.

Paper: Jin et al., *Dataless knowledge fusion by merging weights of language models*,
https://arxiv.org/abs/2212.09849.

    G_i   = X_i^T X_i / n_i over the inputs of a linear layer, off-diagonals times off_diagonal, plus a ridge
    W     = (sum_i W_i G_i) (sum_i G_i)^-1                          W_i: (out, in)
    theta = theta_0 + scaling_factor * (W - theta_0)                default: scaling_factor 1
    default: off_diagonal 0.1, ridge 1e-6

off_diagonal is the paper's alpha. 0.1 is that of its configurations for T5 and FusionBench's generic
default (0.95 for CLIP, 0.6 for GPT-2); 0 leaves the diagonal, 1 the full matrix. FusionBench 0.2.33
computes the same with W transposed and an inverse, in fp32 and without a ridge, so it fails where an input
is never active; here such inputs get the mean of the weights. Deltas in the place of weights give the same
less the base. Tensors without a Gram matrix get the mean, and so does a head of its own unless `head` is set:
it is a table of the vocabulary. With G_i = I it is the mean, with G_i from the deltas `wudi` or `covariance`;
Fisher merging weighs every element by itself; `regmean_plus_plus` has other inputs. mergekit has no such
method.

This module knows nothing of how the Gram matrices are collected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.combine import summed
from ramekin.merge.least_squares import least_squares, shrunk_gram
from ramekin.merge.matrices import is_matrix
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import flag, number, parameter, settle, share
from ramekin.merge.stream import Chunk, ModelStream, Unit
from ramekin.weights.layout import HEAD

__all__ = ["METHOD", "GramSettings", "RegmeanSettings", "prepare_regmean", "regmean", "regmean_unit"]


class GramSettings(Protocol):
    """What methods with Gram matrices are told; see `RegmeanSettings`."""

    @property
    def off_diagonal(self) -> float:
        """What the off-diagonal elements are multiplied by."""

    @property
    def ridge(self) -> float:
        """What is added to every Gram matrix."""

    @property
    def head(self) -> bool:
        """Whether an output head of its own is taken too."""


@final
@dataclass(frozen=True, kw_only=True)
class RegmeanSettings:
    """What `regmean` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go from the base to the least-squares weight."""
    off_diagonal: float = 0.1
    """What the off-diagonal elements of the Gram matrices are multiplied by."""
    ridge: float = 1e-6
    """What is added to every Gram matrix, as a share of their mean eigenvalue; large values give the mean."""
    head: bool = False
    """Take an output head of its own by the method too."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), off_diagonal=share(), ridge=number(low=1e-9), head=flag())


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


def regmean_unit(settings: GramSettings, name: str, shape: tuple[int, ...]) -> Unit:
    """The pieces in which a tensor is taken: all of a linear map's weight, runs of elements of others."""
    return "matrix" if is_matrix(name, shape) or (settings.head and name == HEAD) else "element"


def prepare_regmean(stream: ModelStream, settings: GramSettings) -> Prepared:
    """Ready to combine the deltas of a chunk by their Gram matrices, or by the mean where there are none."""
    solved = {
        name
        for name in stream.names
        if regmean_unit(settings, name, stream.shape(name)) == "matrix" and stream.has_statistics(name)
    }

    def combine(chunk: Chunk) -> Array:
        deltas = chunk.deltas
        if chunk.name not in solved:
            return summed(deltas, [1 / len(deltas)] * len(deltas))
        return regmean(deltas, chunk.statistics, off_diagonal=settings.off_diagonal, ridge=settings.ridge)

    return Prepared(combine, lambda: {"solved": len(solved)})


METHOD = Method(
    name="regmean",
    summary="the weight whose outputs are nearest to those of every model on its own inputs",
    paper="https://arxiv.org/abs/2212.09849",
    function=regmean,
    settings=RegmeanSettings,
    prepare=prepare_regmean,
    unit=regmean_unit,
    statistics="gram",
)
