"""Sums over a tensor that have the same bits whatever the chunks it is read in.

Numbers are added within runs of a fixed length, at which chunks begin, in fp64; the sums of the runs are
added exactly. This module knows nothing of methods.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ramekin.merge.array import Array
from ramekin.merge.stream import BLOCK, Chunk, ModelStream, Unit
from ramekin.weights.dtypes import Floats

__all__ = ["run_sums", "tensor_sums"]


def run_sums(values: Floats) -> list[float]:
    """The sums of the runs of a chunk: its rows, or `BLOCK` elements each of a flat one."""
    flat = values if values.ndim > 1 else values.reshape(-1)
    if flat.ndim > 1:
        return [float(each) for each in flat.reshape(-1, flat.shape[-1]).sum(axis=1, dtype=np.float64)]
    whole = len(flat) // BLOCK * BLOCK
    sums = flat[:whole].reshape(-1, BLOCK).sum(axis=1, dtype=np.float64).tolist()
    return [*sums, float(flat[whole:].sum(dtype=np.float64))] if whole < len(flat) else sums


def tensor_sums(
    stream: ModelStream, of: Callable[[Chunk], Sequence[Array]], *, unit: Unit = "element"
) -> dict[str, tuple[float, ...]]:
    """The sums of some arrays over every tensor, in one pass.

    Args:
        stream: the models.
        of: the arrays of a chunk.
        unit: what the tensors are taken in.
    """

    def look(chunk: Chunk) -> tuple[str, list[list[float]]]:
        return chunk.name, [run_sums(stream.take(array)) for array in of(chunk)]

    runs: dict[str, list[list[float]]] = {}
    for name, found in stream.walk(look, unit=unit):
        for own, new in zip(runs.setdefault(name, [[] for _ in found]), found, strict=True):
            own += new
    return {name: tuple(math.fsum(own) for own in found) for name, found in runs.items()}
