"""Whatever rows stay, repeat, leave or join, each attends to its own input as it would alone."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.infer.cross_cache import CrossCache, additive_mask, joined_to

LAYERS, HEADS, WIDTH = 2, 2, 4


def encoded(lengths, generator):
    """A cache of inputs of some lengths, and each input's own keys and values."""
    longest = max(lengths)
    states = torch.randn(
        LAYERS, 2, len(lengths), HEADS, longest, WIDTH, generator=generator, dtype=torch.float64
    )
    seen = torch.tensor([[int(place < length) for place in range(longest)] for length in lengths])
    mask = additive_mask(seen, torch.float64)
    assert (mask is None) == (len(set(lengths)) == 1)
    return CrossCache(states, mask), [
        states[:, :, number, :, :length] for number, length in enumerate(lengths)
    ]


def attended(own, layer, query):
    keys, values = own[layer]
    return torch.softmax(query @ keys.transpose(1, 2), dim=-1) @ values


def check(cache, rows, generator):
    assert cache.num_rows == len(rows)
    queries = torch.randn(len(rows), HEADS, 1, WIDTH, generator=generator, dtype=torch.float64)
    for layer in range(LAYERS):
        found = cache.attend(layer, queries)
        for query, own, mixed in zip(queries, rows, found, strict=True):
            torch.testing.assert_close(mixed, attended(own, layer, query))


lengths = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(first=lengths, others=st.lists(lengths, max_size=3), data=st.data(), seed=st.integers(0, 99))
def test_rows_attend_as_they_would_alone(first, others, data, seed):
    generator = torch.Generator().manual_seed(seed)
    cache, rows = encoded(first, generator)
    for more in [None, *others]:
        if more is not None:
            other, own = encoded(more, generator)
            cache, rows = cache.joined(other), rows + own
            check(cache, rows, generator)
        kept = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
        cache.keep(kept)
        rows = [rows[place] for place in kept]
        check(cache, rows, generator)
        assert cache.num_inputs == len({id(own) for own in rows}), (
            "an input is stored once, and while it has rows"
        )


def test_memory_does_not_grow_with_the_rows():
    cache, _ = encoded([5, 3], torch.Generator().manual_seed(0))
    before = cache.num_bytes
    cache.keep([0, 1] * 8)
    assert (cache.num_rows, cache.num_bytes) == (16, before)
    cache.keep([1])
    assert cache.num_bytes == before / 2


def test_those_neighbours_are_joined_that_cost_least():
    generator = torch.Generator().manual_seed(0)
    made = [encoded(lengths, generator) for lengths in ([30], [2, 2], [3], [40])]
    groups = joined_to(3, [cache for cache, _ in made])
    assert [(each.num_inputs, each.width) for each in groups] == [(1, 30), (3, 3), (1, 40)]
    check(groups[1], made[1][1] + made[2][1], generator)
    assert joined_to(9, groups) == groups
    (whole,) = joined_to(1, groups)
    check(whole, [own for _, rows in made for own in rows], generator)
