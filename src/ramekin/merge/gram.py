"""Inner products of models: the Gram matrix of some arrays, tensor by tensor, in fp64.

Lengths and angles of deltas, and every merge that is a combination of its inputs with coefficients that
follow from these (SLERP, the Karcher mean, Model Stock), come from the Gram matrix alone, in one pass.
Products are added block by block, in the order of the blocks, so that the sums have the same bits whatever
the chunks they were read in. This module knows nothing of methods.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ramekin.merge.array import Array
from ramekin.merge.stream import BLOCK, Chunk, ModelStream
from ramekin.weights.dtypes import Floats

__all__ = ["Gram", "gram", "grams"]

Gram = npt.NDArray[np.float64]
"""`(N, N)`: the inner products of N arrays."""


def gram(arrays: Sequence[Floats]) -> Gram:
    """The inner products of arrays of one shape.

    >>> gram([np.asarray([3.0, 4.0], dtype=np.float32), np.asarray([1.0, 0.0], dtype=np.float32)])
    array([[25.,  3.],
           [ 3.,  1.]])
    """
    return _added(np.zeros((len(arrays), len(arrays))), _blocks(arrays))


def grams(
    stream: ModelStream, of: Callable[[Chunk], Sequence[Array]], *, count: int | None = None
) -> dict[str, Gram]:
    """The Gram matrix of every tensor, in one pass.

    Args:
        stream: the models.
        of: the arrays of a chunk, one a row of the matrix.
        count: how many these are, which a tensor without elements does not tell; one a model when None.
    """

    def look(chunk: Chunk) -> tuple[str, Gram]:
        return chunk.name, _blocks([stream.take(array).reshape(-1) for array in of(chunk)])

    found: dict[str, Gram] = {}
    for name, blocks in stream.walk(look):
        found[name] = _added(found.get(name, np.zeros(blocks.shape[1:])), blocks)
    size = stream.num_tuned if count is None else count
    return {name: found.get(name, np.zeros((size, size))) for name in stream.names}


def _blocks(arrays: Sequence[Floats]) -> Gram:
    """The inner products of each block: `(blocks, N, N)`."""
    rows = np.stack([array.reshape(-1) for array in arrays]).astype(np.float64)
    whole = rows.shape[1] // BLOCK * BLOCK
    parts = []
    if whole:
        blocks = rows[:, :whole].reshape(len(rows), -1, BLOCK).transpose(1, 0, 2)
        parts.append(blocks @ blocks.transpose(0, 2, 1))
    if whole < rows.shape[1]:
        rest = rows[:, whole:]
        parts.append((rest @ rest.T)[None])
    return np.concatenate(parts) if parts else np.zeros((0, len(rows), len(rows)))


def _added(total: Gram, blocks: Gram) -> Gram:
    """The blocks added one after the other."""
    added: Gram = np.concatenate([total[None], blocks]).cumsum(axis=0)[-1]
    return added
