"""SLERP: along the arc between two models instead of the line.

Shoemake, *Animating rotation with quaternion curves*, SIGGRAPH 1985, section 3.3; for models it came into
use without a paper, by mergekit.

    omega   = angle between theta_1 and theta_2, tensor by tensor
    theta   = (sin((1 - t) omega) * theta_1 + sin(t omega) * theta_2) / sin(omega)           default: t 0.5

Weights, not deltas, are turned, and each keeps its length; where both point nearly the same way (cosine above
0.9995) it is the line (1 - t) theta_1 + t theta_2. t may be by tensor or along the depth. With a base and one
model it goes from the base to the model. FusionBench 0.2.33 and mergekit 0.1.5 take the magnitude of the
cosine, so that nearly opposite tensors, which are refused here, are a line there too (their presets).
`karcher` is the same for more than two models.

This module knows nothing of files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.combine import summed
from ramekin.merge.gram import Gram, gram, grams
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import flag, parameter, settle
from ramekin.merge.stream import Chunk, ModelStream
from ramekin.weights.dtypes import Floats

__all__ = ["METHOD", "SlerpSettings", "slerp", "slerp_weights"]

_SAME_WAY = 0.9995


@final
@dataclass(frozen=True, kw_only=True)
class SlerpSettings:
    """What `slerp` can be told."""

    t: Parameter = Parameter.of(0.5)
    """How far along the arc, from 0 for the first to 1 for the second."""
    opposite_is_line: bool = False
    """Take a line also where the two point nearly opposite ways."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, t=parameter(), opposite_is_line=flag())


def slerp(tuned: Sequence[Floats], *, t: float = 0.5) -> Array:
    """One tensor on the arc between two.

    Args:
        tuned: the tensor of the first and of the second model, fp32.
        t: how far along the arc.

    >>> import numpy as np
    >>> slerp([np.asarray([1, 0], dtype=np.float32), np.asarray([0, 1], dtype=np.float32)]).round(3)
    array([0.707, 0.707], dtype=float32)
    """
    first, second = slerp_weights(gram(tuned), t)
    return summed(tuned, (first, second))  # type: ignore[arg-type]


def slerp_weights(products: Gram, t: float, *, opposite_is_line: bool = False) -> tuple[float, float]:
    """What to multiply the two by, from their `(2, 2)` inner products."""
    lengths = math.sqrt(products[0, 0]) * math.sqrt(products[1, 1])
    cosine = max(-1.0, min(1.0, products[0, 1] / lengths)) if lengths else 1.0
    if (abs(cosine) if opposite_is_line else cosine) > _SAME_WAY:
        return 1 - t, t
    if cosine < -_SAME_WAY:
        raise UsageError(
            "two tensors point opposite ways: there is no one arc between them",
            expected="a cosine above -0.9995",
            got=f"{cosine:.6f}",
            fix="set opposite_is_line=true, or use simple_average",
        )
    omega = math.acos(cosine)
    return math.sin((1 - t) * omega) / math.sin(omega), math.sin(t * omega) / math.sin(omega)


def _ends(chunk: Chunk) -> Sequence[Array]:
    """The two tensors between which it goes."""
    if len(chunk.tuned) == 2:
        return chunk.tuned
    assert chunk.base is not None  # which was checked
    return [chunk.base, *chunk.tuned]


def _prepare(stream: ModelStream, settings: SlerpSettings) -> Prepared:
    weights = {}
    for name, products in grams(stream, _ends, count=2).items():
        try:
            t = settings.t.at(name, stream.depth(name))
            weights[name] = slerp_weights(products, t, opposite_is_line=settings.opposite_is_line)
        except UsageError as error:
            raise UsageError(
                error.what, where=name, expected=error.expected, got=error.got, fix=error.fix
            ) from None
    return Prepared(
        lambda chunk: summed(_ends(chunk), weights[chunk.name]), lambda: {"weights_by_tensor": weights}
    )


METHOD = Method(
    name="slerp",
    summary="along the arc between two models",
    paper=None,
    function=slerp,
    settings=SlerpSettings,
    prepare=_prepare,
    presets={"fusionbench": {"opposite_is_line": True}, "mergekit": {"opposite_is_line": True}},
    needs_base=False,
    min_without_base=2,
    max_models=2,
    num_measure_passes=lambda settings: 1,
    of_deltas=lambda settings: False,
)
