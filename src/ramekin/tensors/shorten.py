"""Where a prompt that is too long loses tokens: in the record's own texts, the longest first.

The instruction, the question's few words and the options stay, as long as there is more than them. Tokens are
left out, and the others stay as they were: nothing is tokenised again. Knows nothing of tokenizers.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["kept_lengths", "shortened", "token_fields"]

_Id = TypeVar("_Id")


def token_fields(
    text: str, offsets: Sequence[tuple[int, int]], fields: Sequence[tuple[int, int]]
) -> list[int | None]:
    """The place of the field that each token lies in whole; None of the others.

    Args:
        text: what was tokenised.
        offsets: which of its characters each token was made from, from and up to. White space at either end
            of them says nothing (it may stand before the field), and a token of white space alone goes with
            the one after it, whose word it begins.
        fields: ranges of characters, in order, none within another.

    >>> token_fields("Wet? a fog", [(0, 3), (3, 4), (4, 6), (6, 10)], [(5, 10)])
    [None, None, 0, 0]
    """
    starts = [start for start, _ in fields]
    found: list[int | None] = []
    following: int | None = None
    for start, end in reversed(offsets):
        words = text[start:end]
        if bare := words.strip():
            start += words.index(bare)
            place = bisect_right(starts, start) - 1
            following = place if place >= 0 and start + len(bare) <= fields[place][1] else None
        found.append(following)
    return found[::-1]


def kept_lengths(lengths: Sequence[int], room: int) -> list[int]:
    """How many tokens each field keeps where together they may have so many.

    The longest loses one token after the other until it is as long as the next, and so on. Of fields that
    have become equal, the longer one by nature loses first, and then the later one.

    >>> kept_lengths([12, 900, 3], 300), kept_lengths([12, 900, 30], 25)
    ([12, 285, 3], [9, 8, 8])
    """
    kept = [0] * len(lengths)
    left = max(room, 0)
    for rank, place in enumerate(sorted(range(len(lengths)), key=lengths.__getitem__)):
        share = -(-left // (len(lengths) - rank))  # of what is left, rounded up
        kept[place] = min(lengths[place], share)
        left -= kept[place]
    return kept


def shortened(ids: Sequence[_Id], in_field: Sequence[int | None], room: int) -> Sequence[_Id]:
    """The ids without as many of the fields' last tokens as it takes to have at most `room`.

    All other tokens stay, so that there may be more than `room` still.

    Args:
        ids: of a prompt.
        in_field: for each, the place of its field, as `token_fields` says.
        room: how many there may be.

    >>> shortened("Wet?abcdefgh!xy", [None] * 4 + [0] * 8 + [None] + [1] * 2, 10)
    ['W', 'e', 't', '?', 'a', 'b', 'c', '!', 'x', 'y']
    """
    if len(ids) <= room:
        return ids
    places = [place for place in in_field if place is not None]
    lengths = [0] * (max(places, default=-1) + 1)
    for place in places:
        lengths[place] += 1
    left = kept_lengths(lengths, room - (len(ids) - len(places)))
    kept = []
    for each, field in zip(ids, in_field, strict=True):
        if field is None:
            kept.append(each)
        elif left[field]:
            left[field] -= 1
            kept.append(each)
    return kept
