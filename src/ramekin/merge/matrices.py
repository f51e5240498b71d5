"""Which tensors a per-matrix method takes, and how it runs over the stream of a merge.

Methods that factorise a delta are for the weights of linear maps. A table, which is looked up by row (the
embedding, positions) or is far too tall (the head), is left out unless it is asked for. Whatever is not
taken gets the mean of the deltas. This module knows nothing of what a method does with a matrix.
"""

from collections.abc import Callable, Sequence

from ramekin.merge.array import Array
from ramekin.merge.combine import summed
from ramekin.merge.method import Prepared
from ramekin.merge.stream import Chunk, ModelStream, Unit

__all__ = ["by_matrix", "is_matrix", "matrix_unit"]

_TABLES = frozenset({"shared", "embed_tokens", "embed_positions", "lm_head", "relative_attention_bias"})


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is the weight of a linear map within a layer.

    Args:
        name: its name; a part of it between dots tells the tables (embedding, head, positions).
        shape: its shape; a single row or column is no matrix.

    >>> is_matrix("encoder.block.0.layer.0.SelfAttention.q.weight", (768, 768))
    True
    >>> is_matrix("shared.weight", (32128, 768)), is_matrix("final_logits_bias", (1, 50265))
    (False, False)
    """
    return _is_two_dimensional(shape) and _TABLES.isdisjoint(name.split("."))


def matrix_unit(name: str, shape: tuple[int, ...], *, embeddings: bool = False) -> Unit:
    """The pieces in which a per-matrix method takes a tensor: all of a matrix, runs of elements of others.

    Args:
        name: the tensor.
        shape: its shape.
        embeddings: take the tables too.

    >>> matrix_unit("shared.weight", (99, 8)), matrix_unit("shared.weight", (99, 8), embeddings=True)
    ('element', 'matrix')
    """
    taken = _is_two_dimensional(shape) if embeddings else is_matrix(name, shape)
    return "matrix" if taken else "element"


def by_matrix(
    stream: ModelStream, merge: Callable[[Sequence[Array]], Array], *, embeddings: bool = False
) -> Prepared:
    """A method that merges the deltas of each matrix, and takes the mean of the deltas of all else.

    Args:
        stream: the models.
        merge: from the deltas of a matrix, each (out, in), to the direction of that shape.
        embeddings: take the tables too.
    """

    def combine(chunk: Chunk) -> Array:
        unit = matrix_unit(chunk.name, stream.shape(chunk.name), embeddings=embeddings)
        deltas = chunk.deltas
        return merge(deltas) if unit == "matrix" else summed(deltas, [1 / len(deltas)] * len(deltas))

    return Prepared(combine)


def _is_two_dimensional(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and min(shape) > 1
