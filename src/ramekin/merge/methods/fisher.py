"""Fisher merging: the mean of the models with every element weighted by how sure each model is of it.

Paper: Matena and Raffel, *Merging models with Fisher-weighted averaging*, https://arxiv.org/abs/2111.09832.

    theta = sum_i w_i F_i theta_i / sum_i w_i F_i           F_i: the diagonal of the Fisher information
    w_i   = weight_i / |F_i|, F_i at least floor            default: weights 1, normalize, floor 1e-6, raised
    theta_0 + scaling_factor * (theta - theta_0)            default: scaling_factor 1

|F_i| is the length over the whole model, so that models count alike whose Fisher information differs in
size (`normalize`); `weights` are the paper's lambda_i, which it searches on a validation set. F_i is
raised to the floor before it is divided, as the authors' code does (by default that of the first model
alone); FusionBench 0.2.33 adds the floor (small_values=added, preset fusionbench), which differs only where
F_i is not far above it. Its class, but not its function, counts a tied embedding in |F_i| once for each of
its names: three or four times. F_i here is
the mean of the squares of each example's gradient, as the paper has it; FusionBench squares the gradient
of a batch, with cross terms between examples and classes. Where F_i is below the floor in all models the
result is the weighted mean. This is `regmean` with a diagonal of its own for every row, so there is
nothing to solve. mergekit has no such method.

This module knows nothing of how the Fisher information is collected.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.least_squares import diagonal_quotient
from ramekin.merge.method import Method, Prepared, check_weights, weights_at
from ramekin.merge.parameters import Parameter, PerModel
from ramekin.merge.settings import choice, flag, number, parameter, per_model, settle
from ramekin.merge.stream import Chunk, ModelStream
from ramekin.merge.sums import tensor_sums

__all__ = ["METHOD", "FisherSettings", "fisher", "inverse_norms"]

SmallValues = Literal["raised", "added"]

_MOSTLY = 0.5


@final
@dataclass(frozen=True, kw_only=True)
class FisherSettings:
    """What `fisher` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go from the base to the Fisher-weighted mean."""
    weights: PerModel | None = None
    """How much each model counts beside its Fisher information; None counts each once."""
    normalize: bool = True
    """Divide each model's Fisher information by its length over the whole model."""
    floor: float = 1e-6
    """What smaller Fisher values are raised to, or what is added to all."""
    small_values: SmallValues = "raised"
    """What the floor does: smaller values are `raised` to it, or it is `added` to every value."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(
            self,
            scaling_factor=parameter(),
            weights=per_model(low=0, optional=True),
            normalize=flag(),
            floor=number(low=1e-30),
            small_values=choice("raised", "added"),
        )


def fisher(
    tuned: Sequence[Array],
    fishers: Sequence[Array],
    *,
    weights: Sequence[float] | None = None,
    floor: float = 1e-6,
    small_values: SmallValues = "raised",
) -> Array:
    """The Fisher-weighted mean of one tensor.

    Args:
        tuned: the tensor of each model; each is asked for once.
        fishers: the diagonal Fisher information of each, in its shape; each is asked for once.
        weights: how much each model counts, not negative and not all zero; None counts each once.
        floor: above 0; what smaller Fisher values are raised to, or what is added to all.
        small_values: which of the two.

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
        (tuned[place], _floored(fishers[place], floor, small_values) * weights[place])
        for place in range(len(tuned))
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


def _floored(values: Array, floor: float, small_values: SmallValues) -> Array:
    xp = namespace(values)
    values = xp.astype(values, xp.float64)
    if small_values == "added":
        return values + floor
    raised: Array = xp.where(values > floor, values, xp.ones_like(values) * floor)
    return raised


def _prepare(stream: ModelStream, settings: FisherSettings) -> Prepared:
    collected = stream.of_statistics()

    def look(chunk: Chunk) -> list[Array]:
        return [each for found in chunk.tuned for each in (found * found, _is_below(found, settings.floor))]

    sums = tensor_sums(collected, look).values()
    totals = [math.fsum(each[place] for each in sums) for place in range(2 * stream.num_tuned)]
    elements = max(1, sum(stream.numel(name) for name in stream.names))
    below = [count / elements for count in totals[1::2]]
    shares = inverse_norms(totals[::2]) if settings.normalize else (1.0,) * len(below)

    def combine(chunk: Chunk) -> Array:
        given = weights_at(settings.weights, chunk) or (1.0,) * len(shares)
        weights = [weight * share for weight, share in zip(given, shares, strict=True)]
        return fisher(
            chunk.deltas,
            chunk.statistics,
            weights=weights,
            floor=settings.floor,
            small_values=settings.small_values,
        )

    return Prepared(
        combine,
        lambda: {"shares": list(shares), "below_floor": below},
        tuple(
            f"{share:.0%} of the Fisher information of {label} is below the floor of {settings.floor:g}, "
            "where models are averaged; a smaller method.floor= lets it count"
            for share, label in zip(below, stream.labels, strict=True)
            if share > _MOSTLY
        ),
    )


def _is_below(values: Array, floor: float) -> Array:
    xp = namespace(values)
    below: Array = xp.astype(values < floor, values.dtype)
    return below


METHOD = Method(
    name="fisher",
    summary="the mean of the models, every element weighted by its Fisher information",
    paper="https://arxiv.org/abs/2111.09832",
    function=fisher,
    settings=FisherSettings,
    prepare=_prepare,
    presets={"fusionbench": {"small_values": "added"}},
    statistics="fisher",
    num_statistics_passes=lambda settings: 2,
    check=lambda settings, num_models: check_weights(settings.weights, num_models),
)
