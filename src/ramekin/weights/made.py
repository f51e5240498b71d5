"""A model whose tensors are made when they are asked for, such as products of factors, behind a reader.

This module knows nothing of how they are made.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import final

import numpy as np

from ramekin.errors import WeightsError
from ramekin.weights.dtypes import Floats
from ramekin.weights.header import TensorInfo
from ramekin.weights.reading import AbstractTensorReader, slot

__all__ = ["MadeReader"]


@final
class MadeReader(AbstractTensorReader):
    """Tensors made whole at the first look at them; the last few are kept.

    An element has the same bits whatever the slices, as it is of the same whole. The tensors take no bytes of
    a file.

    Args:
        shapes: by name.
        make: gives the tensor of a name, fp32 in its shape; None is zeros, which are not kept.
        where: what to call the model.
        kept: how many tensors are kept.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        make: Callable[[str], Floats | None],
        *,
        where: str,
        kept: int = 2,
    ) -> None:
        self._infos = {name: TensorInfo("F32", tuple(shape), 0, 0) for name, shape in shapes.items()}
        self._make, self._where, self._kept = make, where, kept
        self._made: OrderedDict[str, Floats | None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def where(self) -> str:
        """What the model is called."""
        return self._where

    def names(self) -> tuple[str, ...]:
        """The names of the tensors, sorted."""
        return tuple(sorted(self._infos))

    def info(self, name: str) -> TensorInfo:
        """The shape of a tensor; it is fp32 and takes no bytes."""
        if name not in self._infos:
            raise WeightsError("the model has no such tensor", where=f"{self.where}#{name}")
        return self._infos[name]

    def read(self, name: str, start: int, stop: int, *, out: Floats | None = None) -> Floats:
        """A slice of the flattened tensor, copied."""
        values = slot(self.info(name), start, stop, out)
        whole = self._whole(name)
        if whole is None:
            values[:] = 0.0
        else:
            values[:] = whole[start:stop]
        return values

    def close(self) -> None:
        """Let go of what is kept."""
        self._made.clear()

    def _whole(self, name: str) -> Floats | None:
        with self._lock:  # two threads that want one tensor wait for one making
            if name in self._made:
                self._made.move_to_end(name)
                return self._made[name]
            made = self._make(name)
            if made is not None:
                made = np.ascontiguousarray(made, dtype=np.float32).reshape(-1)
            self._made[name] = made
            while len(self._made) > self._kept:
                self._made.popitem(last=False)
            return made
