"""Model Stock: as far from the base towards the mean as the angles between the deltas tell.

Paper: Jang et al., *Model Stock: all we need is just a few fine-tuned models*,
https://arxiv.org/abs/2403.19522.

    cos     = mean over pairs of cos(delta_i, delta_j), tensor by tensor
    t       = N cos / (1 + (N - 1) cos)
    theta   = t * mean_i(theta_i) + (1 - t) * theta_0                       default: average cosine

Deltas at right angles share nothing and give the base, equal ones the mean. N tuned models of one task are
meant, that differ in their seed; for models of several tasks the angles are near 90 degrees and little is
left. For N above 2 FusionBench 0.2.33 takes the cosine of the mean angle (average=angle, preset
fusionbench), mergekit 0.1.5 the mean cosine. Where the mean cosine is below 0 the base is kept; the formula
would lead away from the mean, as it does in both of these tools (negative=formula, their presets), and has no
value where 1 + (N - 1) cos is 0. Both blur the cosine of short deltas: FusionBench adds 1e-8 to the product
of two lengths, mergekit takes it for at least 1e-6; here it is exact.

This module knows nothing of files.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from ramekin.merge.array import Array
from ramekin.merge.combine import summed
from ramekin.merge.gram import Gram, gram, grams
from ramekin.merge.method import Method, Prepared
from ramekin.merge.settings import choice, settle
from ramekin.merge.stream import Chunk, ModelStream
from ramekin.weights.dtypes import Floats

__all__ = ["METHOD", "ModelStockSettings", "model_stock", "stock_ratio"]

Average = Literal["cosine", "angle"]
Negative = Literal["base", "formula"]

_SINGULAR = 1e-6


@final
@dataclass(frozen=True, kw_only=True)
class ModelStockSettings:
    """What `model_stock` can be told."""

    average: Average = "cosine"
    """What is averaged over pairs of models: their cosines, or their angles."""
    negative: Negative = "base"
    """What is done where the mean cosine is below 0: the `base` is kept, or the `formula` is followed."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, average=choice("cosine", "angle"), negative=choice("base", "formula"))


def model_stock(base: Floats, tuned: Sequence[Floats], *, average: Average = "cosine") -> Array:
    """One tensor between the base and the mean of the tuned ones.

    Args:
        base: the tensor of the model all others were tuned from, fp32.
        tuned: the same tensor of at least two tuned models.
        average: what is averaged over pairs, `cosine` or `angle`.

    >>> import numpy as np
    >>> zero, one, other = (np.asarray(x, dtype=np.float32) for x in ([0, 0], [1, 0], [1, 1]))
    >>> model_stock(zero, [one, one]), model_stock(zero, [one, other]).round(3)
    (array([1., 0.], dtype=float32), array([0.828, 0.414], dtype=float32))
    """
    ratio = stock_ratio(gram([each - base for each in tuned]), average)
    return _between(base, tuned, ratio)  # type: ignore[arg-type]


def stock_ratio(products: Gram, average: Average, negative: Negative = "base") -> float:
    """How far to go towards the mean, from 0 to 1, by the inner products of the deltas.

    Args:
        products: `(N, N)`.
        average: what is averaged over pairs.
        negative: what is done where the mean cosine is below 0.
    """
    num_models = len(products)
    lengths = [math.sqrt(products[i, i]) for i in range(num_models)]
    if min(lengths) == 0:
        return 0.0  # a model that is the base: there is no angle, and nothing the models share
    pairs = itertools.combinations(range(num_models), 2)
    cosines = [max(-1.0, min(1.0, products[i, j] / (lengths[i] * lengths[j]))) for i, j in pairs]
    if average == "angle":
        mean = math.cos(math.fsum(math.acos(each) for each in cosines) / len(cosines))
    else:
        mean = math.fsum(cosines) / len(cosines)
    below = 1 + (num_models - 1) * mean
    if abs(below) < _SINGULAR or (mean <= 0 and negative == "base"):
        return 0.0
    return num_models * mean / below


def _between(base: Array, tuned: Sequence[Array], ratio: float) -> Array:
    return summed(tuned) * (ratio / len(tuned)) + base * (1 - ratio)


def _prepare(stream: ModelStream, settings: ModelStockSettings) -> Prepared:
    products = grams(stream, lambda chunk: chunk.deltas)
    ratios = {name: stock_ratio(each, settings.average, settings.negative) for name, each in products.items()}

    def combine(chunk: Chunk) -> Array:
        assert chunk.base is not None  # needs_base
        return _between(chunk.base, chunk.tuned, ratios[chunk.name])

    return Prepared(combine, lambda: {"ratio_by_tensor": ratios})


METHOD = Method(
    name="model_stock",
    summary="towards the mean as far as the angles between the deltas tell",
    paper="https://arxiv.org/abs/2403.19522",
    function=model_stock,
    settings=ModelStockSettings,
    prepare=_prepare,
    presets={
        "fusionbench": {"average": "angle", "negative": "formula"},
        "mergekit": {"negative": "formula"},
        "paper": {},
    },
    min_models=2,
    num_measure_passes=lambda settings: 1,
    linear=lambda settings: True,
)
