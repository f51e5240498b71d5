"""Breadcrumbs: leave out the largest and the smallest values of each delta, then add the deltas.

Paper: Davari and Belilovsky, *Model Breadcrumbs: scaling multi-task model merging with sparse masks*,
https://arxiv.org/abs/2312.06795.

    m_i     = 1 where abs(delta_i) is neither among the largest gamma nor among the smallest
              1 - density - gamma of its tensor, else 0
    theta   = theta_0 + scaling_factor * sum_i(weight_i * m_i * delta_i)

                                                        default: density 0.9, gamma 0.01, scaling_factor 0.3

TIES leaves out the smallest only, over the whole model. With density 1 and gamma 0 it is task arithmetic, and
with elect=true the signs are elected as in TIES ("Breadcrumbs + TIES"). Values that equal the first or last
one kept are kept too, and one value of every tensor unless density is 0; density 1 keeps all, whatever gamma.
mergekit keeps an exact number, which is none where density is less than one value; up to 0.1.4 it made small
tensors zero where gamma left out less than one. Its defaults are density 1 and scaling_factor 1 (preset
mergekit).

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import MergeFunc, elected, needs_election, summed
from ramekin.merge.cuts import Keep, KeptCounts, model_cuts, wanted_count
from ramekin.merge.method import Method, Prepared, check_weights, weights_at
from ramekin.merge.parameters import Parameter, PerModel, for_models
from ramekin.merge.settings import choice, flag, number, parameter, per_model, settle
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "BreadcrumbsSettings", "breadcrumbs", "left_out"]


@final
@dataclass(frozen=True, kw_only=True)
class BreadcrumbsSettings:
    """What `breadcrumbs` can be told."""

    scaling_factor: Parameter = Parameter.of(0.3)
    """How far to go along the merged deltas."""
    density: PerModel = (Parameter.of(0.9),)
    """The share of each tensor's values that is kept."""
    gamma: float = 0.01
    """The share of the largest that is left out."""
    keep: Keep = "round"
    """How many of n values a density keeps, as in `ties_merging`: `floor` is mergekit's."""
    elect: bool = False
    """Elect signs as TIES does, and merge the values that have them."""
    merge_func: MergeFunc = "sum"
    """What becomes of the values that have the elected sign."""
    weights: PerModel | None = None
    """How much each model's delta counts; None counts each once."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(
            self,
            scaling_factor=parameter(),
            density=per_model(shares=True),
            gamma=number(low=0, high=1),
            keep=choice("round", "floor", "official"),
            elect=flag(),
            merge_func=choice("sum", "mean", "max"),
            weights=per_model(optional=True),
        )
        needs_election(self.merge_func, elect=self.elect)


def breadcrumbs(
    deltas: Sequence[Array],
    *,
    density: float = 0.9,
    gamma: float = 0.01,
    weights: Sequence[float] | None = None,
) -> Array:
    """Leave out both ends of one tensor's deltas and add what is left.

    Args:
        deltas: tuned minus base of each model, of one shape.
        density: the share of the values that is kept.
        gamma: the share of the largest that is left out.
        weights: how much each delta counts; None counts each once.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> import numpy as np
    >>> breadcrumbs([np.asarray([1.0, 9.0, -3.0, 0.5])], density=0.5, gamma=0.25)
    array([ 1.,  0., -3.,  0.])
    """
    kept = []
    for delta in deltas:
        xp = namespace(delta)
        ordered = xp.sort(xp.abs(xp.reshape(delta, (-1,))))
        smallest, largest = left_out(ordered.shape[0], density, gamma)
        if smallest + largest == ordered.shape[0]:
            kept.append(delta * 0)
            continue
        low, high = ordered[smallest], ordered[ordered.shape[0] - 1 - largest]
        kept.append(_between(delta, float(low), float(high)))
    return summed(kept, weights)


def left_out(total: int, density: float, gamma: float, keep: Keep = "round") -> tuple[int, int]:
    """How many of the smallest and how many of the largest of `total` values are left out.

    All are where the density is 0, and none where it is 1, whatever gamma: that is mergekit's rule.

    Raises:
        UsageError: density and gamma are more than all.

    >>> left_out(100, 0.9, 0.01), left_out(10, 0.9, 0.01)
    ((9, 1), (1, 0))
    """
    if density in (0, 1):
        return (0, 0) if density else (total, 0)
    if density + gamma > 1:
        raise UsageError(
            "density and gamma are more than all values",
            expected="density + gamma at most 1",
            got=f"{density:g} + {gamma:g}",
            fix=f"density={1 - gamma:g}",
        )
    largest = max(0, min(int(gamma * total), total - 1))
    return max(0, total - largest - wanted_count(total, density, keep)), largest


def _between(delta: Array, low: float, high: float) -> Array:
    xp = namespace(delta)
    size: Array = xp.abs(delta)
    return delta * ((size >= low) & (size <= high))


def _prepare(stream: ModelStream, settings: BreadcrumbsSettings) -> Prepared:
    densities = for_models(settings.density, stream.num_tuned, key="density")
    bounds: dict[str, list[tuple[float, float]]] = {}
    for name in stream.names:
        total, depth = stream.numel(name), stream.depth(name)
        ranks = []
        for each in densities:
            smallest, largest = left_out(total, each.at(name, depth), settings.gamma, settings.keep)
            # A rank beyond an end cuts nothing there; from beyond the one to the other nothing is kept.
            ranks.append([smallest + 1 if smallest else 0, total - largest if largest else total + 1])
            if smallest == total:
                ranks[-1] = [total + 1, 0]
        found = model_cuts(stream.only([name]), ranks)
        bounds[name] = [(low.value, high.value) for low, high in found]
    kept = KeptCounts(stream.names, stream.num_tuned)

    def combine(chunk: Chunk) -> Array:
        rows = []
        for model, (delta, (low, high)) in enumerate(zip(chunk.deltas, bounds[chunk.name], strict=True)):
            row = _between(delta, low, high)
            xp = namespace(row)
            size = xp.abs(delta)
            kept.add(chunk, model, int(xp.count_nonzero((size >= low) & (size <= high))))
            rows.append(row)
        weights = weights_at(settings.weights, chunk)
        if settings.elect:
            return elected(rows, weights=weights, merge_func=settings.merge_func, loops=stream.loops)
        return summed(rows, weights)

    return Prepared(combine, lambda: kept.figures(stream))


def _check(settings: BreadcrumbsSettings, num_models: int) -> None:
    for each in for_models(settings.density, num_models, key="density"):
        for density in (density for _, values in each.rules for density in values.numbers):
            left_out(100, density, settings.gamma)
    check_weights(settings.weights, num_models)


METHOD = Method(
    name="breadcrumbs",
    summary="deltas without their largest and smallest values, added",
    paper="https://arxiv.org/abs/2312.06795",
    function=breadcrumbs,
    settings=BreadcrumbsSettings,
    prepare=_prepare,
    presets={"paper": {}, "mergekit": {"density": 1.0, "scaling_factor": 1.0, "keep": "floor"}},
    num_measure_passes=lambda settings: 0 if all(each.constant == 1 for each in settings.density) else 1,
    check=_check,
)
