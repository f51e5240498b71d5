"""What training reads: the examples of each optimizer step, as a function of the step alone.

A feed knows nothing of micro-batches, models or files of a run. Whatever has these three members is one;
`Listed` is the feed of examples in memory.
"""

import hashlib
import random
from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, final

from ramekin.errors import DataError
from ramekin.tensors.encode import Encoded

__all__ = ["Feed", "Listed"]


class Feed(Protocol):
    """Where the examples of a run come from."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON values that tell this data from any other; a run is only continued with equal ones."""
        ...

    @property
    def epoch_examples(self) -> int:
        """Examples of one pass, at least one."""
        ...

    def examples(self, step: int, *, seed: int, global_batch: int) -> Sequence[Encoded]:
        """The examples of one optimizer step, from 0; the same ones whenever it is asked."""
        ...


@final
class Listed:
    """Examples in memory: each once an epoch, in a fresh order, the last step of an epoch being short.

    Raises:
        DataError: there are none.
    """

    def __init__(self, examples: Sequence[Encoded]) -> None:
        self._items = tuple(examples)
        if not self._items:
            raise DataError("there are no examples to train on", expected="at least one", got="none")
        self._order = lru_cache(maxsize=2)(self._shuffled)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The number of examples and a hash of all their tokens."""
        return {"examples": len(self._items), "sha256": _digest(self._items)}

    @property
    def epoch_examples(self) -> int:
        """How many there are."""
        return len(self._items)

    def examples(self, step: int, *, seed: int, global_batch: int) -> Sequence[Encoded]:
        """The examples of one step; the order of an epoch depends on (seed, epoch) alone."""
        steps = -(-len(self._items) // global_batch)
        epoch, index = divmod(step, steps)
        order = self._order(seed, epoch)
        return [self._items[place] for place in order[index * global_batch : (index + 1) * global_batch]]

    def _shuffled(self, seed: int, epoch: int) -> list[int]:
        order = list(range(len(self._items)))
        random.Random(f"ramekin epoch {seed} {epoch}").shuffle(order)
        return order


def _digest(items: Sequence[Encoded]) -> str:
    digest = hashlib.sha256()
    for item in items:
        sizes = " ".join(map(str, map(len, (item.input_ids, item.target_ids, item.wrong_input_ids))))
        digest.update(f"{item.provenance.id}\n{sizes}\n".encode())
        digest.update(array("q", (*item.input_ids, *item.target_ids, *item.wrong_input_ids)).tobytes())
    return digest.hexdigest()
