"""What an adapter does to one tensor of its base, as a value.

    LoRA, rsLoRA    W' = W + s·BA                        (Hu et al. 2021, arXiv 2106.09685)
    DoRA            W' = m ⊙ V / ‖V‖ row by row, V = W + s·BA   (Liu et al. 2024, arXiv 2402.09353)
    IA3             W' = l ⊙ W, by rows or by columns    (Liu et al. 2022, arXiv 2205.05638)

Everything is fp32 and exact: a layer with W' computes what the layer with the adapter computes. This module
knows nothing of files, names or models.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ramekin.weights.sides import fits, scaled_sides

__all__ = ["AbstractChange", "Decomposed", "LowRank", "Rescaled"]


class AbstractChange(ABC):
    """How one tensor of the base becomes the adapter's."""

    __slots__ = ()

    @property
    @abstractmethod
    def shape(self) -> tuple[int | None, int | None]:
        """`(out, in)` of the tensor it changes; None where any will do."""

    @abstractmethod
    def merged(self, weight: Tensor) -> Tensor:
        """The changed tensor: `weight: (out, in)` of any dtype -> `(out, in)` in fp32."""

    @abstractmethod
    def merged_rows(self, rows: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float32]:
        """Some rows of the changed tensor: `rows: (n, in)` from row `first` on, `(n, in)`, in numpy."""

    @final
    def fits(self, shape: Sequence[int]) -> bool:
        """Whether it can change a tensor of this shape."""
        return fits(self.shape, shape)


@final
@dataclass(frozen=True, slots=True)
class LowRank(AbstractChange):
    """One tensor's change by LoRA, `scale · b @ a`."""

    a: Tensor
    """`(rank, in)`, fp32."""
    b: Tensor
    """`(out, rank)`, fp32."""
    scale: float
    """The factor; alpha and the rank are already in it."""

    @property
    def shape(self) -> tuple[int, int]:
        """`(out, in)`: the shape of the tensor it changes."""
        return (self.b.shape[0], self.a.shape[1])

    def dense(self) -> Tensor:
        """The change as a matrix, `(out, in)`, fp32."""
        return (self.b @ self.a) * self.scale

    def merged(self, weight: Tensor) -> Tensor:
        """The sum."""
        return weight.float() + self.dense().to(weight.device)

    def merged_rows(self, rows: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float32]:
        """The sum of some rows."""
        b: npt.NDArray[np.float32] = self.b[first : first + len(rows)].numpy()
        product: npt.NDArray[np.float32] = b @ self.a.numpy()
        product *= np.float32(self.scale)
        product += rows
        return product


@final
@dataclass(frozen=True, slots=True)
class Decomposed(AbstractChange):
    """One tensor's change by DoRA: LoRA's direction with a learned length for each row."""

    low_rank: LowRank
    """The change of direction."""
    magnitude: Tensor
    """`(out,)`, fp32: the length of each row."""

    @property
    def shape(self) -> tuple[int, int]:
        """`(out, in)`: the shape of the tensor it changes."""
        return self.low_rank.shape

    def merged(self, weight: Tensor) -> Tensor:
        """Rows of the sum, each brought to its length; a row of zeros has no direction and stays zero."""
        total = self.low_rank.merged(weight)
        norms = torch.linalg.norm(total, dim=1)
        factors = torch.where(norms > 0, self.magnitude.to(norms.device) / norms, 0.0)
        return factors[:, None] * total

    def merged_rows(self, rows: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float32]:
        """Some rows of the sum, each brought to its length."""
        total = self.low_rank.merged_rows(rows, first)
        norms = np.linalg.norm(total, axis=1)
        lengths = self.magnitude[first : first + len(rows)].numpy()
        factors = np.divide(lengths, norms, out=np.zeros_like(norms), where=norms > 0)
        return np.asarray(factors[:, None] * total, dtype=np.float32)


@final
@dataclass(frozen=True, slots=True)
class Rescaled(AbstractChange):
    """One tensor's change by IA3: each row or each column times a number."""

    vector: Tensor
    """fp32, `(out, 1)` for a layer whose output is scaled, `(1, in)` for one whose input is."""

    @property
    def shape(self) -> tuple[int | None, int | None]:
        """The side that is scaled; the other may have any length."""
        return scaled_sides(self.vector.shape)

    def merged(self, weight: Tensor) -> Tensor:
        """The product."""
        return weight.float() * self.vector.to(weight.device)

    def merged_rows(self, rows: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float32]:
        """The product of some rows."""
        vector = self.vector.numpy()
        own = vector[first : first + len(rows)] if vector.shape[1] == 1 else vector
        return np.asarray(rows * own, dtype=np.float32)
