"""DELLA: drop values of each delta at random, small ones more often, then elect signs and merge as TIES.

Paper: Deep et al., *DELLA-Merging: reducing interference in model merging through magnitude-based sampling*,
https://arxiv.org/abs/2406.11617.

    r       = rank of abs(delta_i) in its row, from 0 (smallest) to 1 (largest)
    p       = density - epsilon + 2 epsilon r                    the probability of being kept
    t_i     = delta_i / p with probability p, else 0
    theta   = theta_0 + scaling_factor * merge_i(t_i)

          default: density 0.5, epsilon 0.15, elect true, merge_func mean, scaling_factor 1, rescale inverse

merge is TIES' election of signs, or with elect=false a weighted sum. With epsilon 0 it is DARE. A tensor
without rows (a normalisation) is one row. Where the range of p would leave 0 to 1, epsilon is as large as it
can be, so that density 1 keeps everything; mergekit 0.1.5 refuses that. mergekit also restores the sum of a
tensor's magnitudes instead of dividing by p (rescale=l1, preset mergekit).

Which values are dropped is a function of seed, tensor, place and the model's place in the list, and nothing
else. This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import MergeFunc, elected, summed
from ramekin.merge.method import Method, Prepared, check_weights, weights_at
from ramekin.merge.methods.dare import Rescale, l1_factors
from ramekin.merge.parameters import Parameter, PerModel, for_models
from ramekin.merge.random_bits import random_bits
from ramekin.merge.settings import choice, flag, number, parameter, per_model, settle, whole
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "DellaSettings", "della", "keep_probabilities"]


@final
@dataclass(frozen=True, kw_only=True)
class DellaSettings:
    """What `della` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the merged deltas."""
    density: PerModel = (Parameter.of(0.5),)
    """The probability with which a value is kept, on average over a row."""
    epsilon: float = 0.15
    """How much less likely the smallest value of a row is kept than the average, and the largest more."""
    rescale: Rescale = "inverse"
    """What is done to a kept value: divided by its probability, or scaled so that the magnitudes of a tensor
    add to what they did (`l1`), or nothing."""
    elect: bool = True
    """Elect signs as TIES does, and merge the values that have them; else add all."""
    merge_func: MergeFunc = "mean"
    """What becomes of the values that have the elected sign."""
    weights: PerModel | None = None
    """How much each model's delta counts; None counts each once."""
    seed: int = 0
    """Which values are dropped."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(
            self,
            scaling_factor=parameter(),
            density=per_model(shares=True),
            epsilon=number(low=0, high=0.5),
            rescale=choice("inverse", "l1", "none"),
            elect=flag(),
            merge_func=choice("sum", "mean", "max"),
            weights=per_model(optional=True),
            seed=whole(),
        )


def della(
    deltas: Sequence[Array],
    *,
    density: float = 0.5,
    epsilon: float = 0.15,
    seed: int = 0,
    name: str = "",
    merge_func: MergeFunc = "mean",
) -> Array:
    """Drop values of one tensor's deltas at random by their rank, scale up the others, elect signs, merge.

    Args:
        deltas: tuned minus base of each model, `(rows, width)` or `(n,)`.
        density: the probability with which a value is kept, on average over a row.
        epsilon: how far the probability of a row's smallest and largest value is from that.
        seed: which values are dropped.
        name: the tensor, on which that depends too.
        merge_func: what becomes of the values that have the elected sign.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> della([np.asarray([[1.0, -4.0, 2.0, 3.0]])], density=0.5, epsilon=0.1, seed=1).round(2)
    array([[ 0.  , -6.67,  4.29,  5.62]])
    """
    kept = []
    for model, delta in enumerate(deltas):
        chances = keep_probabilities(delta, density, epsilon)
        row = _drawn(delta, chances, seed=seed, model=model, name=name, start=0)
        kept.append(_scaled_up(row, chances))
    return elected(kept, merge_func=merge_func)


def keep_probabilities(delta: Array, density: float, epsilon: float) -> Array:
    """The probability with which each value of a delta is kept, by the rank of its magnitude in its row.

    >>> keep_probabilities(np.asarray([[1.0, -4.0, 2.0]]), 0.5, 0.1)
    array([[0.4, 0.6, 0.5]])
    """
    xp = namespace(delta)
    if delta.ndim == 0:
        return keep_probabilities(xp.reshape(delta, (1,)), density, epsilon).reshape(())
    within = min(epsilon, density, 1 - density)
    order = xp.argsort(xp.argsort(xp.abs(delta), axis=-1, stable=True), axis=-1, stable=True)
    ranks = xp.astype(order, delta.dtype) / max(1, delta.shape[-1] - 1)
    if delta.shape[-1] == 1:
        ranks = ranks + 0.5  # an only value is the average one
    chances: Array = (density - within) + 2 * within * ranks
    return chances


def _drawn(delta: Array, chances: Array, *, seed: int, model: int, name: str, start: int) -> Array:
    """The delta with each value kept with its own probability, zero else."""
    xp = namespace(delta)
    bits = random_bits(seed, model, name, start, int(np.prod(delta.shape, dtype=np.int64)))
    drawn = (bits.astype(np.float64) * 2.0**-32).reshape(delta.shape)
    kept: Array = xp.asarray(drawn, device=delta.device) < xp.astype(chances, xp.float64)
    return delta * kept


def _scaled_up(row: Array, chances: Array) -> Array:
    """What was kept of a delta, divided by the probability of that; a value never kept has none."""
    xp = namespace(row)
    scaled: Array = row / xp.where(chances > 0, chances, xp.ones_like(chances))
    return scaled


def _prepare(stream: ModelStream, settings: DellaSettings) -> Prepared:
    densities = for_models(settings.density, stream.num_tuned, key="density")

    def kept(chunk: Chunk) -> list[Array]:
        found = []
        for model, (delta, density) in enumerate(zip(chunk.deltas, densities, strict=True)):
            chances = keep_probabilities(delta, density.at(chunk.name, chunk.depth), settings.epsilon)
            row = _drawn(delta, chances, seed=settings.seed, model=model, name=chunk.name, start=chunk.start)
            found.append(_scaled_up(row, chances) if settings.rescale == "inverse" else row)
        return found

    factors = l1_factors(stream, kept, unit="row") if settings.rescale == "l1" else {}

    def combine(chunk: Chunk) -> Array:
        rows = kept(chunk)
        if factors:
            rows = [row * factor for row, factor in zip(rows, factors[chunk.name], strict=True)]
        weights = weights_at(settings.weights, chunk)
        if settings.elect:
            return elected(rows, weights=weights, merge_func=settings.merge_func, loops=stream.loops)
        return summed(rows, weights)

    return Prepared(combine)


def _check(settings: DellaSettings, num_models: int) -> None:
    for_models(settings.density, num_models, key="density")
    check_weights(settings.weights, num_models)


METHOD = Method(
    name="della",
    summary="deltas with small values dropped more often, signs elected, agreeing values merged",
    paper="https://arxiv.org/abs/2406.11617",
    function=della,
    settings=DellaSettings,
    prepare=_prepare,
    presets={"paper": {}, "mergekit": {"density": 1.0, "rescale": "l1"}},
    unit=lambda settings, name, shape: "row",
    num_measure_passes=lambda settings: int(settings.rescale == "l1"),
    check=_check,
)
