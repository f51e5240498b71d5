"""What may be done to a merged direction before it is added to the base: singular value calibration.

A step is named by `post: {name: svc, …}` and follows any method that has a scaling factor. It is given the
direction with the scaling factor in it, matrix by matrix; tensors that are no matrices pass unchanged, and so
do tables (the embedding, the head) unless they are asked for. This module knows nothing of files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.matrices import matrix_unit
from ramekin.merge.settings import flag, number, parse_step, settle
from ramekin.merge.svc import calibrate

__all__ = ["POSTS", "Svc", "parse_post"]


@final
@dataclass(frozen=True, kw_only=True)
class Svc:
    """Singular value calibration, see `svc`."""

    alpha: float | None = None
    """The least that a model counts in a direction of the merged delta; None takes one over their number."""
    embeddings: bool = False
    """Calibrate the embedding, the head and position tables too."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(self, alpha=number(low=0, optional=True), embeddings=flag())
        if self.alpha == 0:
            raise UsageError("alpha: expected a number above 0, got 0")

    def takes(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether it changes a tensor, which it then needs whole."""
        return matrix_unit(name, shape, embeddings=self.embeddings) == "matrix"

    def apply(self, direction: Array, deltas: Sequence[Array]) -> Array:
        """The calibrated direction; both with the scaling factor in them.

        Args:
            direction: what is to be added to the base, `(out, in)`.
            deltas: tuned minus base of each model, of that shape.
        """
        return calibrate(direction, deltas, alpha=self.alpha or 1 / len(deltas))


POSTS: Mapping[str, type[Svc]] = {"svc": Svc}
"""The steps by name."""

_PRESETS: Mapping[str, Mapping[str, object]] = {"fusionbench": {"embeddings": True}}


def parse_post(given: Mapping[str, object] | None) -> Svc | None:
    """The step of `{name: svc, key: value, …}`; None and `{name: none}` are none.

    Raises:
        UsageError: no such step, unknown keys or values.
    """
    return parse_step(POSTS, given, what="step after a merge", presets=_PRESETS)
