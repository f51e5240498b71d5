"""Requests that are written together: they may come at any time, and leave as they are answered.

Requests that come at once are read by the encoder in batches of little padding, and all are decoded in one
batch of rows, a token a step. Knows nothing of texts, of queues or of what is done with outputs.
"""

from collections.abc import Sequence
from itertools import groupby, islice, pairwise
from typing import NamedTuple, final

import torch

from ramekin.errors import DataError, RamekinError
from ramekin.infer.choice import Found, choose
from ramekin.infer.cross_cache import CrossCache
from ramekin.infer.decoder import Decoder
from ramekin.infer.layers import Layers
from ramekin.infer.writing import AbstractWriting, NextRow
from ramekin.tensors.collate import collate_inputs
from ramekin.tensors.plan import batches_by_length

__all__ = ["ContinuousBatch"]

_HEAD_ROWS = 256
"""Rows whose logits are held at one time: with T5's vocabulary 33 MB in fp32."""
_READ_TOKENS = 4096
"""Padded tokens that the encoder reads at one time, at most. A batch more costs a sixteenth of it in the cut
that is taken (`tensors.plan`): on a CPU about what its start does."""
_SHRINK_BELOW = 0.75
"""Rows that have ended leave once no more than this part goes on: moving the others has its price."""


@final
class _Row(NamedTuple):
    """A row of the decoder."""

    parent: int
    """The row of the step before that it comes from."""
    token: int
    """What it is fed."""
    owner: AbstractWriting
    is_alive: bool = True
    """Whether it is still written; one that has ended stays for a while."""


@final
class ContinuousBatch:
    """The requests that are being written.

    Args:
        layers: of a model.
        start_id: the decoder's first token.
        pad_id: of the padding.
    """

    def __init__(self, layers: Layers, *, start_id: int, pad_id: int) -> None:
        self._layers = layers
        self._start_id, self._pad_id = start_id, pad_id
        self._decoder = Decoder(layers)
        self._rows: list[_Row] = []
        self.failures: dict[AbstractWriting, RamekinError] = {}
        """Requests that could not go on, and why; the others do."""

    @property
    def num_rows(self) -> int:
        """Rows of the decoder."""
        return len(self._rows)

    @property
    def cross_bytes(self) -> int:
        """The memory of cross-attention's keys and values: one copy an input."""
        return self._decoder.cross_bytes

    @property
    def cache_bytes(self) -> int:
        """The memory of self-attention's caches: one a row."""
        return self._decoder.cache_bytes

    @torch.inference_mode()
    def admit(
        self,
        inputs: Sequence[Sequence[int]],
        writings: Sequence[AbstractWriting],
        *,
        max_new_tokens: int,
        batch_tokens: int,
    ) -> None:
        """Read inputs and write for them from the next step on.

        Args:
            inputs: the token ids of each.
            writings: one an input, at its beginning.
            max_new_tokens: the most that one of them writes.
            batch_tokens: padded tokens that the encoder reads at one time.
        """
        device = self._layers.device
        read: list[CrossCache] = []
        for batch in batches_by_length(list(map(len, inputs)), max_tokens=min(batch_tokens, _READ_TOKENS)):
            ids, mask = collate_inputs([inputs[place] for place in batch], pad_id=self._pad_id)
            read.append(self._layers.read(ids.to(device), mask.to(device)))
            self._rows += [_Row(0, self._start_id, writings[place]) for place in batch]
        self._decoder.admit(read, max_new_tokens=max_new_tokens)

    @torch.inference_mode()
    def step(self) -> list[AbstractWriting]:
        """Write one more token for everybody; returns those that are over now."""
        if not self._rows:
            return []
        found = iter(self._chosen())
        rows: list[_Row] = []
        over: list[AbstractWriting] = []
        for writing, places in self._requests():
            alive = [place for place in places if self._rows[place].is_alive]
            going: Sequence[NextRow] = ()
            if alive:
                own_found = list(islice(found, len(alive)))
                try:
                    going = writing.take(own_found)
                except DataError as error:
                    self.failures[writing] = error
                if writing.is_over:
                    over.append(writing)
            own = [_Row(alive[parent], token, writing) for parent, token in going]
            rows += _with_ended(own, places, writing)
        self._go_on(rows)
        return over

    def drop(self, writing: AbstractWriting) -> None:
        """Forget a request."""
        self._go_on(
            [
                row._replace(parent=place, is_alive=row.is_alive and row.owner is not writing)
                for place, row in enumerate(self._rows)
            ]
        )

    def _requests(self) -> list[tuple[AbstractWriting, list[int]]]:
        """The requests in the order of their rows, and the places of those."""
        by_owner = groupby(range(len(self._rows)), key=lambda place: id(self._rows[place].owner))
        runs = [list(places) for _, places in by_owner]
        return [(self._rows[places[0]].owner, places) for places in runs]

    def _chosen(self) -> list[Found]:
        """Feed every row its last token, and choose the next for those that have not ended."""
        device = self._layers.device
        hidden = self._decoder.advance(torch.tensor([row.token for row in self._rows], device=device))
        alive = [place for place, row in enumerate(self._rows) if row.is_alive]
        if len(alive) < len(self._rows):
            hidden = hidden[torch.tensor(alive, device=device)]
        owners = dict.fromkeys(self._rows[place].owner for place in alive)
        asked = [each for writing in owners for each in writing.asked()]
        found: list[Found] = []
        for start in range(0, len(asked), _HEAD_ROWS):
            part = slice(start, start + _HEAD_ROWS)
            found += choose(self._layers.logits(hidden[part]), asked[part])
        return found

    def _go_on(self, rows: list[_Row]) -> None:
        """Take the rows of the next step; those that have ended leave if that is worth it."""
        alive = [row for row in rows if row.is_alive]
        self._rows = alive if len(alive) <= _SHRINK_BELOW * len(rows) else rows
        self._decoder.keep([row.parent for row in self._rows])


def _with_ended(own: list[_Row], places: Sequence[int], owner: AbstractWriting) -> list[_Row]:
    """The next rows of a request; what has ended stays at its place for now, if there is room."""
    room = len(places) - len(own)
    if room <= 0:
        return own
    going = {row.parent for row in own}
    ended = [_Row(place, 0, owner, False) for place in places if place not in going][:room]
    both = [*own, *ended]
    in_order = all(one.parent <= other.parent for one, other in pairwise(own))
    return sorted(both, key=lambda row: row.parent) if in_order else both
