"""The feed of a mixture whose examples lie in shards: each draw is a function of (seed, t) alone.

Which leaf a draw takes and which of its rows is `text.mixing`'s; where the tokens are is `tensors.cache`'s.
Nothing is read before it is drawn, and nothing is kept, so that neither the start nor memory depends on the
number of rows. Knows nothing of how shards are made.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

from ramekin.errors import DataError
from ramekin.tensors.cache import open_shard
from ramekin.tensors.encode import Encoded
from ramekin.text.mixing.draws import MixtureDraws
from ramekin.text.mixing.walk import walked

__all__ = ["LeafShards", "MixtureFeed"]


@final
@dataclass(frozen=True, slots=True)
class LeafShards:
    """A leaf of a mixture and the shards of its epochs."""

    name: str
    """Of the leaf; the order of its rows hangs on it."""
    rate: float
    shards: tuple[str, ...]
    """File names: one for each of the leaf's first epochs."""
    sizes: tuple[int, ...]
    """Examples in each."""
    num_variants: int
    """After so many epochs the shards recur; fewer are there if fewer were needed."""


@final
class MixtureFeed:
    """A mixture's examples, drawn at their rates.

    Args:
        leaves: in the order in which they are drawn.
        folder: where the shards are.
        epoch_examples: what counts as one pass over the mixture.
    """

    def __init__(self, leaves: Sequence[LeafShards], *, folder: Path, epoch_examples: int) -> None:
        self._leaves, self._folder, self._epoch_examples = tuple(leaves), folder, epoch_examples
        self._draws = lru_cache(maxsize=1)(self._made_draws)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The mixture's leaves with their rates and first shards, whose names hash what they hold.

        Further ones follow from these. How many of them are there does not count: another run of the mixture
        that draws more makes more, and this one draws as before.
        """
        drawn = [
            (leaf.name, leaf.rate, leaf.shards[0], leaf.sizes[0], leaf.num_variants) for leaf in self._leaves
        ]
        told = json.dumps(drawn)
        return {"leaves": len(self._leaves), "sha256": hashlib.sha256(told.encode()).hexdigest()}

    @property
    def epoch_examples(self) -> int:
        """What counts as one pass."""
        return self._epoch_examples

    def examples(self, step: int, *, seed: int, global_batch: int) -> Sequence[Encoded]:
        """The examples of one step: the draws from step x global_batch on.

        Raises:
            DataError: an epoch of a leaf is drawn whose shard was not made, or a shard cannot be read.
        """
        start = step * global_batch
        draws = self._draws(seed).draws(start, start + global_batch)
        return [self._example(leaf, nth, seed) for leaf, nth in draws]

    def _example(self, leaf: int, nth: int, seed: int) -> Encoded:
        each = self._leaves[leaf]
        if nth >= sum(each.sizes) and len(each.shards) < each.num_variants:
            raise DataError(
                f"the cache has {len(each.shards)} of {each.num_variants} renderings of a task's rows, "
                "and more are drawn",
                where=each.name,
                fix="build it for as many steps as are trained: ramekin mix build … max_steps=…",
            )
        visit = walked(nth, each.sizes, seed, each.name)
        return open_shard(self._folder / each.shards[visit.epoch % len(each.shards)]).example(visit.place)

    def _made_draws(self, seed: int) -> MixtureDraws:
        return MixtureDraws([leaf.rate for leaf in self._leaves], seed=seed)
