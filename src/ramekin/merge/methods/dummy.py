"""Dummy: no merge at all, the base as it is.

The name and meaning are FusionBench's: the base if there is one, else the first model, so that a model can
be counted or evaluated by the same command as a merge.

    theta = theta_0

This module knows nothing of files or names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import Array
from ramekin.merge.method import Method, Prepared
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "DummySettings", "dummy"]


@final
@dataclass(frozen=True, kw_only=True)
class DummySettings:
    """`dummy` has no settings."""


def dummy(base: Array | None, tuned: Sequence[Array]) -> Array:
    """The base's tensor, or the first model's where there is no base.

    Raises:
        UsageError: neither a base nor a model.

    >>> import numpy as np
    >>> dummy(np.asarray([1.0]), [np.asarray([2.0])])
    array([1.])
    """
    if base is not None:
        return base
    if not len(tuned):
        raise UsageError("there is nothing to return", expected="a base or a model")
    return tuned[0]


def _prepare(stream: ModelStream, settings: DummySettings) -> Prepared:
    return Prepared(lambda chunk: dummy(chunk.base, chunk.tuned))


METHOD = Method(
    name="dummy",
    summary="no merge: the base as it is",
    paper=None,
    function=dummy,
    settings=DummySettings,
    prepare=_prepare,
    needs_base=False,
    min_models=0,
    uses_models=False,
)
