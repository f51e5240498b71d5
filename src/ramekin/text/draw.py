"""Draws that depend on their key alone: the same on every machine, in any order, with any number of workers.

A key is what the draw is for, such as `(seed, task, row, epoch, "order")`. Knows nothing of what is drawn.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b, shake_256
from math import isqrt
from typing import NamedTuple, TypeVar, final

__all__ = ["draw", "drawn_order", "draws", "permuted", "shuffled"]

T = TypeVar("T")

_ROUNDS = 8  # with six, the distances of neighbours are still uneven where there are about a hundred numbers
_MAX_TABLE = 64  # fewer numbers than these have too few halves to mix well
_MASK = (1 << 64) - 1


def draw(choices: int, *key: object) -> int:
    """A number from 0 to `choices` - 1; there is at least one choice.

    >>> draw(10, 0, "glue/rte", 17) == draw(10, 0, "glue/rte", 17)
    True
    """
    return int.from_bytes(_digest(key, 8), "big") % choices


def draws(count: int, choices: int, *key: object) -> list[int]:
    """`count` different numbers from 0 to `choices` - 1, in the order drawn; all of them if there are fewer.

    Fewer draws by the same key are the first of more.

    >>> sorted(draws(5, 3, "key"))
    [0, 1, 2]
    """
    # Fisher and Yates's shuffle, of which only the places that were touched are kept.
    moved: dict[int, int] = {}
    found = []
    for step in range(min(count, choices)):
        other = step + draw(choices - step, *key, step)
        found.append(moved.get(other, other))
        moved[other] = moved.get(step, step)
    return found


def drawn_order(values: Sequence[T], *key: object) -> list[T]:
    """The values in an order drawn by the key."""
    places = sorted(range(len(values)), key=lambda place: _digest((*key, place), 8))
    return [values[place] for place in places]


def shuffled(count: int, *key: object) -> list[int]:
    """The numbers from 0 to `count` - 1 in an order drawn by the key; one digest serves all of them.

    >>> sorted(shuffled(4, "key"))
    [0, 1, 2, 3]
    """
    return _shuffled(count, _text(key))


def _shuffled(count: int, key: bytes) -> list[int]:
    order = list(range(count))
    numbers = struct.unpack(f"<{count}Q", shake_256(key).digest(8 * count))
    for last in range(count - 1, 0, -1):
        other = numbers[last] % (last + 1)
        order[last], order[other] = order[other], order[last]
    return order


def permuted(position: int, count: int, *key: object) -> int:
    """Where a position from 0 to `count` - 1 comes to stand in an order drawn by the key.

    Every position has a place of its own, and no table is made however many there are: the place is
    enciphered by a Feistel network over a grid that just holds all of them (Black and Rogaway 2002,
    "Ciphers with arbitrary finite domains"), again until it is a place of the grid that counts.

    >>> sorted(permuted(position, 1000, "key") for position in range(1000)) == list(range(1000))
    True
    """
    grid = _grid(count, _text(key))
    if grid.table:
        return grid.table[position]
    width, height = grid.width, grid.height
    while True:
        high, low = divmod(position, width)
        for one, other in grid.keys:
            low = (low + _mixed(high + one)) % width
            high = (high + _mixed(low + other)) % height
        position = high * width + low
        if position < count:
            return position


def _mixed(number: int) -> int:
    """32 bits that depend on all of the number's."""
    number = number * 0x9E3779B97F4A7C15 & _MASK
    return ((number ^ number >> 32) * 0xD6E8FEB86659FD93 & _MASK) >> 32


@final
class _Grid(NamedTuple):
    """What `permuted` works out once for a key."""

    width: int
    height: int
    keys: tuple[tuple[int, int], ...] = ()
    table: tuple[int, ...] = ()


@lru_cache(maxsize=1 << 14)
def _grid(count: int, key: bytes) -> _Grid:
    if count <= _MAX_TABLE:
        return _Grid(count, 1, table=tuple(_shuffled(count, key)))
    width = isqrt(count - 1) + 1
    numbers = struct.unpack(f"<{_ROUNDS}Q", blake2b(key, digest_size=8 * _ROUNDS).digest())
    return _Grid(width, -(-count // width), tuple(zip(numbers[::2], numbers[1::2], strict=True)))


def _text(key: tuple[object, ...]) -> bytes:
    return "\x1f".join(map(str, key)).encode("utf-8", "surrogatepass")


def _digest(key: tuple[object, ...], size: int) -> bytes:
    return blake2b(_text(key), digest_size=size).digest()
