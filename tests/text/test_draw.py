"""Draws by key: the same everywhere, spread evenly, and each prefix its own."""

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from ramekin.text.draw import draw, drawn_order, draws, permuted, shuffled

KEYS = st.lists(st.integers() | st.text(max_size=5), max_size=4)
N = 10_000


def test_pinned_so_that_a_run_can_be_made_again() -> None:
    assert [draw(10, 0, "glue/rte", row) for row in range(8)] == [0, 9, 7, 4, 0, 4, 7, 4]
    assert draws(4, 9, 0, "glue/rte") == [5, 6, 8, 3]
    assert drawn_order("abcde", 7) == ["e", "d", "a", "b", "c"]


@pytest.mark.parametrize("choices", [2, 3, 7, 10, 26])
def test_draws_are_uniform(choices: int) -> None:
    counts = Counter(draw(choices, "seed", row) for row in range(N))
    assert set(counts) == set(range(choices))
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_every_order_is_as_likely_as_another() -> None:
    for make in (
        lambda row: tuple(drawn_order(range(4), "order", row)),
        lambda row: tuple(draws(4, 4, "draws", row)),
    ):
        counts = Counter(make(row) for row in range(N))
        assert set(counts) == set(permutations(range(4)))
        assert chisquare(list(counts.values())).pvalue > 0.001


@pytest.mark.parametrize("step", range(3))
def test_each_of_several_draws_is_uniform_by_itself(step: int) -> None:
    counts = Counter(draws(3, 11, "step", row)[step] for row in range(N))
    assert chisquare([counts[place] for place in range(11)]).pvalue > 0.001


def test_neighbouring_keys_draw_apart() -> None:
    pairs = Counter((draw(4, 0, "t", row), draw(4, 0, "t", row + 1)) for row in range(N))
    assert chisquare(list(pairs.values())).pvalue > 0.001 and len(pairs) == 16


@given(st.integers(0, 40), st.integers(0, 40), KEYS)
def test_several_draws_are_different_and_begin_as_fewer_do(count: int, choices: int, key: list) -> None:
    found = draws(count, choices, *key)
    assert len(found) == len(set(found)) == min(count, choices)
    assert set(found) <= set(range(choices))
    for fewer in range(count):
        assert draws(fewer, choices, *key) == found[:fewer]


@given(st.lists(st.text(max_size=3), max_size=12), KEYS)
def test_an_order_is_a_permutation(values: list[str], key: list) -> None:
    assert Counter(drawn_order(values, *key)) == Counter(values)


def test_a_few_of_very_many_cost_as_many_draws_as_they_are() -> None:
    assert len(set(draws(5, 10**15, "large"))) == 5


def test_all_of_many() -> None:
    assert sorted(draws(5000, 5000, "all")) == list(range(5000))


def test_keys_differ_by_their_parts() -> None:
    assert draw(10**9, "a", "bc") != draw(10**9, "ab", "c")
    assert draw(10**9, "\udc80") == draw(10**9, "\udc80"), "a lone surrogate is a key too"


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 66, 81, 82, 1000, 12_345])
def test_a_permutation_without_a_table_has_every_place_once(count: int) -> None:
    places = [permuted(position, count, "bijection", count) for position in range(count)]
    assert sorted(places) == list(range(count))


@given(st.integers(1, 500), KEYS)
def test_every_permutation_is_one(count: int, key: list) -> None:
    assert sorted(permuted(position, count, *key) for position in range(count)) == list(range(count))
    assert sorted(shuffled(count, *key)) == list(range(count))


@pytest.mark.parametrize("make", [permuted, lambda position, count, *key: shuffled(count, *key)[position]])
@pytest.mark.parametrize(("count", "position"), [(3, 0), (10, 9), (65, 0), (65, 64), (100, 1), (300, 299)])
def test_every_place_is_as_likely_as_another(make, count: int, position: int) -> None:
    counts = Counter(make(position, count, "place", position, key) for key in range(N))
    assert chisquare([counts[place] for place in range(count)]).pvalue > 0.001


@pytest.mark.parametrize("count", [5, 65, 73, 130, 300])
def test_neighbours_come_to_stand_at_every_distance(count: int) -> None:
    distances = Counter(
        (permuted(1, count, "near", key) - permuted(0, count, "near", key)) % count for key in range(3 * N)
    )
    assert chisquare([distances[each] for each in range(1, count)]).pvalue > 0.001


def test_permutations_of_other_keys_are_others() -> None:
    one, other = ([permuted(p, 1000, "key", epoch) for p in range(1000)] for epoch in (0, 1))
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 10
    assert sum(place == position for position, place in enumerate(one)) < 10


def test_permutations_are_pinned() -> None:
    assert [permuted(position, 1000, 0, "glue/rte") for position in range(4)] == [305, 283, 525, 953]
    assert [permuted(position, 10**12, 0, "glue/rte") for position in range(2)] == [1029272718, 384251869234]
    assert shuffled(8, 0, "glue/rte") == [3, 5, 1, 6, 7, 4, 0, 2]
