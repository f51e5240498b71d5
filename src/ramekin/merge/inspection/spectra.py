"""Singular values of the deltas of every matrix, and how far their dominant subspaces overlap.

    stable rank    ||tau||_F^2 / ||tau||_2^2
    entropy rank   exp(H(p)), p = sigma / sum(sigma)    (Roy and Vetterli 2007, the effective rank)
    overlap        ||U_i^T U_j||_F^2 / min(k_i, k_j), the mean squared cosine of the principal angles between
                   the spans of the leading k_i and k_j singular vectors
    chance         max(k_i, k_j) / n, its mean for random subspaces of n dimensions

The leading vectors are as many as hold 90 % of the squared singular values, at most a limit. They are exact:
the decomposition is that of `singular`, in float64, with nothing random. Matrices are read one model at a
time; only the leading vectors of all models are held together. Tables (embedding, head, positions) and
vectors have no spectra. This module knows nothing of files.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from ramekin.merge.array import Array, namespace
from ramekin.merge.matrices import is_matrix
from ramekin.merge.singular import spectrum
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["ENERGY", "Ranks", "Spectra", "matrices_of", "ranks_of", "spectra"]

ENERGY = 0.9
"""The share of the squared singular values that the leading vectors hold."""

_SLACK = 1e-12  # of the share, for rounding
_Matrix = npt.NDArray[np.float64]


@final
class Ranks(NamedTuple):
    """How many directions a matrix has in effect; None of a matrix of zeros."""

    stable: float | None
    entropy: float | None
    energy: int
    """How many leading directions hold `ENERGY`; 0 of a matrix of zeros."""


@final
class Spectra(NamedTuple):
    """Of the deltas of one matrix."""

    shape: tuple[int, int]
    models: tuple[Ranks, ...]
    total: Ranks
    """Of the sum of the deltas."""
    counts: tuple[int, ...]
    """How many leading vectors of each model are compared."""
    left: _Matrix
    """(N, N): overlap of the spans of left singular vectors; of no meaning where a count is 0."""
    right: _Matrix
    """(N, N): of right singular vectors."""

    def overlap(self, one: int, other: int) -> tuple[float, float] | None:
        """The overlap of left and right subspaces of two models; None where a delta is zero."""
        if not (self.counts[one] and self.counts[other]):
            return None
        return float(self.left[one, other]), float(self.right[one, other])

    def chance(self, one: int, other: int) -> tuple[float, float] | None:
        """What random subspaces of those dimensions would have on average; None where a delta is zero."""
        if not (self.counts[one] and self.counts[other]):
            return None
        most = max(self.counts[one], self.counts[other])
        return most / self.shape[0], most / self.shape[1]


def matrices_of(stream: ModelStream) -> tuple[str, ...]:
    """The tensors that have spectra."""
    return tuple(name for name in stream.names if is_matrix(name, stream.shape(name)))


def spectra(
    stream: ModelStream, *, limit: int, on_matrix: Callable[[str], None] | None = None
) -> dict[str, Spectra]:
    """The spectra of the deltas of every matrix.

    Args:
        stream: the models, with a base.
        limit: at most so many leading vectors are compared.
        on_matrix: told the name of each matrix that is done.
    """
    found: dict[str, Spectra] = {}
    part = stream.only(matrices_of(stream))
    for name, each in part.walk(lambda chunk: (chunk.name, _look(chunk, limit)), unit="matrix"):
        found[name] = each
        if on_matrix is not None:
            on_matrix(name)
    return found


def ranks_of(values: Iterable[float]) -> Ranks:
    """The ranks of a matrix with these singular values, the largest first.

    >>> ranks_of([2.0, 2.0]), ranks_of([])
    (Ranks(stable=2.0, entropy=2.0, energy=2), Ranks(stable=None, entropy=None, energy=0))
    """
    sigma = np.asarray(list(values), dtype=np.float64)
    if not len(sigma):
        return Ranks(None, None, 0)
    squares = sigma**2
    shares = sigma / sigma.sum()
    # A share that is 0 but for its rounding has no entropy.
    shares = shares[shares > 0]
    entropy = float(-(shares * np.log(shares)).sum())
    held = squares.cumsum() / squares.sum()
    energy = int(np.searchsorted(held, ENERGY - _SLACK)) + 1
    return Ranks(float(squares.sum() / squares[0]), float(np.exp(entropy)), min(energy, len(sigma)))


def _look(chunk: Chunk, limit: int) -> Spectra:
    rows, columns = chunk.shape
    ranks, lefts, rights = [], [], []
    total: Any = None
    deltas = chunk.deltas
    for place in range(len(deltas)):
        delta = deltas[place]  # asked for once, as each time it is read
        found = spectrum(delta, lambda values: min(limit, ranks_of(_numbers(values)).energy))
        ranks.append(ranks_of(_numbers(found.values)))
        # Copies, lest the few vectors keep all others in memory.
        lefts.append(found.leading.left * 1.0)
        rights.append(found.leading.right.T * 1.0)
        wide = namespace(delta).astype(delta, namespace(delta).float64)
        total = wide if total is None else total + wide
        del delta, wide, found
    return Spectra(
        shape=(rows, columns),
        models=tuple(ranks),
        total=ranks_of(_numbers(spectrum(total, lambda values: 0).values)),
        counts=tuple(left.shape[1] for left in lefts),
        left=_overlaps(lefts),
        right=_overlaps(rights),
    )


def _overlaps(bases: Sequence[Array]) -> _Matrix:
    overlaps = np.eye(len(bases))
    for one, left in enumerate(bases):
        for other in range(one):
            count = min(left.shape[1], bases[other].shape[1])
            cosines: Any = left.T @ bases[other]
            shared = float(namespace(left).sum(cosines * cosines)) / count if count else 0.0
            overlaps[one, other] = overlaps[other, one] = shared
    return overlaps


def _numbers(values: Array) -> list[float]:
    tolist: Any = values
    return [float(each) for each in tolist.tolist()]
