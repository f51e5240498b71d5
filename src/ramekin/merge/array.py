"""What a merge computes with: numpy arrays or torch tensors, by one set of functions.

The functions of `methods` are written in the operations that both have in common (the Python array API
standard), so they take either, on any device, and give back what they took. A merge from disk to disk uses
numpy on the CPU, which needs a tenth of a second to start where torch needs two, and torch on a GPU.
This module knows nothing of models.
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol, cast, final

import array_api_compat
import array_api_compat.numpy
import numpy as np
import numpy.typing as npt

__all__ = ["AbstractDevice", "Array", "HostDevice", "TorchDevice", "device_of", "namespace"]

_GPU_CHUNK = 1 << 22


class Array(Protocol):
    """A numpy array or a torch tensor."""

    @property
    def shape(self) -> Any:
        """The lengths of its axes."""

    @property
    def device(self) -> Any:
        """Where it is."""

    @property
    def ndim(self) -> int:
        """The number of axes."""

    @property
    def dtype(self) -> Any:
        """The type of its elements."""

    @property
    def T(self) -> "Array":  # noqa: N802 (the array API's name)
        """The transpose of a matrix."""

    def __add__(self, other: Any, /) -> "Array": ...
    def __radd__(self, other: Any, /) -> "Array": ...
    def __sub__(self, other: Any, /) -> "Array": ...
    def __rsub__(self, other: Any, /) -> "Array": ...
    def __mul__(self, other: Any, /) -> "Array": ...
    def __rmul__(self, other: Any, /) -> "Array": ...
    def __truediv__(self, other: Any, /) -> "Array": ...
    def __matmul__(self, other: Any, /) -> "Array": ...
    def __neg__(self) -> "Array": ...
    def __eq__(self, other: Any, /) -> "Array": ...  # type: ignore[override]
    def __lt__(self, other: Any, /) -> "Array": ...
    def __and__(self, other: Any, /) -> "Array": ...
    def __or__(self, other: Any, /) -> "Array": ...
    def __invert__(self) -> "Array": ...
    def __le__(self, other: Any, /) -> "Array": ...
    def __gt__(self, other: Any, /) -> "Array": ...
    def __ge__(self, other: Any, /) -> "Array": ...
    def __getitem__(self, key: Any, /) -> "Array": ...
    def __float__(self) -> float: ...
    def reshape(self, *shape: Any) -> "Array":
        """The same elements in another shape."""


def namespace(*arrays: Array) -> Any:
    """The array API's functions for these arrays: those of numpy, or of torch.

    >>> import numpy as np
    >>> x = np.asarray([-1.0, 2.0])
    >>> namespace(x).abs(x)
    array([1., 2.])
    """
    if all(isinstance(array, np.ndarray) for array in arrays):  # most are; the search takes longer
        return array_api_compat.numpy
    return array_api_compat.array_namespace(*arrays)


class AbstractDevice(ABC):
    """Where arrays are put to be computed with."""

    @property
    @abstractmethod
    def chunk_elements(self) -> int | None:
        """How long the chunks are that it works best on; None leaves it to the number of models."""

    @abstractmethod
    def place(self, values: npt.NDArray[np.float32]) -> Array:
        """An array of this device with these values; it may share their memory."""

    @abstractmethod
    def take(self, array: Array) -> npt.NDArray[np.float32]:
        """The values of an array of this device, which may share its memory."""


@final
class HostDevice(AbstractDevice):
    """The processor, by numpy."""

    @property
    def chunk_elements(self) -> int | None:
        """Left to the number of models."""
        return None

    def place(self, values: npt.NDArray[np.float32]) -> Array:
        """The values themselves."""
        return cast("Array", values)

    def take(self, array: Array) -> npt.NDArray[np.float32]:
        """The array itself."""
        return np.asarray(array, dtype=np.float32)


@final
class TorchDevice(AbstractDevice):
    """A device of torch's: `cuda`, `cuda:1`, or `cpu`, which is for comparing."""

    def __init__(self, name: str) -> None:
        import torch

        self._torch, self._device = torch, torch.device(name)

    @property
    def chunk_elements(self) -> int | None:
        """Long ones on a GPU, where each costs a start."""
        return None if self._device.type == "cpu" else _GPU_CHUNK

    def place(self, values: npt.NDArray[np.float32]) -> Array:
        """A copy on the device."""
        placed: Array = self._torch.from_numpy(values).to(self._device, copy=True)
        return placed

    def take(self, array: Array) -> npt.NDArray[np.float32]:
        """A copy in memory."""
        taken: npt.NDArray[np.float32] = self._torch.as_tensor(array).float().cpu().numpy()
        return taken


def device_of(name: str) -> AbstractDevice:
    """The device of a name: `cpu` is the processor by numpy, all others are torch's."""
    return HostDevice() if name == "cpu" else TorchDevice(name)
