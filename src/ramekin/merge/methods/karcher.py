"""Karcher mean: the point on the sphere that is nearest to all models, with their mean length.

Paper: *Karcher mean for model merging*, https://arxiv.org/abs/2603.04972; the mean is Karcher's (1977).

    u_i     = theta_i / |theta_i|, tensor by tensor
    mu      = argmin over unit vectors of sum_i(weight_i * angle(mu, u_i)^2)
    theta   = mu * sum_i(weight_i * |theta_i|)                  default: weights 1/N, max_iter 10, tol 1e-5

The minimum is found by steps mu <- exp_mu(sum_i(weight_i * log_mu(u_i))) from the normalised mean. Every step
stays a combination of the inputs, so that the inner products of the inputs are all that is needed: two passes
over the models however many steps. For two models it is `slerp` with t 0.5 where their lengths are equal.
Tensors of zeros have no direction and count in the length only. mergekit's `karcher` does the same with one
tensor of every model in memory, and takes the first model's direction where they cancel, which is refused
here.

This module knows nothing of files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.combine import shares, summed
from ramekin.merge.gram import Gram, gram, grams
from ramekin.merge.method import Method, Prepared, check_weights
from ramekin.merge.parameters import PerModel, for_models
from ramekin.merge.settings import number, per_model, settle, whole
from ramekin.merge.stream import ModelStream
from ramekin.weights.dtypes import Floats

__all__ = ["METHOD", "KarcherSettings", "karcher", "karcher_weights"]


@final
@dataclass(frozen=True, kw_only=True)
class KarcherSettings:
    """What `karcher` can be told."""

    weights: PerModel | None = None
    """How much each model counts; None counts each once. They are divided by their sum."""
    max_iter: int = 10
    """The number of steps at the most."""
    tol: float = 1e-5
    """The length of a step at which it is done."""

    def __post_init__(self) -> None:
        settle(self, weights=per_model(low=0, optional=True), max_iter=whole(low=1), tol=number(low=0))


def karcher(
    tuned: Sequence[Floats],
    *,
    weights: Sequence[float] | None = None,
    max_iter: int = 10,
    tol: float = 1e-5,
) -> Array:
    """The Karcher mean of one tensor of several models.

    Args:
        tuned: the same tensor of each model, fp32.
        weights: how much each counts; None counts each once.
        max_iter: the number of steps at the most.
        tol: the length of a step at which it is done.

    >>> karcher([np.asarray([2, 0], dtype=np.float32), np.asarray([0, 4], dtype=np.float32)]).round(3)
    array([2.121, 2.121], dtype=float32)
    """
    own = shares(weights or [1.0] * len(tuned))
    return summed(tuned, karcher_weights(gram(tuned), own, max_iter=max_iter, tol=tol))  # type: ignore[arg-type]


def karcher_weights(
    products: Gram, weights: Sequence[float], *, max_iter: int, tol: float
) -> tuple[float, ...]:
    """What to multiply each input by, from their `(N, N)` inner products and weights that add to one.

    Raises:
        UsageError: the inputs cancel each other, so that there is no direction to begin with, or one is
            opposite to the others.
    """
    lengths = np.sqrt(np.diag(products))
    mean_length = float(np.asarray(weights, dtype=np.float64) @ lengths)
    there = lengths > 0
    own = np.asarray(weights, dtype=np.float64) * there
    if not own.any():
        return (0.0,) * len(own)
    own /= own.sum()  # what is zero has no direction, and does not slow the steps down
    units = np.where(there, 1 / np.where(there, lengths, 1), 0.0)
    cosines = products * units[:, None] * units[None, :]
    place = _normalised(own, cosines)
    for _ in range(max_iter):
        angles = np.arccos(np.clip(cosines @ place, -1.0, 1.0))
        if (angles[own > 0] > math.pi - 1e-6).any():
            raise UsageError(
                "a model's tensor points opposite to the mean of all: there is no one way from there to it",
                fix="use simple_average",
            )
        # log_mu(u) = angle / sin(angle) * (u - cos(angle) mu)
        ratios = np.where(angles > 1e-12, angles / np.maximum(np.sin(angles), 1e-300), 1.0) * own
        step = ratios - place * float(ratios @ np.cos(angles))
        length = math.sqrt(max(0.0, float(step @ cosines @ step)))
        if length < max(tol, 1e-300):
            break
        place = _normalised(math.cos(length) * place + math.sin(length) / length * step, cosines)
    return tuple(float(each) for each in place * units * mean_length)


def _normalised(place: Gram, cosines: Gram) -> Gram:
    length = math.sqrt(max(0.0, float(place @ cosines @ place)))
    if length < 1e-12:
        raise UsageError(
            "the models' tensors cancel each other: there is no mean direction", fix="use simple_average"
        )
    normalised: Gram = place / length
    return normalised


def _prepare(stream: ModelStream, settings: KarcherSettings) -> Prepared:
    found = {}
    for name, products in grams(stream, lambda chunk: chunk.tuned).items():
        parameters = settings.weights and for_models(settings.weights, stream.num_tuned, key="weights")
        depth = stream.depth(name)
        own = [each.at(name, depth) for each in parameters] if parameters else [1.0] * stream.num_tuned
        try:
            found[name] = karcher_weights(
                products, shares(own, where=name), max_iter=settings.max_iter, tol=settings.tol
            )
        except UsageError as error:
            raise UsageError(error.what, where=error.where or name, got=error.got, fix=error.fix) from None
    return Prepared(
        lambda chunk: summed(chunk.tuned, found[chunk.name]), lambda: {"weights_by_tensor": found}
    )


METHOD = Method(
    name="karcher",
    summary="the mean on the sphere, with the mean length",
    paper="https://arxiv.org/abs/2603.04972",
    function=karcher,
    settings=KarcherSettings,
    prepare=_prepare,
    needs_base=False,
    num_measure_passes=lambda settings: 1,
    check=lambda settings, num_models: check_weights(settings.weights, num_models),
    divides_weights=lambda settings: True,
    of_deltas=lambda settings: False,
)
