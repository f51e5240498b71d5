"""DARE: drop values of each delta at random, scale up what is left, then add the deltas.

Paper: Yu et al., *Language models are super Mario: absorbing abilities from homologous models as a free
lunch*, https://arxiv.org/abs/2311.03099.

    m_i     = 1 with probability density, else 0, for each element
    t_i     = m_i * delta_i / density
    theta   = theta_0 + scaling_factor * sum_i(weight_i * t_i)

                                                 default: density 0.5, scaling_factor 0.3, rescale inverse

The expectation of t_i is delta_i, so on average it is task arithmetic, and with density 1 it is. With
elect=true the signs are elected as in TIES ("DARE-TIES"). The paper's drop rate p is 1 - density. mergekit's
`rescale` is another one: it restores the sum of the magnitudes of each tensor instead of dividing by the
density (rescale=l1, preset mergekit). DELLA drops small values more often than large ones.

Which values are dropped is a function of seed, tensor, place and the model's place in the list, and nothing
else. This module knows nothing of files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import MergeFunc, elected, needs_election, summed
from ramekin.merge.method import Method, Prepared, check_weights, weights_at
from ramekin.merge.parameters import Parameter, PerModel, for_models
from ramekin.merge.random_bits import random_bits
from ramekin.merge.settings import choice, flag, parameter, per_model, settle, whole
from ramekin.merge.stream import Chunk, ModelStream, Unit
from ramekin.merge.sums import tensor_sums

__all__ = ["METHOD", "DareSettings", "Rescale", "dare", "keep_mask", "l1_factors"]

Rescale = Literal["inverse", "l1", "none"]


@final
@dataclass(frozen=True, kw_only=True)
class DareSettings:
    """What `dare` can be told."""

    scaling_factor: Parameter = Parameter.of(0.3)
    """How far to go along the merged deltas."""
    density: PerModel = (Parameter.of(0.5),)
    """The probability with which a value is kept, above 0 and up to 1."""
    rescale: Rescale = "inverse"
    """What is done to the kept values: divided by the density, or scaled so that the magnitudes of a tensor
    add to what they did (`l1`), or nothing."""
    elect: bool = False
    """Elect signs as TIES does, and merge the values that have them."""
    merge_func: MergeFunc = "sum"
    """What becomes of the values that have the elected sign."""
    weights: PerModel | None = None
    """How much each model's delta counts; None counts each once."""
    normalize: bool = False
    """Divide the weights by their sum."""
    seed: int = 0
    """Which values are dropped."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(
            self,
            scaling_factor=parameter(),
            density=per_model(shares=True),
            rescale=choice("inverse", "l1", "none"),
            elect=flag(),
            merge_func=choice("sum", "mean", "max"),
            weights=per_model(optional=True),
            normalize=flag(),
            seed=whole(),
        )
        needs_election(self.merge_func, elect=self.elect)
        if any(0 in values.numbers for each in self.density for _, values in each.rules):
            raise UsageError("density: expected a share above 0: nothing would be left to scale up, got 0")


def dare(
    deltas: Sequence[Array],
    *,
    density: float = 0.5,
    seed: int = 0,
    name: str = "",
    weights: Sequence[float] | None = None,
) -> Array:
    """Drop values of one tensor's deltas at random, divide the others by the density, add them.

    Args:
        deltas: tuned minus base of each model, of one shape.
        density: the probability with which a value is kept.
        seed: which values are dropped.
        name: the tensor, on which that depends too.
        weights: how much each delta counts; None counts each once.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> dare([np.ones(8, dtype=np.float32)], density=0.5, seed=2)
    array([0., 2., 0., 0., 0., 0., 0., 2.], dtype=float32)
    """
    kept = [
        delta * keep_mask(delta, density, seed=seed, model=model, name=name, start=0) / density
        for model, delta in enumerate(deltas)
    ]
    return summed(kept, weights)


def keep_mask(like: Array, density: float, *, seed: int, model: int, name: str, start: int) -> Array:
    """Ones with probability `density` and zeros else, in the shape, dtype and place of an array.

    Args:
        like: a part of a tensor, from element `start` on.
        density: the probability of a one.
        seed: the seed of the merge.
        model: the place of the model among the models.
        name: the tensor.
        start: the first element of the part in the flattened tensor.
    """
    xp = namespace(like)
    count = int(np.prod(like.shape, dtype=np.int64))
    bits = random_bits(seed, model, name, start, count)
    mask = (bits < density * 2.0**32).astype(np.float32).reshape(like.shape)
    placed: Array = xp.asarray(mask, device=like.device)
    return placed


def _prepare(stream: ModelStream, settings: DareSettings) -> Prepared:
    densities = for_models(settings.density, stream.num_tuned, key="density")

    def kept(chunk: Chunk) -> list[Array]:
        found = []
        for model, (delta, density) in enumerate(zip(chunk.deltas, densities, strict=True)):
            share = density.at(chunk.name, chunk.depth)
            mask = keep_mask(
                delta, share, seed=settings.seed, model=model, name=chunk.name, start=chunk.start
            )
            found.append(delta * mask / share if settings.rescale == "inverse" else delta * mask)
        return found

    factors = l1_factors(stream, kept) if settings.rescale == "l1" else {}

    def combine(chunk: Chunk) -> Array:
        rows = kept(chunk)
        if factors:
            rows = [row * factor for row, factor in zip(rows, factors[chunk.name], strict=True)]
        weights = weights_at(settings.weights, chunk, normalize=settings.normalize)
        if settings.elect:
            return elected(rows, weights=weights, merge_func=settings.merge_func, loops=stream.loops)
        return summed(rows, weights)

    return Prepared(combine)


def l1_factors(
    stream: ModelStream, kept: Callable[[Chunk], Sequence[Array]], *, unit: Unit = "element"
) -> dict[str, tuple[float, ...]]:
    """What to multiply the kept values of each model by so that their magnitudes add to those of all.

    Args:
        stream: the models.
        kept: the deltas of a chunk with what is dropped set to zero.
        unit: what the tensors are taken in.
    """

    def magnitudes(chunk: Chunk) -> list[Array]:
        rows = [*chunk.deltas, *kept(chunk)]
        return [namespace(row).abs(row) for row in rows]

    found = {}
    for name, sums in tensor_sums(stream, magnitudes, unit=unit).items():
        all_of_it, left = sums[: stream.num_tuned], sums[stream.num_tuned :]
        found[name] = tuple(a / b if b else 1.0 for a, b in zip(all_of_it, left, strict=True))
    return found


def _check(settings: DareSettings, num_models: int) -> None:
    for_models(settings.density, num_models, key="density")
    check_weights(settings.weights, num_models)


METHOD = Method(
    name="dare",
    summary="deltas with values dropped at random and the others scaled up, added",
    paper="https://arxiv.org/abs/2311.03099",
    function=dare,
    settings=DareSettings,
    prepare=_prepare,
    presets={
        "fusionbench": {},
        "paper": {"scaling_factor": 1.0, "normalize": True},
        "mergekit": {"density": 1.0, "scaling_factor": 1.0, "rescale": "l1"},
    },
    num_measure_passes=lambda settings: int(settings.rescale == "l1"),
    check=_check,
)
