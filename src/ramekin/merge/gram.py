"""Inner products of models: the Gram matrix of some arrays, tensor by tensor, in fp64.

Lengths and angles of deltas, and every merge that is a combination of its inputs with coefficients that
follow from these (SLERP, the Karcher mean, Model Stock), come from the Gram matrix alone, in one pass.
Products are added block by block, in the order of the blocks, so that the sums have the same bits whatever
the chunks they were read in. This module knows nothing of methods.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ramekin.merge.array import Array
from ramekin.merge.stream import BLOCK, Chunk, ModelStream
from ramekin.weights.dtypes import Floats

__all__ = ["Gram", "added", "block_products", "gram", "grams"]

Gram = npt.NDArray[np.float64]
"""`(N, N)`: the inner products of N arrays."""
_Rows = Sequence[Floats] | npt.NDArray[Any]


def gram(arrays: Sequence[Floats]) -> Gram:
    """The inner products of arrays of one shape.

    >>> gram([np.asarray([3.0, 4.0], dtype=np.float32), np.asarray([1.0, 0.0], dtype=np.float32)])
    array([[25.,  3.],
           [ 3.,  1.]])
    """
    return added(np.zeros((len(arrays), len(arrays))), block_products(arrays, arrays))


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
        arrays = [stream.take(array).reshape(-1) for array in of(chunk)]
        return chunk.name, block_products(arrays, arrays)

    found: dict[str, Gram] = {}
    for name, blocks in stream.walk(look):
        found[name] = added(found.get(name, np.zeros(blocks.shape[1:])), blocks)
    size = stream.num_tuned if count is None else count
    return {name: found.get(name, np.zeros((size, size))) for name in stream.names}


def block_products(left: _Rows, right: _Rows) -> Gram:
    """The inner products of each array on the left with each on the right, block by block.

    Args:
        left: arrays of one length, or the rows of one array.
        right: others of that length.

    Returns:
        `(blocks, left, right)`, to be added in their order, see `added`.
    """
    rows = _wide(left)
    columns = rows if right is left else _wide(right)
    whole = rows.shape[1] // BLOCK * BLOCK
    parts = []
    if whole:
        parts.append(_in_blocks(rows[:, :whole]) @ _in_blocks(columns[:, :whole]).transpose(0, 2, 1))
    if whole < rows.shape[1]:
        parts.append((rows[:, whole:] @ columns[:, whole:].T)[None])
    return np.concatenate(parts) if parts else np.zeros((0, len(rows), len(columns)))


def added(total: Gram, blocks: Gram) -> Gram:
    """The blocks added to a total, one after the other."""
    found: Gram = np.concatenate([total[None], blocks]).cumsum(axis=0)[-1]
    return found


def _wide(arrays: _Rows) -> npt.NDArray[np.float64]:
    if isinstance(arrays, np.ndarray):
        return arrays.astype(np.float64, copy=False)
    return np.stack([array.reshape(-1) for array in arrays]).astype(np.float64)


def _in_blocks(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return rows.reshape(len(rows), -1, BLOCK).transpose(1, 0, 2)
